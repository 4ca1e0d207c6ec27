"""What trains the trials of a sweep: the fleet in this process, or jobs of Hydra's launcher."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import redirect_stderr
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from dogbreed.checking import needs_pixels
from dogbreed.errors import ConfigError, DataError, DogbreedError, WeightsError
from dogbreed.prepare import Prepared, prepare
from dogbreed.sweeps.fleet import Fleet, Outcome
from dogbreed.sweeps.halving import Halving
from dogbreed.sweeps.journal import Record, make_record
from dogbreed.sweeps.progress import Progress
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.trials import Configs, Trial, find_obstacle, fleet_settings, group_key, make_recipe

#: Overrides of the jobs, number of the first -> what became of each, in groups that ended together.
Launch = Callable[[Sequence[Sequence[str]], int], Iterable[Sequence[JobReturn]]]


class Engine(Protocol):
    """Trains trials, and keeps the record of each as soon as it has ended."""

    def run(self, wave: Sequence[Trial], missing: Set[int], keep: Callable[[Record], None], progress: Progress) -> None:
        """Train those trials of a wave that are missing, by number; each is kept once."""


class Features:
    """The features of the latest group of trials: computed, or read from the cache, once for all of them."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._prepared: Prepared | None = None

    def of(self, config: DictConfig) -> Prepared:
        """What the config trains on."""
        key = group_key(config)
        if self._prepared is None or key != self._key:
            self._prepared, self._key = None, key  # first of all let go of the others
            self._prepared = prepare(config)
        return self._prepared


class JobEngine:
    """Each trial is a run of `dogbreed.train`, sent by whichever launcher Hydra is configured with.

    Args:
        launch: sends runs.
        fixed: the overrides that all trials share.
        directory: of the sweep; each trial has a folder with its number there.
        monitor: the objective.
        resume: whether trials that were begun before go on from their checkpoint.
    """

    def __init__(self, launch: Launch, fixed: Sequence[str], directory: Path, monitor: str, *, resume: bool) -> None:
        self.fixed, self.directory, self.monitor = list(fixed), directory, monitor
        self._launch, self._resume = launch, resume

    def run(self, wave: Sequence[Trial], missing: Set[int], keep: Callable[[Record], None], progress: Progress) -> None:
        """Train those trials of a wave that are missing, by number; each is kept once."""
        trials = [trial for trial in wave if trial.number in missing]
        jobs = [self._overrides(trial, str(trial.number), self._resume) for trial in trials]
        waiting, start = iter(trials), time.monotonic()
        for returns in self._launch(jobs, trials[0].number) if trials else ():
            seconds = (time.monotonic() - start) / len(returns)
            for job in returns:
                keep(self._record(next(waiting), job, seconds))
            start = time.monotonic()

    def run_once(self, trial: Trial, folder: str) -> Any:
        """Train one trial in a folder of its own, where it goes on if it was begun; what the run returns.

        Raises:
            Exception: what it died of.
        """
        begun = (self.directory / folder / "checkpoints").exists()
        launcher = logging.getLogger("hydra._internal.core_plugins.basic_launcher")
        level = launcher.level
        launcher.setLevel(logging.WARNING)  # it would say that it launches one job
        try:
            [[job]] = self._launch([self._overrides(trial, folder, begun)], trial.number)
        finally:
            launcher.setLevel(level)
        return _result(job)

    def _overrides(self, trial: Trial, folder: str, resume: bool) -> list[str]:
        where = [f"resume={str(resume).lower()}", f"hydra.sweep.subdir={folder}"]
        return [*self.fixed, *trial.overrides, *where]

    def _record(self, trial: Trial, job: JobReturn, seconds: float) -> Record:
        try:
            value = _result(job)
        except Exception as error:  # whatever a job may die of; the sweep goes on, and says so at its end
            return Record(trial.number, trial.params, "failed", seconds=seconds, error=_reason(error))
        curve = _read_curve(self.directory / str(trial.number) / "metrics.csv")
        if not curve:  # it ran elsewhere
            curve = [{"epoch": -1, self.monitor: float("nan") if value is None else float(value)}]
        return make_record(trial.number, trial.params, curve, self.monitor, seconds=seconds)


class FleetEngine:
    """Trials are trained side by side on shared features; those that a fleet cannot train run alone.

    Use it in a with block, which ends its processes.

    Args:
        configs: the config of each trial.
        features: what they train on.
        alone: trains what a fleet cannot, by the same objective.
        halving: stops hopeless trials; None trains all to their end.
    """

    def __init__(self, configs: Configs, features: Features, alone: JobEngine, halving: Halving | None) -> None:
        self._configs, self._features, self._alone, self._halving = configs, features, alone, halving
        self._monitor = alone.monitor
        self._fleet: Fleet | None = None
        self._key: str | None = None

    def __enter__(self) -> FleetEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of the fleet."""
        if self._fleet is not None:
            self._fleet.close()
        self._fleet = None

    def run(self, wave: Sequence[Trial], missing: Set[int], keep: Callable[[Record], None], progress: Progress) -> None:
        """Train those trials of a wave that are missing, by number; each is kept once.

        After an interruption the stacks are those of the whole wave again, so that every bit is the same, and
        halving compares the same trials.
        """
        alone: dict[str, list[Trial]] = {}
        groups: dict[str, dict[int, tuple[Trial, Recipe, DictConfig]]] = {}
        for trial in wave:
            try:
                config = self._configs.of(trial.params)
                reason, recipe = self._sort(config)
            except DogbreedError as error:
                if trial.number in missing:
                    keep(Record(trial.number, trial.params, "failed", error=_reason(error)))
                continue
            if reason is not None:
                if trial.number in missing:
                    alone.setdefault(reason, []).append(trial)
            else:
                groups.setdefault(group_key(config), {})[trial.number] = (trial, recipe, config)
        for key, members in groups.items():
            self._run_group(key, members, missing, keep, progress)
        self._run_alone(alone, missing, keep, progress)

    def _run_group(
        self,
        key: str,
        members: Mapping[int, tuple[Trial, Recipe, DictConfig]],
        missing: Set[int],
        keep: Callable[[Record], None],
        progress: Progress,
    ) -> None:
        lacking = {number: members[number][0] for number in sorted(missing & members.keys())}

        def keep_once(record: Record) -> None:
            del lacking[record.number]
            keep(record)

        try:
            if lacking:
                self._train(key, members, missing, keep_once, progress)
        except (ConfigError, DataError, WeightsError) as error:  # of this group alone; the others go on
            for trial in list(lacking.values()):
                keep_once(Record(trial.number, trial.params, "failed", error=_reason(error)))

    def _run_alone(
        self,
        alone: Mapping[str, Sequence[Trial]],
        missing: Set[int],
        keep: Callable[[Record], None],
        progress: Progress,
    ) -> None:
        for reason, listed in alone.items():
            numbers = ", ".join(str(trial.number) for trial in listed)
            progress.say(f"trained alone, for a fleet cannot do {reason}: trial {numbers}")
        if alone:
            self.close()  # its processes would only take room now
            for trial in (trial for listed in alone.values() for trial in listed):
                self._alone.run([trial], missing, keep, progress)  # one by one: each is kept when it ends

    def _sort(self, config: DictConfig) -> tuple[str | None, Recipe]:
        recipe = make_recipe(config)
        return find_obstacle(config) or needs_pixels(config) or recipe.obstacle(), recipe

    def _train(
        self,
        key: str,
        members: Mapping[int, tuple[Trial, Recipe, DictConfig]],
        missing: Set[int],
        keep: Callable[[Record], None],
        progress: Progress,
    ) -> None:
        config = next(iter(members.values()))[2]
        prepared = self._features.of(config)
        assert prepared.features is not None
        if self._fleet is None or self._key != key:
            self.close()
            views = prepared.features.views
            classes = prepared.pictures.num_classes
            self._fleet, self._key = Fleet(views["train"], views["val"], classes, **fleet_settings(config)), key
        about, recipes = _about(prepared), {}
        for number, (trial, recipe, _) in members.items():
            try:
                recipe.check_schedule(-(-len(prepared.features.views["train"]) // recipe.batch_size) * recipe.epochs)
                recipes[number] = recipe
            except ConfigError as error:  # of this trial alone
                if number in missing:
                    keep(Record(number, trial.params, "failed", error=_reason(error)))

        def end(number: int, outcome: Outcome) -> None:
            if number not in missing:
                return
            keep(
                make_record(
                    number,
                    members[number][0].params,
                    outcome.curve,
                    self._monitor,
                    seconds=outcome.seconds,
                    stopped=outcome.stopped,
                    backbone=about,
                )
            )

        self._fleet.train(
            recipes,
            monitor=self._monitor,
            halving=self._halving,
            wanted=missing,
            on_epoch=progress.epoch,
            on_end=end,
        )


def _result(job: JobReturn) -> Any:
    """What a job returned.

    Raises:
        Exception: what it died of.
    """
    with redirect_stderr(io.StringIO()):  # where Hydra repeats the overrides
        return job.return_value


def _about(prepared: Prepared) -> dict[str, Any]:
    assert prepared.features is not None
    speed = prepared.features.pictures_per_s
    return {
        "parameters": sum(parameter.numel() for parameter in prepared.backbone.parameters()),
        "pictures/s": None if speed is None else round(speed, 1),
    }


def _read_curve(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    return [{**row, "epoch": int(row["epoch"])} for row in rows]


def _reason(error: BaseException) -> str:
    if isinstance(error, DogbreedError):
        return f"{error.got} (allowed: {error.allowed})"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
