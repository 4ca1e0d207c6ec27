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
from launch.overrides import OURS, of_the_job
from launch.sending.checking import check_space
from launch.sending.experiment import Experiment, experiment_name, refuse_folders, without_hydra
from launch.sending.multirun import as_if_running
from launch.sending.planning import find_place, pack, plan_training, plan_tuning, show
from launch.sending.submission import TRAINING, TUNING, again, begin, check_same, resumable, send
from launch.sending.tuning import add_winner, finish_tuning
from launch.settings import JobSettings, TunerSettings, make_settings
from launch.train import run_job
from launch.views.watching import watch_tuning_job

_SECTION, _DIR = "hydra.sweeper", "hydra.sweep.dir"


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
        experiment = _experiment(config, task, of_the_job(fixed, *OURS), settings, tuner)
        chosen = experiment.settings
        launch = begin(directory, TUNING, experiment.name)
        checked = check_space(space, experiment.overrides, config.hydra.job.config_name, chosen)
        code = pack(chosen, sorted({*experiment.extras, *checked.extras}))
        best = _best(loader, composed, experiment) if task.get("train_best") else None
        plan = plan_tuning(experiment, launch, find_place(chosen), code, space, checked, best)
    if task.get("dry_run"):
        show(plan, task.format, directory)
        return
    plan.refuse()
    check_same(launch, plan.request)
    line = _again(config, arguments, directory)
    with resumable(line, directory):
        backend = connect(chosen.backend, chosen.region, chosen.process_dir)
        sent = send(backend, launch, plan.request, code, print, plan.costs.for_budget)
        where = whereabouts(chosen.backend, chosen.region, chosen.process_dir)
        if task.get("detach"):
            print(f"look at it with:\n  {jobs_command('describe', sent.name, where)}")
            print(f"wait for it, and bring its best trial here, with:\n  {line}")
            return
        watch_tuning_job(backend, sent.name, poll_s=chosen.poll_s, price_per_hour=plan.price_per_hour, where=where)
        found = finish_tuning(backend, sent.name, space, fixed, task.monitor, directory)
        winner = directory / "winner"
        if best is not None:
            _run_best(loader, composed, experiment, found.overrides, winner)
        elif not (winner / "metrics.json").exists():
            fetch_run(backend, found.job, winner)
        add_winner(directory)
        print(f"the best trial, {found.record.value:.4f} in {task.monitor}, is in {winner}; here it is trained by")
        print(f"  {found.command}")
        print(f"look at all of them with:\n  {shlex.join(['python', '-m', 'dogbreed.report', str(directory)])}")


def _again(config: DictConfig, arguments: Sequence[str], directory: Path) -> str:
    """The command that goes on with this search."""
    told = [line for line in (*config.hydra.overrides.hydra, *arguments)]
    if "sagemaker" in config:
        return again("launch.tune", [line for line in told if not line.startswith("hydra/sweeper=")], directory, _DIR)
    return again(f"dogbreed.{config.hydra.job.name}", ["-m", *told], directory, _DIR)


def _longer(tuned: Experiment, overrides: Sequence[str]) -> list[str]:
    epochs = tuned.config.best_epochs
    return [*overrides, *([] if epochs is None else [f"trainer.max_epochs={epochs}"])]


def _best(
    loader: ConfigLoader, composed: DictConfig, tuned: Experiment, overrides: Sequence[str] | None = None
) -> Experiment:
    """What trains the best setting once more; of one that is not known yet, as the trials are otherwise."""
    longer = _longer(tuned, tuned.overrides if overrides is None else overrides)
    config = without_hydra(loader.load_sweep_config(composed, longer))
    return replace(tuned, config=config, overrides=longer, name=f"{tuned.name}-best", tuner=None)


def _run_best(
    loader: ConfigLoader, composed: DictConfig, tuned: Experiment, overrides: Sequence[str], directory: Path
) -> None:
    """Train the best setting as a training job of its own, and bring it to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with as_if_running(loader.load_sweep_config(composed, list(overrides)), 0, directory):
        best = _best(loader, composed, tuned, overrides)
        launch = begin(directory, TRAINING, best.name)
        code = pack(best.settings, best.extras)
        plan = plan_training(best, launch, find_place(best.settings), code)
    plan.refuse()
    run_job(best.settings, launch, plan, code)


def _experiment(
    config: DictConfig, task: DictConfig, overrides: Sequence[str], values: Mapping[str, Any], tuner: Mapping[str, Any]
) -> Experiment:
    refuse_folders(config.hydra.runtime)
    section = _SECTION
    if "sagemaker" in task:
        mine = [line for line in config.hydra.overrides.hydra if line.startswith(f"{_SECTION}.")]
        wrong = [line for line in mine if not line.startswith(f"{_SECTION}.params")]
        if wrong:
            raise ConfigError(wrong[0], "sagemaker.KEY, and sagemaker.tuner.KEY, in launch.tune", "set it there")
        if task.best_epochs is not None and not task.train_best:
            raise ConfigError("best_epochs without train_best=true", "both, or neither", "add train_best=true")
        plain: dict[str, Any] = OmegaConf.to_container(task.sagemaker, resolve=True)  # type: ignore[assignment]
        section, tuner, values = "sagemaker", plain.pop("tuner"), plain
    return Experiment(
        task,
        overrides,
        [],
        make_settings(JobSettings, values, section),
        make_settings(TunerSettings, tuner, f"{section}.tuner"),
        experiment_name(config.hydra.runtime.choices),
        section=section,
    )
