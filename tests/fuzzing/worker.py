"""The process that meets the cases: one after the other, so that what takes seconds to load is loaded once."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import re
import resource
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzzing.case import Case, Kind, Wrong, make_kind, rng_of

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Task:
    """A case to make and to meet; or, where `case` is given, that one."""

    kind: str
    seed: int
    number: int
    case: Case | None = None


@dataclass(frozen=True)
class Ended:
    """How a case ended.

    Attributes:
        outcome: "right" or "refused"; empty for a finding.
        cpu_s: that it took of this process.
        peak: bytes of memory that this process had at once.
        failure: what was raised and where, in one line; None where nothing was.
        trace: the whole traceback.
    """

    outcome: str
    cpu_s: float
    peak: int
    failure: str | None = None
    trace: str = ""


def run(pipe: Connection, bases: Path, work: Path) -> None:
    """Meet the tasks that come through the pipe until None comes."""
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    # What native code says, and the stacks of a process that dies, go to a file.
    log = open(work / "log.txt", "w")  # noqa: SIM115  open as long as the process lives
    faulthandler.enable(log)
    os.dup2(log.fileno(), 2)
    kinds: dict[str, Kind] = {}
    while (task := pipe.recv()) is not None:
        if task.kind not in kinds:
            kinds[task.kind] = make_kind(task.kind, bases, work / task.kind)
        pipe.send(None)  # it begins
        pipe.send(meet(kinds[task.kind], task))


def meet(kind: Kind, task: Task) -> Ended:
    """How one case ends."""
    case = kind.make(rng_of(task.seed, task.kind, task.number), task.number) if task.case is None else task.case
    _forget_peak()
    start = time.process_time()
    outcome, failure, trace = "", None, ""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            outcome = kind.check(case)
        except BaseException as error:  # whatever it is, it is what we look for
            failure, trace = describe(error), traceback.format_exc()
    return Ended(outcome, time.process_time() - start, _peak(), failure, trace)


def describe(error: BaseException) -> str:
    """What a failure is told from others by: its type, and the innermost place in our code that it passed."""
    if isinstance(error, Wrong):
        return f"wrong: {error.args[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if re.match(rf"{re.escape(str(_REPOSITORY))}/(dogbreed|launch)/", one.filename)]
    place = (ours or frames)[-1]
    file = place.filename.removeprefix(f"{_REPOSITORY}/")
    return f"{type(error).__name__} in {file}:{place.name}"


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
