"""`python -m launch.train`: what dogbreed.train does here, as one training job that is waited for and brought back."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
from dogbreed.files import from_here
from dogbreed.help import Help
from launch.connect import connect, jobs_command, whereabouts
from launch.files.packaging import CodeArchive
from launch.overrides import overrides_in, render_any
from launch.sending.experiment import FLEET, read_experiment
from launch.sending.planning import Plan, find_place, pack, plan_training, show
from launch.sending.submission import TRAINING, Launch, again, begin, bring_back, resumable, send
from launch.settings import JobSettings

HELP = Help(
    command="python -m launch.train",
    config="launch",
    text="Do what dogbreed.train does, as one training job on SageMaker: it is planned and checked, sent, watched, and "
    "its results are brought back.",
    examples={
        "experiment=quickstart sagemaker.backend=process": "a rehearsal on this machine: no account, nothing to pay",
        "data=folder data.root=PHOTOS sagemaker.channels.data=s3://BUCKET/PREFIX sagemaker.budget_usd=5": "what "
        "launch.upload sent; refused, should it cost more",
        "experiment=quickstart sagemaker/job=spot detach=true": "on spare capacity, and not waited for",
        "experiment=quickstart search_space=lr_batch hydra/sweeper=fleet": "a whole sweep in the job",
    },
    see="python -m launch.plan for the request, its faults and its price, before anything is sent; launch.upload, "
    "tune, jobs, prices and deploy.",
    shown=("sagemaker/job",),
)


def train(config: DictConfig) -> None:
    """Run the config as one training job, or show what that would be (dry_run=true)."""
    hydra = HydraConfig.get()
    if hydra.runtime.choices.get("search_space") and hydra.runtime.choices.get("hydra/sweeper") != FLEET:
        raise ConfigError(
            "a search space in one job, which is no sweep",
            "a job that trains all trials side by side",
            "add hydra/sweeper=fleet; or launch.tune, a job for each trial",
        )
    experiment = read_experiment(config, hydra)
    directory = Path(config.paths.output_dir)
    launch = begin(directory, TRAINING, experiment.name)
    code = pack(experiment.settings, experiment.extras)
    plan = plan_training(experiment, launch, find_place(experiment.settings), code, hydra.sweeper)
    if config.dry_run:
        show(plan, config.format, directory)
        return
    plan.refuse()
    line = again("launch.train", [*hydra.overrides.hydra, *hydra.overrides.task], directory)
    with resumable(line, directory):
        run_job(experiment.settings, launch, plan, code, detached=line if config.detach else None)


def run_job(
    settings: JobSettings, launch: Launch, plan: Plan, code: CodeArchive, *, detached: str | None = None
) -> None:
    """Start a training job, bring its results back, and say what to do with them.

    Args:
        settings: of the job.
        launch: of the job.
        plan: of the job.
        code: that travels.
        detached: the command that waits for the job, where this one is not to.

    Raises:
        JobFailed: it has ended without a result.
        LaunchError: the backend cannot be reached, or refuses.
    """
    backend = connect(settings.backend, settings.region, settings.process_dir)
    sent = send(backend, launch, plan.request, code, print, plan.costs.for_budget)
    if detached is not None:
        where = whereabouts(settings.backend, settings.region, settings.process_dir)
        print(f"look at it with:\n  {jobs_command('logs', sent.name, where, '--follow')}")
        print(f"wait for it, and bring its results here, with:\n  {detached}")
        return
    bring_back(backend, sent, settings, plan.price_per_hour, print)
    directory = from_here(launch.directory)
    artifact = directory / ("winner/artifact" if (directory / "winner").exists() else "artifact")
    print("its results are here, as if it had run here:")
    print(f"  {shlex.join(['python', '-m', 'dogbreed.report', str(directory)])}")
    print(f"  {shlex.join(['python', '-m', 'dogbreed.evaluate', f'artifact={artifact}', 'data.root=FOLDER'])}")


def refuse_multirun(arguments: list[str]) -> None:
    """Raises a ConfigError for -m, which is Hydra's: a launch is one job."""
    if any(argument in ("-m", "--multirun") for argument in arguments):
        raise ConfigError(
            "-m, many runs, with launch.train, which sends one job",
            "one job, which may be a whole sweep",
            "leave -m out: launch.train search_space=NAME hydra/sweeper=fleet trains all trials in one job; "
            "or dogbreed.train -m hydra/launcher=sagemaker for a job each; or launch.tune",
        )


def with_typed_space(arguments: list[str]) -> list[str]:
    """The arguments of a sweep in one job, its typed sweeps as the sweeper's own setting: the job is no multirun here.

    >>> with_typed_space(["hydra/sweeper=fleet", "seed=range(3)", "a=1"])
    ['hydra/sweeper=fleet', 'a=1', "+hydra.sweeper.params={seed:'range(3)'}"]
    """
    if f"hydra/sweeper={FLEET}" not in arguments:
        return arguments
    typed = [argument for argument in arguments if is_sweep(argument)]
    if not typed:
        return arguments
    params = render_any(dict(argument.split("=", 1) for argument in typed))
    rest = [argument for argument in arguments if argument not in typed]
    rest.insert(overrides_in(rest).stop, f"+hydra.sweeper.params={params}")
    return rest


def is_sweep(argument: str) -> bool:
    """Whether an argument is a sweep in Hydra's grammar."""
    if argument.startswith("-") or "=" not in argument:
        return False
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:  # is told by who composes
        return False
    return bool(override.is_sweep_override())


@ends_well("nothing was started")
def main(about: Help = HELP) -> None:
    """Run from the command line."""
    refuse_multirun(sys.argv[1:])
    sys.argv[1:] = with_typed_space(sys.argv[1:])
    run_app(about, train)


if __name__ == "__main__":
    sys.exit(main())
