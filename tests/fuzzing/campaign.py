"""`python -m tests.fuzzing.campaign --cases 20000`: damaged and hostile things in numbers, each met under limits.

Every case must end right or with a DogbreedError, within 5 s of CPU time and 2 GiB of memory, in a process that
lives on. What does not is a finding: told once for each kind of failure, and kept as a seed that can be met again:
`python -m tests.fuzzing.campaign --replay FILE`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import psutil
from tqdm import tqdm

from tests.fuzzing import worker
from tests.fuzzing.case import SHARES, Case, make_kind, rng_of
from tests.fuzzing.worker import Ended, Task

MOST_S, MOST_BYTES = 5.0, 2 << 30  # of CPU time for one case, and of memory for its process
_MOST_WAIT_S = 120.0  # of the clock: for what waits and computes nothing
_LOOK_S = 0.1


@dataclass
class Tally:
    """What became of the cases of one kind."""

    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak: int = 0


@dataclass
class Finding:
    """Cases that fail in the same way.

    Attributes:
        kind: of the cases.
        failure: what they have in common.
        case: the first.
        trace: of the first.
        count: how many there were.
    """

    kind: str
    failure: str
    case: Case
    trace: str
    count: int = 0


class Campaign:
    """Meets cases, and remembers how they ended.

    Args:
        bases: a folder for undamaged things, which are made where they are missing.
        work: a folder for what the cases leave.
        processes: how many cases are met at once.
        out: a folder for the findings; None to keep none.
    """

    def __init__(self, bases: Path, work: Path, processes: int, out: Path | None = None) -> None:
        self._bases, self._work, self._processes, self._out = bases, work, processes, out
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.findings: dict[tuple[str, str], Finding] = {}

    def run(self, tasks: Sequence[Task], seconds: float) -> None:
        """Meet the tasks, as far as the time goes."""
        end, waiting = time.monotonic() + seconds, iter(tasks)
        workers = [_Worker(self._bases, self._work / str(number)) for number in range(self._processes)]
        with tqdm(total=len(tasks), unit="case", disable=None) as progress, _closed(workers):
            while True:
                for one in workers:
                    if one.task is None and time.monotonic() < end and (task := next(waiting, None)) is not None:
                        one.begin(task)
                busy = [one for one in workers if one.task is not None]
                if not busy:
                    return
                wait([one.pipe for one in busy], _LOOK_S)
                for one in busy:
                    task, ended = one.task, one.look()
                    if task is not None and ended is not None:
                        self._keep(task, ended)
                        progress.update()

    def _keep(self, task: Task, ended: Ended) -> None:
        tally = self.tallies[task.kind]
        tally.seconds += ended.cpu_s
        tally.slowest_s, tally.peak = max(tally.slowest_s, ended.cpu_s), max(tally.peak, ended.peak)
        failure = ended.failure
        if failure is None and ended.cpu_s > MOST_S:
            failure = f"more than {MOST_S:g} s"
        if failure is None and ended.peak > MOST_BYTES:
            failure = "more than 2 GiB"
        tally.outcomes["finding" if failure else ended.outcome] += 1
        if failure:
            known = self.findings.get((task.kind, failure))
            if known is None:
                known = Finding(task.kind, failure, self._case(task), ended.trace)
                self.findings[task.kind, failure] = known
                if self._out is not None:
                    tqdm.write(
                        f"{task.kind}: {failure}\n  python -m tests.fuzzing.campaign --replay {save(known, self._out)}"
                    )
            known.count += 1

    def _case(self, task: Task) -> Case:
        if task.case is not None:
            return task.case
        kind = make_kind(task.kind, self._bases, self._work / "again" / task.kind)
        return kind.make(rng_of(task.seed, task.kind, task.number), task.number)


class _Worker:
    """A process that meets one case at a time; a new one takes its place when it has to be killed."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._bases, self._work = bases, work
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=worker.run, args=(theirs, self._bases, self._work), daemon=True)
        self._process.start()
        theirs.close()
        self._watched = psutil.Process(self._process.pid)
        self._started = False

    def begin(self, task: Task) -> None:
        """Give it a case; it has none now."""
        self.task, self._started, self._begun, self._cpu_s = task, False, time.monotonic(), self._used_s()
        self.pipe.send(task)

    def look(self) -> Ended | None:
        """How the case ended, if it has; one that takes too much is ended here."""
        if self.pipe.poll():
            try:
                ended: Ended | None = self.pipe.recv()
            except (EOFError, OSError):
                self._process.join()
                return self._lost(f"the process died: {self._process.exitcode}")
            if ended is None:  # from here on it is the case that takes its time
                self._started, self._begun, self._cpu_s = True, time.monotonic(), self._used_s()
                return None
            self.task = None
            if ended.peak > MOST_BYTES:
                self._renew()
            return ended
        used_s, waited_s = self._used_s() - self._cpu_s, time.monotonic() - self._begun
        # On a machine that has much else to do a process may wait long for its turn.
        if self._started and (used_s > 2 * MOST_S or waited_s > _MOST_WAIT_S):
            return self._lost(f"more than {MOST_S:g} s")
        if self._memory() > 1.5 * MOST_BYTES:
            return self._lost("more than 2 GiB")
        return None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _lost(self, failure: str) -> Ended:
        log = (self._work / "log.txt").read_text(errors="replace")[-3000:]
        ended = Ended("", self._used_s() - self._cpu_s, self._memory(), failure, log)
        self._renew()
        return ended

    def _renew(self) -> None:
        self.close()
        self.task = None
        self._start()

    def _used_s(self) -> float:
        try:
            used = self._watched.cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def _memory(self) -> int:
        try:
            return int(self._watched.memory_info().rss)
        except psutil.Error:
            return 0


@contextmanager
def _closed(workers: Sequence[_Worker]) -> Iterator[None]:
    try:
        yield
    finally:
        for one in workers:
            one.close()


def draw_tasks(cases: int, seed: int, only: Sequence[str]) -> list[Task]:
    """So many tasks, divided among the kinds by their shares, in an order that ends well at any time."""
    shares = {name: share for name, share in SHARES.items() if not only or name in only}
    counts = {name: max(1, round(cases * share / sum(shares.values()))) for name, share in shares.items()}
    tasks = [Task(name, seed, number) for name, count in counts.items() for number in range(count)]
    random.Random(seed).shuffle(tasks)
    return tasks


def save(finding: Finding, folder: Path) -> Path:
    """Keep a finding's case; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"kind": finding.kind, "found": finding.failure, "case": finding.case}, indent=1)
    name = hashlib.sha256(f"{finding.kind} {finding.failure}".encode()).hexdigest()[:8]
    path = folder / f"{finding.kind}-{name}.json"
    path.write_text(content + "\n")
    path.with_suffix(".txt").write_text(f"{finding.failure}\n\n{finding.trace}", errors="backslashreplace")
    return path


def load(path: Path) -> Task:
    """The case of a file, to be met again."""
    content = json.loads(path.read_text())
    return Task(content["kind"], 0, 0, content["case"])


def table(campaign: Campaign) -> Iterator[str]:
    """Lines: what became of each kind, then the findings."""
    yield "kind          cases  right refused findings  cases/s slowest s    MiB"
    for name, tally in campaign.tallies.items():
        ends, count = tally.outcomes, sum(tally.outcomes.values())
        speed = count / max(tally.seconds, 1e-9)
        yield (
            f"{name:12} {count:6} {ends['right']:6} {ends['refused']:7} {ends['finding']:8} {speed:8.1f} "
            f"{tally.slowest_s:9.2f} {tally.peak >> 20:6}"
        )
    for finding in sorted(campaign.findings.values(), key=lambda one: -one.count):
        yield f"{finding.count:5} x {finding.kind}: {finding.failure}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; 0 where it found nothing, 1 otherwise."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        bases = options.bases or Path(temporary) / "bases"
        bases.mkdir(parents=True, exist_ok=True)
        out = None if options.replay else options.out
        campaign = Campaign(bases.resolve(), Path(temporary) / "work", options.processes, out)
        tasks = [load(path) for path in options.replay] or draw_tasks(options.cases, options.seed, options.only)
        campaign.run(tasks, options.seconds)
        print("\n".join(table(campaign)))
        if options.replay:
            print("\n".join(finding.trace for finding in campaign.findings.values()))
    return 1 if campaign.findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.campaign", description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000, metavar="N", help="how many (1,000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of chance (0)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="KINDS", help=",".join(SHARES))
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="cases at once (2)")
    parser.add_argument("--bases", type=Path, metavar="DIR", help="keep the undamaged things here, for the next time")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), metavar="DIR", help="for what is found")
    parser.add_argument("--replay", type=Path, nargs="+", default=[], metavar="FILE", help="meet these cases again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
