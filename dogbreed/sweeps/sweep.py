"""A whole sweep: waves of proposals, trained, written down, told back; at its end a winner."""

from __future__ import annotations

import signal
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from dogbreed.errors import ConfigError, DogbreedError
from dogbreed.models.metrics import direction
from dogbreed.runs import command
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.engines import Engine, Features, FleetEngine, JobEngine, Launch
from dogbreed.sweeps.halving import Halving
from dogbreed.sweeps.journal import Journal, Record
from dogbreed.sweeps.leaderboard import SEED
from dogbreed.sweeps.progress import Progress
from dogbreed.sweeps.proposals import Proposals
from dogbreed.sweeps.space import SearchSpace, parse_space
from dogbreed.sweeps.trials import Configs, Trial
from dogbreed.sweeps.winner import crown

_OWN = ("resume", "search_space")  # keys of the sweep itself, of no trial
_SHARED = ("monitor", "resume", "paths.output_dir")  # one value for all trials


@dataclass(frozen=True)
class Settings:
    """How to sweep: the fields of hydra.sweeper.

    Attributes:
        fleet: train side by side in this process; otherwise each trial is a job of Hydra's launcher.
        n_trials: how many, counting each seed of a setting.
        sampler: random, sobol, grid or tpe.
        batch: trials in a wave; what a wave has reached is known to the next.
        seed: of the proposals.
        halving: {first, factor} to stop hopeless trials, or None.
        winner: whether the winner is trained alone at the end, tested once and saved.
    """

    fleet: bool
    n_trials: int
    sampler: str
    batch: int
    seed: int
    halving: Mapping[str, int] | None
    winner: bool

    def __post_init__(self) -> None:
        for name, least in (("n_trials", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name}={value}", f"a whole number >= {least}", f"set hydra.sweeper.{name}")
        for name in ("fleet", "winner"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name}={getattr(self, name)}", "true or false", f"set hydra.sweeper.{name}")
        if self.halving is not None:
            wrong = set(self.halving) != {"first", "factor"} or not all(type(v) is int for v in self.halving.values())
            if wrong:
                raise ConfigError(
                    f"halving={dict(self.halving)}",
                    "null, or two whole numbers: {first: epochs before the first cut, factor: 1/factor goes on}",
                    "hydra.sweeper.halving={first:1,factor:3}",
                )
            if not self.fleet:
                raise ConfigError(
                    "halving with jobs", "halving in the fleet", "use hydra/sweeper=fleet, or halving=null"
                )


def run_sweep(
    settings: Settings,
    params: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    directory: Path,
    compose: Callable[[list[str]], DictConfig],
    launch: Launch,
    module: str,
    options: Sequence[str],
) -> list[Record]:
    """Sweep, and leave trials.jsonl, trials.csv, trials.json, best.yaml and the winner in `directory`.

    Args:
        settings: how.
        params: what varies, key -> sweep in Hydra's grammar.
        overrides: the command line's, sweeps and others.
        directory: of the sweep.
        compose: overrides -> config, by Hydra.
        launch: runs jobs by Hydra's launcher.
        module: the command that is swept, such as "dogbreed.train".
        options: the command line's overrides of Hydra's own settings, to repeat them.

    Raises:
        DogbreedError: a mistake of the user's; or no trial succeeded.
    """
    space, given = parse_space(params, overrides)
    fixed = [line for line in given if line.split("=")[0] not in _OWN]
    _check(space)
    configs = Configs(compose, fixed)
    resume, monitor = _choices([*given], compose)
    halving = None if settings.halving is None else Halving(**settings.halving)
    seeds, settings_space = _seeds(space), space.without(SEED)
    proposals = Proposals(settings_space, settings.sampler, seed=settings.seed, direction=direction(monitor))
    total = _count(settings, settings_space, len(seeds))
    again = command(
        module, ["-m", *_without(options, "hydra.sweep.dir"), *_without(overrides, "resume")],
        f"hydra.sweep.dir={directory}", "resume=true",
    )  # fmt: skip
    plan = {
        "space": space.describe(), "overrides": fixed, "monitor": monitor,
        **{name: getattr(settings, name) for name in ("fleet", "sampler", "batch", "seed")},
        "halving": None if settings.halving is None else dict(settings.halving),
    }  # fmt: skip
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(directory, plan, resume=resume))
        stack.enter_context(_interruptible(again))
        jobs, features = JobEngine(launch, fixed, directory, monitor, resume=resume), Features()
        engine: Engine = jobs
        if settings.fleet:
            engine = stack.enter_context(FleetEngine(configs, features, jobs, monitor, halving))
        progress = Progress(total * len(seeds), sum(map(journal.is_done, range(total * len(seeds)))), monitor)
        stack.callback(progress.close)
        progress.say(f"{total * len(seeds)} trials by {settings.sampler} in {directory}; if interrupted:\n  {again}")
        per_wave = max(1, settings.batch // len(seeds))
        _run_waves(proposals, total, per_wave, seeds, journal, engine, progress, monitor)
        if isinstance(engine, FleetEngine):
            engine.close()
        progress.close()
        records = [journal.last[number] for number in sorted(journal.last)]
        crown(records, monitor, directory, configs, features, jobs if settings.winner else None, launch, module, fixed)
    return records


def _run_waves(
    proposals: Proposals,
    total: int,
    per_wave: int,
    seeds: Sequence[Value],
    journal: Journal,
    engine: Engine,
    progress: Progress,
    monitor: str,
) -> None:
    for record in journal.last.values():
        progress.note(record)

    def keep(record: Record) -> None:
        journal.add(record)
        progress.add(record)

    for first in range(0, total, per_wave):
        proposed = proposals.ask(min(per_wave, total - first))
        trials = [
            Trial((first + place) * len(seeds) + number, setting if seed is None else {**setting, SEED: seed})
            for place, setting in enumerate(proposed)
            for number, seed in enumerate(seeds)
        ]
        _check_replay(trials, journal)
        missing = [trial for trial in trials if not journal.is_done(trial.number)]
        if missing:
            engine.run(missing, keep, progress)
            journal.write_tables(monitor)
        numbers = [trial.number for trial in trials]
        proposals.tell(
            [
                _mean([journal.first[number].value for number in numbers[place : place + len(seeds)]])
                for place in range(0, len(numbers), len(seeds))
            ]
        )
    journal.write_tables(monitor)


def _check_replay(trials: Sequence[Trial], journal: Journal) -> None:
    """What is proposed now must be what was proposed before the interruption."""
    for trial in trials:
        before = journal.first.get(trial.number)
        if before is not None and before.params != trial.params:
            raise ConfigError(
                f"trial {trial.number} was {before.params} before the interruption, and would be {trial.params} now",
                "the same version of the sampler as before",
                "go on with the versions that began this sweep, or choose another hydra.sweep.dir",
            )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _check(space: SearchSpace) -> None:
    for key in space.dimensions:
        if key in _SHARED or key in _OWN:
            raise ConfigError(f"a sweep over {key}", "one value for all trials", f"choose one {key}")


def _choices(overrides: list[str], compose: Callable[[list[str]], DictConfig]) -> tuple[bool, str]:
    """Whether to resume, and the monitor."""
    config = compose(overrides)
    if not isinstance(config.resume, bool):
        raise ConfigError(f"resume={config.resume}", "true or false", "set resume")
    direction(config.monitor)
    return config.resume, config.monitor


def _seeds(space: SearchSpace) -> list[Value]:
    """The seeds with each of which every setting is tried; [None] where the seed does not vary."""
    if SEED not in space.dimensions:
        return [None]
    values = space.dimensions[SEED].values
    if values is None:
        raise ConfigError(f"seed={space.dimensions[SEED]}", "seeds that can be counted: seed=0,1,2", "list the seeds")
    return list(values)


def _count(settings: Settings, space: SearchSpace, seeds: int) -> int:
    """How many settings to try."""
    wanted = settings.n_trials // seeds
    if wanted == 0:
        raise ConfigError(
            f"n_trials={settings.n_trials} with {seeds} seeds",
            "a trial for each seed at least",
            f"hydra.sweeper.n_trials={seeds}",
        )
    if settings.sampler == "grid" and space.size is not None and space.size > wanted:
        raise ConfigError(
            f"a grid of {space.size * seeds} trials with n_trials={settings.n_trials}",
            "the whole grid",
            f"hydra.sweeper.n_trials={space.size * seeds}, or another sampler",
        )
    return wanted if space.size is None else min(wanted, space.size)


def _without(lines: Sequence[str], key: str) -> list[str]:
    return [line for line in lines if line.split("=")[0] != key]


@contextmanager
def _interruptible(again: str) -> Iterator[None]:
    """Say how to go on, however the block is interrupted; and let SIGTERM interrupt it in order."""

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        print(f"interrupted; every trial that finished is kept. Go on with:\n  {again}", flush=True)
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    except (DogbreedError, HydraException):
        raise
    except ValueError as error:
        raise RuntimeError("a defect in the sweep, not a mistake in the config") from error  # see app.run_app
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)
