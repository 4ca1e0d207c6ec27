"""What Hydra's sweeper for SageMaker does: the space as one tuning job, its best trial brought back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from dogbreed.errors import ConfigError
from dogbreed.sweeps.space import parse_space
from launch.connect import connect, jobs_command, whereabouts
from launch.files.fetching import fetch_run
from launch.overrides import of_the_job
from launch.sending.experiment import Experiment, check_experiment, experiment_name
from launch.sending.multirun import as_if_running, without_hydra
from launch.sending.planning import find_place, pack, plan_training, plan_tuning, show
from launch.sending.submission import TRAINING, TUNING, begin, resumable, send
from launch.sending.tuning import add_winner, finish_tuning
from launch.settings import JobSettings, TunerSettings, make_settings
from launch.train import run_job
from launch.views.watching import watch_tuning_job

_SECTION = "hydra.sweeper"


def run_sweeper(
    config: DictConfig,
    loader: ConfigLoader,
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any],
    tuner: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Search a space by one tuning job, and bring its best trial back.

    Args:
        config: of the multirun; launch.tune's has a section of its own for the job's settings.
        loader: composes configs.
        arguments: the command line's overrides, sweeps and others.
        params: the search space, key -> sweep in Hydra's grammar.
        tuner: the fields of TunerSettings, where the config has no section of its own.
        settings: the fields of JobSettings, likewise.

    Raises:
        ConfigError: settings that cannot be, or a space that SageMaker cannot express.
        LaunchError: AWS refuses, or no trial has succeeded.
    """
    space, fixed = parse_space(params, [line for line in arguments if not line.startswith("search_space=")])
    composed = loader.load_sweep_config(config, fixed)
    directory = Path(config.hydra.sweep.dir)
    with as_if_running(composed, 0, directory):
        task = without_hydra(composed)
        experiment = _experiment(config, task, of_the_job(fixed), settings, tuner)
        chosen = experiment.settings
        launch = begin(directory, TUNING, experiment.name)
        code = pack(chosen, experiment.extras)
        plan = plan_tuning(experiment, launch, find_place(chosen), code, space)
    if task.get("dry_run"):
        show(plan, task.format, directory)
        return
    plan.refuse(chosen.budget_usd, "sagemaker" if "sagemaker" in config else _SECTION)
    module = config.hydra.job.name if "sagemaker" in config else f"dogbreed.{config.hydra.job.name}"
    with resumable(module, [*config.hydra.overrides.hydra, *arguments], directory, "hydra.sweep.dir"):
        backend = connect(chosen.backend, chosen.region, chosen.process_dir)
        sent = send(backend, launch, plan.request, code, print)
        where = whereabouts(chosen.backend, chosen.region, chosen.process_dir)
        if task.get("detach"):
            print(f"look at it with:\n  {jobs_command('describe', sent.name, where)}")
            return
        watch_tuning_job(backend, sent.name, poll_s=chosen.poll_s, price_per_hour=plan.price_per_hour, where=where)
        best = finish_tuning(backend, sent.name, space, fixed, task.monitor, directory)
        winner = directory / "winner"
        if task.get("train_best"):
            run_best(composed, loader, best.overrides, experiment, winner)
        else:
            fetch_run(backend, best.job, winner)
        add_winner(directory)
        print(f"the best trial, {best.record.value:.4f} in {task.monitor}, is in {winner}; here it is trained by")
        print(f"  {best.command}")
        print(f"look at all of them with:\n  {shlex.join(['python', '-m', 'dogbreed.report', str(directory)])}")


def run_best(
    config: DictConfig, loader: ConfigLoader, overrides: Sequence[str], tuned: Experiment, directory: Path
) -> None:
    """Train the best setting once more, as a training job of its own, and bring it to `directory`."""
    epochs = tuned.config.best_epochs
    longer = [*overrides, *([] if epochs is None else [f"trainer.max_epochs={epochs}"])]
    composed = loader.load_sweep_config(config, longer)
    directory.mkdir(parents=True, exist_ok=True)
    with as_if_running(composed, 0, directory):
        experiment = replace(tuned, config=without_hydra(composed), overrides=longer, name=f"{tuned.name}-best")
        launch = begin(directory, TRAINING, experiment.name)
        code = pack(experiment.settings, experiment.extras)
        plan = plan_training(experiment, launch, find_place(experiment.settings), code)
    plan.refuse(experiment.settings.budget_usd)
    run_job(experiment.settings, launch, plan, code, detach=False)


def _experiment(
    config: DictConfig, task: DictConfig, overrides: Sequence[str], values: Mapping[str, Any], tuner: Mapping[str, Any]
) -> Experiment:
    section = _SECTION
    if "sagemaker" in task:
        mine = [line for line in config.hydra.overrides.hydra if line.startswith(f"{_SECTION}.")]
        if mine and not mine[0].startswith(f"{_SECTION}.params"):
            raise ConfigError(mine[0], "sagemaker.KEY, and sagemaker.tuner.KEY, in launch.tune", "set it there")
        plain: dict[str, Any] = OmegaConf.to_container(task.sagemaker, resolve=True)  # type: ignore[assignment]
        section, tuner, values = "sagemaker", plain.pop("tuner"), plain
    check_experiment(task)
    return Experiment(
        task,
        overrides,
        [],
        make_settings(JobSettings, values, section),
        make_settings(TunerSettings, tuner, f"{section}.tuner"),
        experiment_name(config.hydra.runtime.choices),
    )
