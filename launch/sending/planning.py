"""What a launch is going to do: its request, what is wrong with it, what is sent, what it costs, the same run here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import OmegaConf

from dogbreed.errors import ConfigError, DogbreedError
from dogbreed.health.smdebug.config import from_settings
from dogbreed.models.metrics import direction
from dogbreed.runs import command, git_revision
from dogbreed.sweeps.space import SearchSpace, parse_space
from launch.debugger import build_debugger
from launch.files.packaging import CodeArchive, pack_code
from launch.preflight.checks import check_training_job, check_tuning_job
from launch.preflight.problems import Context, Problem
from launch.requests import Place, Request, Work, build_training_job, build_tuning_job
from launch.search_space import to_ranges
from launch.sending.costing import Costs, cost_of_jobs, cost_of_search, price_of
from launch.sending.experiment import Experiment, example_lines, metric_definitions
from launch.sending.submission import TRAINING, Launch, code_uri
from launch.settings import JobSettings

#: Where the process backend runs a request; the same kinds of names as an account's.
_HERE = Place("arn:aws:iam::000000000000:role/this-machine", "dogbreed", "this-machine", "local")


@dataclass(frozen=True)
class Plan:
    """A request and what is known of it before it is sent.

    Attributes:
        launch: what it belongs to.
        request: exactly what is sent.
        problems: what is wrong with it, the worst first.
        uploads: path and bytes of each file of the code.
        notes: what else a user should know.
        local_command: the line that runs the same here.
        costs: what it costs.
        price_per_hour: USD for one instance; None where it costs nothing or is not known.
    """

    launch: Launch
    request: Request
    problems: Sequence[Problem]
    uploads: Sequence[tuple[str, int]]
    notes: Sequence[str]
    local_command: str
    costs: Costs
    price_per_hour: float | None

    def refuse(self, budget_usd: float | None, section: str = "sagemaker") -> None:
        """Raise a ConfigError where the request cannot work, or may cost more than the budget.

        Args:
            budget_usd: None for none.
            section: of the settings, by which hints name them.
        """
        fatal = [problem for problem in self.problems if problem.fatal]
        if fatal:
            told = "\n".join(f"  {problem.where}: {problem.got} (allowed: {problem.allowed})" for problem in fatal)
            hints = "; ".join(dict.fromkeys(problem.hint for problem in fatal))
            error = ConfigError(f"{len(fatal)} problems with the request:\n{told}", "none", hints)
            raise ConfigError(*(text.replace("sagemaker.", f"{section}.") for text in error.args))
        needed = self.costs.for_budget
        if budget_usd is not None and (needed is None or needed > budget_usd):
            cost = "has no known price" if needed is None else f"may cost {needed:,.2f} USD"
            raise ConfigError(f"it {cost}", f"budget_usd={budget_usd:,.2f}", "look at the plan: dry_run=true")

    def text(self, style: str) -> str:
        """The whole plan as it is shown; the request as "yaml" or "json"."""
        request = (
            json.dumps(self.request, indent=2) if style == "json" else yaml.safe_dump(self.request, sort_keys=False)
        )
        size = sum(size for _, size in self.uploads)
        return "\n".join(
            [
                f"# {self.launch.kind} job {self.launch.name}",
                request.rstrip(),
                "",
                f"what is sent: {len(self.uploads)} files of code, {size / 1e6:.2f} MB",
                *(f"  {size:>9,}  {path}" for path, size in self.uploads),
                *(f"note: {note}" for note in self.notes),
                "",
                "the same here:",
                f"  {self.local_command}",
                "",
                self.costs.text,
                "",
                *_told(self.problems),
            ]
        )


class Found(NamedTuple):
    """What the settings and the environment say of the account.

    Attributes:
        place: with stand-ins for what is not said.
        problems: what is not said.
    """

    place: Place
    problems: tuple[Problem, ...]


def find_place(settings: JobSettings) -> Found:
    """Role, bucket, image and region, as the settings and the environment say; asks nobody."""
    if not settings.on_aws:
        return Found(_HERE, ())
    from launch.aws.session import bucket_of, image_of, region_of, role_of

    problems: list[Problem] = []

    def known(setting: str, find: Callable[[], str | None], stand_in: str) -> str:
        try:
            found = find()
        except DogbreedError as error:
            problems.append(Problem(setting, error.got, error.allowed, error.hint))
            return stand_in
        if found is None:
            problems.append(Problem(setting, "not set, nor in the environment", "such as us-east-1", f"{setting}=NAME"))
        return found or stand_in

    region = known("sagemaker.region", lambda: region_of(settings), "us-east-1")
    role = known("sagemaker.role", lambda: role_of(settings), "arn:aws:iam::000000000000:role/not-set")
    bucket = known("sagemaker.bucket", lambda: bucket_of(settings, region, role), "not-set")
    image = known("sagemaker.image", lambda: image_of(settings, region), "not-set")
    return Found(Place(role, bucket, image, region), tuple(problems))


def pack(settings: JobSettings, extras: Sequence[str]) -> CodeArchive:
    """The code as it is now."""
    requirements = None if settings.requirements is None else Path(settings.requirements).expanduser()
    return pack_code(extras=extras, requirements=requirements)


def show(plan: Plan, style: str, directory: Path) -> None:
    """Print a plan; the folder that Hydra made for a run that does not come is taken away."""
    print(plan.text(style))
    with suppress(OSError):  # it holds something
        directory.rmdir()


def plan_training(
    experiment: Experiment, launch: Launch, found: Found, code: CodeArchive, sweeper: Mapping[str, Any] | None = None
) -> Plan:
    """The plan of one training job.

    Args:
        experiment: what it runs.
        launch: what it belongs to.
        found: of the account.
        code: that travels.
        sweeper: Hydra's own settings of a sweep, for a job that is one.

    Raises:
        ConfigError: the experiment cannot be run elsewhere.
    """
    region = found.place.region
    request = build_training_job(launch.name, experiment.settings, found.place, _work(experiment, launch, found, code))
    if experiment.sweeper and sweeper is not None:
        space, _ = parse_space(sweeper["params"] or {}, [])
        trials = sweeper["n_trials"]
        costs = cost_of_search(experiment, region, space, trials, "hydra/sweeper=fleet")
    else:
        costs = cost_of_jobs(experiment, region)
    return _plan(experiment, launch, request, found, check_training_job(request, _context(experiment)), code, costs)


def plan_tuning(experiment: Experiment, launch: Launch, found: Found, code: CodeArchive, space: SearchSpace) -> Plan:
    """The plan of a tuning job over `space`; what the experiment's overrides say holds for every trial.

    Raises:
        ConfigError: the space or the experiment cannot be expressed.
    """
    assert experiment.tuner is not None
    monitor, tuner = experiment.config.monitor, experiment.tuner
    if space.size is not None and space.size < tuner.n_trials:  # AWS refuses more jobs than there are settings
        tuner = replace(tuner, n_trials=space.size)
    request = build_tuning_job(
        launch.name,
        experiment.settings,
        tuner,
        found.place,
        _work(experiment, launch, found, code),
        ranges=to_ranges(space, tuner.strategy),
        objective=monitor,
        direction=direction(monitor),
        epochs=experiment.config.trainer.max_epochs,
    )
    trials = (space.size or tuner.n_trials) if tuner.strategy == "Grid" else tuner.n_trials
    costs = cost_of_search(experiment, found.place.region, space, trials, "launch.tune")
    plan = _plan(experiment, launch, request, found, check_tuning_job(request, _context(experiment)), code, costs)
    return replace(plan, local_command=_sweep_here(experiment, space, trials))


def _work(experiment: Experiment, launch: Launch, found: Found, code: CodeArchive) -> Work:
    place = found.place
    return Work(
        hyperparameters=experiment.hyperparameters,
        code=code_uri(place.bucket, experiment.settings, code),
        channels=experiment.channels,
        metrics=[] if experiment.command else metric_definitions(),
        processes=experiment.processes,
        command=experiment.command,
        debugger=_debugger(experiment, launch, place) if launch.kind == TRAINING else {},
        revision=git_revision() or "",
        launch=launch.token,
        experiment=experiment.name,
    )


def _debugger(experiment: Experiment, launch: Launch, place: Place) -> Mapping[str, Any]:
    if experiment.settings.debugger is None or not experiment.settings.on_aws:
        return {}
    from launch.aws.session import debugger_image

    hook = hook_content(experiment)
    rules: dict[str, Any] = OmegaConf.to_container(experiment.config.health.rules or OmegaConf.create())  # type: ignore[assignment]
    output = f"s3://{place.bucket}/{experiment.settings.prefix.strip('/')}/debugger/{launch.name}"
    return build_debugger(rules, hook, output=output, image=debugger_image(place.region))


def hook_content(experiment: Experiment) -> Mapping[str, Any] | None:
    """What conf/hook says, in the format of debughookconfig.json; None without a hook."""
    if OmegaConf.select(experiment.config, "hook._target_") is None:
        return None
    settings: dict[str, Any] = OmegaConf.to_container(experiment.config.hook, resolve=True)  # type: ignore[assignment]
    settings.pop("_target_")
    return from_settings(**settings).content


def _context(experiment: Experiment) -> Context:
    if experiment.command:
        return Context()
    config = experiment.config
    hook = hook_content(experiment)
    regexes = {
        entry["CollectionName"]: [
            part.strip() for part in entry["CollectionParameters"].get("include_regex", "").split(",") if part.strip()
        ]
        for entry in (hook or {}).get("CollectionConfigurations", ())
    }
    names = None
    if any(regexes.values()):
        from launch.sending.tensors import tensor_names

        names = tensor_names(config)
    return Context(
        precision=str(config.trainer.precision),
        batch_size=config.data.batch_size,
        devices=experiment.processes,
        accelerator=config.trainer.accelerator,
        monitor=config.monitor,
        log_lines=example_lines(),
        tensor_names=names,
        hook=regexes or None,
        pictures_bytes=None,
    )


def _sweep_here(experiment: Experiment, space: SearchSpace, trials: int) -> str:
    """The line that tries as many settings of the space here."""
    sweeps = [f"{key}={text}" for key, text in space.describe().items()]
    chosen = ["hydra/sweeper=fleet", f"hydra.sweeper.n_trials={trials}"]
    return command("dogbreed.train", ["-m", *chosen, *experiment.overrides, *sweeps])


def _plan(
    experiment: Experiment,
    launch: Launch,
    request: Request,
    found: Found,
    problems: Sequence[Problem],
    code: CodeArchive,
    costs: Costs,
) -> Plan:
    price = price_of(experiment.settings, found.place.region) if experiment.settings.on_aws else None
    return Plan(
        launch=launch,
        request=request,
        problems=[*found.problems, *problems],
        uploads=code.files,
        notes=code.notes,
        local_command=experiment.local_command,
        costs=costs,
        price_per_hour=None if price is None else price.usd_per_hour,
    )


def _told(problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return ["nothing is wrong with it"]
    return [
        f"{'problem' if problem.fatal else 'note'}: {problem.where}: {problem.got}\n"
        f"  allowed: {problem.allowed}\n  what to do: {problem.hint}"
        for problem in problems
    ]
