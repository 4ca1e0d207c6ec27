"""What a launch is going to do: its request, what is wrong with it, what is sent, what it costs, the same run here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from omegaconf import OmegaConf

from dogbreed.directions import direction
from dogbreed.errors import DogbreedError
from dogbreed.health.smdebug.config import from_settings
from dogbreed.runs import command, git_revision
from dogbreed.sweeps.settings import SEED, seeds_of
from dogbreed.sweeps.settings import Settings as SweepSettings
from dogbreed.sweeps.space import SearchSpace, parse_space
from launch.debugger import build_debugger
from launch.files.packaging import CodeArchive, pack_code
from launch.preflight.checks import check_training_job, check_tuning_job
from launch.preflight.problems import Context, Problem, ordered, refuse, told
from launch.requests import Place, Request, Work, build_training_job, build_tuning_job, request_text
from launch.search_space import to_ranges
from launch.sending.checking import Checked, check_config, check_space
from launch.sending.costing import Costs, cost_of_jobs, cost_of_search, price_of
from launch.sending.experiment import Experiment, example_lines, metric_definitions
from launch.sending.submission import TRAINING, Launch, code_uri
from launch.settings import JobSettings, renamed

if TYPE_CHECKING:
    from launch.aws.session import Account

#: Where the process backend runs a request; the same kinds of names as an account's.
_HERE = Place("arn:aws:iam::000000000000:role/this-machine", "dogbreed", "this-machine", "local")

_Part = TypeVar("_Part")


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

    @property
    def fatal(self) -> list[Problem]:
        """What keeps it from being sent."""
        return [problem for problem in self.problems if problem.fatal]

    def refuse(self) -> None:
        """Raise a ConfigError where it must not be sent."""
        refuse(self.problems)

    def text(self, style: str) -> str:
        """The whole plan as it is shown; the request as "yaml" or "json"."""
        size = sum(size for _, size in self.uploads)
        return "\n".join(
            [
                f"# {self.launch.kind} job {self.launch.name}",
                request_text(self.request, style),
                "",
                f"what is sent: {len(self.uploads)} files of code, {size / 1e6:.2f} MB",
                *self._folders(),
                *(f"note: {note}" for note in self.notes),
                "",
                "the same here:",
                f"  {self.local_command}",
                "",
                self.costs.text,
                "",
                *told(self.problems),
            ]
        )

    def _folders(self) -> list[str]:
        """Files and bytes of each folder of what is sent."""
        sizes: dict[str, list[int]] = {}
        for path, size in self.uploads:
            folder, _, rest = path.partition("/")
            sizes.setdefault(folder + "/" * bool(rest), []).append(size)
        return [f"  {sum(each):>9,}  {name} ({len(each)})" for name, each in sizes.items()]


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
    from launch.aws.session import image_of

    return find_account(settings, lambda region: image_of(settings, region))


def find_account(settings: Account, image_in: Callable[[str], str]) -> Found:
    """The same for settings of any kind; `image_in` gives the image of a region."""
    from launch.aws.session import bucket_of, region_of, role_of

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
    image = known("sagemaker.image", lambda: image_in(region), "not-set")
    return Found(Place(role, bucket, image, region), tuple(problems))


def pack(settings: JobSettings, extras: Sequence[str]) -> CodeArchive:
    """The code as it is now."""
    requirements = None if settings.requirements is None else Path(settings.requirements).expanduser()
    return pack_code(extras=extras, requirements=requirements)


def show(plan: Plan, style: str, directory: Path) -> None:
    """Print a plan, and exit with 1 where it must not be sent.

    The folder that Hydra made for a run that does not come is taken away.
    """
    print(plan.text(style), flush=True)
    if directory.is_dir() and {path.name for path in directory.iterdir()} <= {".hydra"}:
        shutil.rmtree(directory)
    if plan.fatal:
        raise SystemExit(1)


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
    region, config_name = found.place.region, "launch"
    work, problems = _work(experiment, launch, found, code)
    request = build_training_job(launch.name, experiment.settings, found.place, work)
    checked = Checked((), (), None)
    if experiment.sweeper and sweeper is not None:
        space, _ = parse_space(sweeper["params"] or {}, [])
        fields = {key: value for key, value in sweeper.items() if key not in ("_target_", "params")}
        settings = SweepSettings.of(fields)
        trials = settings.count(space.without(SEED), len(seeds_of(space))) * len(seeds_of(space))
        fixed = [line for line in experiment.overrides if not line.startswith("search_space=")]
        checked = check_space(space, fixed, config_name, experiment.settings)
        costs = cost_of_search(experiment, region, space, trials, "hydra/sweeper=fleet")
    else:
        costs = cost_of_jobs(experiment, region)
    found_wrong = check_training_job(request, _context(experiment, checked.batch_size))
    return _plan(experiment, launch, request, found, [*problems, *checked.problems, *found_wrong], code, costs)


def plan_tuning(
    experiment: Experiment,
    launch: Launch,
    found: Found,
    code: CodeArchive,
    space: SearchSpace,
    checked: Checked,
    best: Experiment | None = None,
) -> Plan:
    """The plan of a tuning job over `space`; what the experiment's overrides say holds for every trial.

    Args:
        experiment: what all trials share.
        launch: what it belongs to.
        found: of the account.
        code: that travels.
        space: what varies.
        checked: what was found out about its trials.
        best: what the best setting will be trained as once more; None where it will not.

    Raises:
        ConfigError: the space or the experiment cannot be expressed.
    """
    assert experiment.tuner is not None
    monitor, tuner = experiment.config.monitor, experiment.tuner
    if space.size is not None and space.size < tuner.n_trials:  # AWS refuses more jobs than there are settings
        tuner = replace(tuner, n_trials=space.size)
    work, problems = _work(experiment, launch, found, code)
    request = build_tuning_job(
        launch.name,
        experiment.settings,
        tuner,
        found.place,
        work,
        ranges=to_ranges(space, tuner.strategy),
        objective=monitor,
        direction=direction(monitor),
        epochs=experiment.config.trainer.max_epochs,
    )
    if experiment.settings.debugger is not None:
        hint = "leave sagemaker.debugger out: the rules in each job are the library's own"
        problems.append(Problem("sagemaker.debugger", "AWS's Debugger in a tuning job", "in a training job", hint))
    trials = (space.size or tuner.n_trials) if tuner.strategy == "Grid" else tuner.n_trials
    costs = cost_of_search(experiment, found.place.region, space, trials, "launch.tune")
    if best is not None:
        costs = _with_best(costs, cost_of_jobs(best, found.place.region))
        problems += check_config(best.config, best.settings, "train_best")
    found_wrong = check_tuning_job(request, _context(experiment, checked.batch_size))
    notes = (
        ["in a container of one's own the trials run the code that is in its image"]
        if experiment.settings.image
        else []
    )
    plan = _plan(experiment, launch, request, found, [*problems, *checked.problems, *found_wrong], code, costs)
    return replace(plan, local_command=_sweep_here(experiment, space, trials), notes=[*plan.notes, *notes])


def _with_best(costs: Costs, best: Costs) -> Costs:
    """The same, and the job that trains the best setting once more."""
    known = None not in (costs.for_budget, best.for_budget)
    together = (costs.for_budget or 0.0) + (best.for_budget or 0.0) if known else None
    more = "unknown" if best.for_budget is None else f"up to {best.for_budget:,.2f} USD, as one trial takes"
    return Costs(f"{costs.text}\n  the best one, once more (train_best): {more}", together)


def _work(experiment: Experiment, launch: Launch, found: Found, code: CodeArchive) -> tuple[Work, list[Problem]]:
    """What the job does, with stand-ins for what is wrong with it."""
    place = found.place
    problems = [] if experiment.command else list(check_config(experiment.config, experiment.settings))

    def known(where: str, find: Callable[[], _Part], stand_in: _Part) -> _Part:
        try:
            return find()
        except DogbreedError as error:
            if all(problem.got != error.got for problem in problems):
                problems.append(Problem(where, error.got, error.allowed, error.hint))
            return stand_in

    channels: dict[str, str] = known("what it reads", lambda: experiment.channels, dict[str, str]())
    work = Work(
        hyperparameters=known("the overrides", lambda: experiment.hyperparameters, {}),
        code=code_uri(place.bucket, experiment.settings, code),
        channels=channels,
        metrics=[] if experiment.command else metric_definitions(),
        processes=known("processes", lambda: experiment.processes, 1),
        command=experiment.command,
        debugger=_debugger(experiment, launch, place) if launch.kind == TRAINING else {},
        revision=git_revision() or "",
        launch=launch.token,
        experiment=experiment.name,
    )
    return work, problems


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


def _context(experiment: Experiment, batch_size: int | None = None) -> Context:
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
    devices = str(config.trainer.devices)
    return Context(
        precision=str(config.trainer.precision),
        batch_size=batch_size or config.data.batch_size,
        devices=int(devices) if devices.isdigit() else None,
        accelerator=config.trainer.accelerator,
        monitor=config.monitor,
        log_lines=example_lines(),
        tensor_names=names,
        hook=regexes or None,
        pictures_bytes=experiment.data_bytes if experiment.settings.on_aws else None,
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
    settings, needed = experiment.settings, costs.for_budget
    price = price_of(settings, found.place.region) if settings.on_aws else None
    problems = [*found.problems, *problems]
    if settings.budget_usd is not None and (needed is None or needed > settings.budget_usd):
        got = "no price is known" if needed is None else f"{needed:,.2f} USD are expected, or may be needed"
        hint = "fewer jobs, sagemaker.expected_minutes where you know them, or else a smaller sagemaker.max_run_s; "
        hint += "another sagemaker.instance_type, or a higher sagemaker.budget_usd"
        problems.append(Problem("sagemaker.budget_usd", got, f"{settings.budget_usd:,.2f} USD", hint))
    notes = list(code.notes)
    if experiment.channels_known("data") and experiment.data_bytes is not None:
        notes.append(f"the data, {experiment.data_bytes / 1e6:,.1f} MB here, is read from its channel and not sent now")
    return Plan(
        launch=launch,
        request=request,
        problems=ordered(renamed_problem(problem, experiment.section) for problem in problems),
        uploads=code.files,
        notes=notes,
        local_command=experiment.local_command,
        costs=costs,
        price_per_hour=None if price is None else price.usd_per_hour,
    )


def renamed_problem(problem: Problem, section: str) -> Problem:
    """The same, its settings by the names that they have where the user sets them."""
    if section == "sagemaker":
        return problem
    return problem._replace(
        where=renamed(problem.where, section),
        got=renamed(problem.got, section),
        allowed=renamed(problem.allowed, section),
        hint=renamed(problem.hint, section),
    )
