"""A whole sweep, from the command line's overrides to the winner."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from dogbreed.directions import direction
from dogbreed.errors import ConfigError
from dogbreed.files import from_here
from dogbreed.runs import command
from dogbreed.sweeps.engines import Engine, Features, FleetEngine, JobEngine, Launch
from dogbreed.sweeps.journal import Journal
from dogbreed.sweeps.progress import Progress
from dogbreed.sweeps.proposals import Proposals
from dogbreed.sweeps.settings import SEED, Settings, seeds_of
from dogbreed.sweeps.space import SearchSpace, parse_space
from dogbreed.sweeps.trials import Configs
from dogbreed.sweeps.waves import Waves
from dogbreed.sweeps.winner import crown

_OWN = ("resume", "search_space")  # the sweep's, and no trial's
_SHARED = ("monitor", "resume", "search_space", "paths.output_dir")  # one value for all trials


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
) -> None:
    """Sweep; leaves trials.jsonl, trials.csv, trials.json, best.yaml, summary.json and the winner in `directory`.

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
    _check(space)
    fixed = [line for line in given if _key(line) not in _OWN]
    config = compose(given)
    resume, monitor = config.resume, config.monitor
    if not isinstance(resume, bool):
        raise ConfigError(f"resume={resume}", "true or false", "set resume")
    seeds, tried = seeds_of(space), space.without(SEED)
    count = settings.count(tried, len(seeds))
    proposals = Proposals(tried, settings.sampler, seed=settings.seed, direction=direction(monitor))
    waves = Waves(proposals, seeds, max(1, settings.batch // len(seeds)))
    plan = {"space": space.describe(), "overrides": fixed, "monitor": monitor, **settings.plan()}
    again = _command(module, overrides, options, directory)
    configs, features = Configs(compose, fixed), Features()
    jobs = JobEngine(launch, fixed, directory, monitor, resume=resume)
    with Journal(directory, plan, resume=resume) as journal, interruptible(again):
        with ExitStack() as stack:
            engine: Engine = jobs
            if settings.fleet:
                engine = stack.enter_context(FleetEngine(configs, features, jobs, settings.make_halving()))
            progress = stack.enter_context(Progress(count * len(seeds), journal, monitor))
            told = f" ({count} settings x {len(seeds)} seeds)" if len(seeds) > 1 else ""
            progress.say(f"{count * len(seeds)} trials{told} by {settings.sampler} in {from_here(directory)}")
            progress.say(f"if it is interrupted, it goes on with:\n  {again}")
            waves.run(count, engine, journal, progress, monitor)
        proposed = [journal.last[number] for number in range(count * len(seeds)) if number in journal.last]
        crown(proposed, jobs, configs, features, module, train=settings.winner)


def _check(space: SearchSpace) -> None:
    for key in space.dimensions:
        if key.lstrip("+") in _SHARED:
            raise ConfigError(f"a sweep over {key}", "one value for all trials", f"choose one {key}")


def _command(module: str, overrides: Sequence[str], options: Sequence[str], directory: Path) -> str:
    """What continues the sweep."""
    kept = [line for line in (*options, *overrides) if _key(line) not in ("resume", "hydra.sweep.dir", "hydra.mode")]
    return command(module, ["-m", *kept], f"hydra.sweep.dir={from_here(directory)}", "resume=true")


def _key(line: str) -> str:
    return line.split("=")[0]


@contextmanager
def interruptible(again: str) -> Iterator[None]:
    """Say how to go on, however the block is interrupted; and let SIGTERM interrupt it in order."""
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    handled = [signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    # Where it has another handler it is ignored, as behind a script's &, or somebody else's.
    if handled and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handled.append(signal.SIGINT)
    previous = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
        if received:  # whoever cut a trial short took the signal for an error of that trial
            raise SystemExit(128 + received[0])
    except BaseException as error:
        # What a signal cuts short may raise an error of its own as it is put away: the signal is the reason then.
        if received or isinstance(error, KeyboardInterrupt | SystemExit):
            if isinstance(error, Exception):
                print(f"after the signal: {type(error).__name__}: {error}", file=sys.stderr)
            print(f"interrupted; every trial that finished is kept. Go on with:\n  {again}", flush=True)
            code = error.code if isinstance(error, SystemExit) and not received else None
            raise SystemExit(128 + (received or [signal.SIGINT])[0] if code is None else code) from error
        if isinstance(error, ValueError) and not isinstance(error, HydraException):
            # dogbreed.app would take it for a mistake in the config, which has been composed by now.
            raise RuntimeError("a defect in the sweep") from error
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
