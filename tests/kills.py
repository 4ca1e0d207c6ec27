"""Kills commands by SIGKILL at random moments, runs them again, and compares with one that was left alone.

    python -m tests.kills --kills 200 --seconds 1500

Each round: a command begins in an empty folder, is killed one to three times in a row, the process alone or with its
whole group, then runs to its end. After each kill every file with a final name must be whole; at the end all files
must say what those of the run that nobody killed say. See tests/killing/comparing.py for what that leaves out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from dogbreed.data.sample import draw_sample
from tests.killing.comparing import contents, defects, differences, leftovers, size
from tests.killing.processes import kill, orphans, start, wait

LONGEST_S = 300  # of any command here, on a machine that is busy
ORPHANS_S = 60  # until the children of a killed process are gone


@dataclass(frozen=True)
class Job:
    """A command to be killed, in a folder of its own.

    Args:
        module: such as "dogbreed.train".
        arguments: of its command line; {shared} is the folder with photos/ and photos.zip.
        given: what stands in its folder before: name there -> path below the finished folders of other jobs.
    """

    module: str
    arguments: str
    given: dict[str, str] = field(default_factory=dict)


_SMALL = (
    "backbone=any backbone.library=timm backbone.name=test_resnet backbone.tag=r160_in1k backbone.weights=none "
    "backbone.image_size=32 data=folder data.root={shared}/photos trainer.accelerator=cpu data.batch_size=16 "
    "optimizer.lr=1 features.root=features"
)
_RUN = "hydra.run.dir=run resume=true trainer.max_epochs=8 data.num_workers=0"

JOBS = {
    "features": Job("dogbreed.train", f"{_SMALL} hydra.run.dir=run resume=true trainer.max_epochs=1 "
        "augmentation=crop_flip features.views=8 features.batch_size=4 data.num_workers=1 report=false"),
    "train": Job("dogbreed.train", f"{_SMALL} {_RUN} head=mlp head.dropout=0.3 augmentation=crop_flip features.views=8",
        {"features": "features/features"}),
    "pixels": Job("dogbreed.train", f"{_SMALL} hydra.run.dir=run resume=true trainer.max_epochs=4 data.num_workers=1 "
        "features=pixels augmentation=crop_flip"),
    "sweep": Job("dogbreed.train", f"-m {_SMALL} hydra/sweeper=fleet hydra.sweep.dir=sweep resume=true logger=none "
        "hydra.sweeper.n_trials=12 hydra.sweeper.batch=4 hydra.sweeper.sampler=tpe trainer.max_epochs=6 "
        "augmentation=crop_flip features.views=8 data.num_workers=0 optimizer.lr=tag(log,interval(0.01,10))",
        {"features": "features/features"}),
    "report": Job("dogbreed.report", "run", {"run": "train/run"}),
    "sample": Job("dogbreed.data.sample", "photos --train 4 --val 2 --test 2"),
    "evaluate": Job("dogbreed.evaluate", "artifact=artifact data=folder data.root={shared}/photos data.num_workers=0 "
        "hydra.run.dir=judged trainer.accelerator=cpu", {"artifact": "train/run/artifact"}),
    "download": Job("dogbreed.data", "download url=file://{shared}/photos.zip root=photos"),
    "audit": Job("dogbreed.data", "audit {shared}/photos out=audited"),
    "summary": Job("dogbreed.data", "summary {shared}/photos out=summed"),
    "split": Job("dogbreed.data", "split {shared}/flat root=photos"),
}  # fmt: skip


@dataclass
class Tally:
    """What became of one command.

    Attributes:
        seconds: of the run that nobody killed.
        kills: of the process alone, and of its group.
        fresh: kills of a process that began with a new Python.
        quarters: kills in each quarter of the run.
        right, rounds: ends that were as they should be, of all.
        left: the most bytes and the most temporary files that a round left.
        wrong: what was not as it should be.
    """

    seconds: float
    kills: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    fresh: int = 0
    quarters: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    right: int = 0
    rounds: int = 0
    left: tuple[int, int] = (0, 0)
    wrong: list[str] = field(default_factory=list)


class Campaign:
    """Kills in one folder, on the same path for every round, so that the paths in the files agree.

    Args:
        base: an empty folder.
        seed: of the moments.
        fresh: share of the processes that begin with a new Python.
        startup: seconds that this takes.
    """

    def __init__(self, base: Path, seed: int, fresh: float, startup: float) -> None:
        self.base, self.shared, self.work = base, base / "shared", base / "work"
        self._chance, self._fresh, self._startup = random.Random(seed), fresh, startup
        self.tallies: dict[str, Tally] = {}
        self._expected: dict[str, dict[str, object]] = {}

    def prepare(self, names: Sequence[str]) -> None:
        """Make the photographs, and run each command once undisturbed.

        Raises:
            RuntimeError: one of them fails.
        """
        photos = draw_sample(self.shared / "photos", train=6, val=3, test=3)
        shutil.copytree(photos / "train", self.shared / "flat")
        shutil.make_archive(str(self.shared / "photos"), "zip", photos)
        for name in tqdm(names, "left alone", disable=None):
            self._set_up(name)
            began = time.monotonic()
            if code := wait(self._start(name, fresh=False), LONGEST_S):
                raise RuntimeError(f"{name} ended with {code}:\n{self._said(name)}")
            self.tallies[name] = Tally(time.monotonic() - began)
            if wrong := defects(self.work):
                raise RuntimeError(f"{name}: {wrong}")
            self._expected[name] = contents(self.work)
            self.work.rename(self.base / "whole" / name)

    def round(self, name: str, most: int) -> int:
        """Kill a command up to `most` times, let it end, and compare; how many kills there were."""
        tally, family, kills = self.tallies[name], [], 0
        self._set_up(name)
        wrong: list[str] = []
        code: int | None = None
        for _ in range(min(most, self._chance.choice((1, 1, 2, 3)))):
            fresh, group = self._chance.random() < self._fresh, self._chance.random() < 0.5
            before = self._startup if fresh else 0.0
            moment = self._chance.uniform(0, before + tally.seconds)
            pid = self._start(name, fresh=fresh)
            code = wait(pid, moment)
            if code is not None:  # it was quicker
                break
            family += kill(pid, group=group)
            kills += 1
            tally.kills[group] += 1
            tally.fresh += fresh
            tally.quarters[min(3, int(4 * max(0.0, moment - before) / tally.seconds))] += 1
            wrong += [f"after the kill at {moment:.3f} s of {tally.seconds:.1f}: {one}" for one in defects(self.work)]
        if code is None:
            pid = self._start(name, fresh=False)
            code = wait(pid, LONGEST_S)
            if code is None:
                kill(pid, group=True)
        wrong += [f"ended with {code}: {self._said(name)[-600:]}"] if code else []
        wrong += differences(self._expected[name], contents(self.work))
        wrong += [f"orphan {one}" for one in orphans(family, ORPHANS_S)]
        left = leftovers(self.work)
        tally.left = max(tally.left, (sum(map(size, left)), len(left)))
        tally.rounds += 1
        tally.right += not wrong
        tally.wrong += wrong
        if wrong:
            self.work.rename(self.base / f"wrong_{name}_{tally.rounds}")
        return kills

    def run(self, kills: int, seconds: float) -> None:
        """Round after round, command after command, until there were so many kills or so many seconds are over."""
        end, names, done = time.monotonic() + seconds, list(self.tallies), 0
        with tqdm(total=kills, desc="killed", disable=None) as progress:
            while done < kills and time.monotonic() < end:
                killed = self.round(min(names, key=self._paid), kills - done)
                progress.update(killed)
                done += killed

    def _paid(self, name: str) -> float:
        """What grows with a command's kills, faster for one that takes longer: the cheap ones get more of them."""
        tally = self.tallies[name]
        return sum(tally.kills.values()) * tally.seconds**0.5

    def _set_up(self, name: str) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        (self.base / "whole").mkdir(exist_ok=True)
        for place, source in JOBS[name].given.items():
            shutil.copytree(self.base / "whole" / source, self.work / place)

    def _start(self, name: str, *, fresh: bool) -> int:
        arguments = JOBS[name].arguments.format(shared=self.shared).split()
        return start(JOBS[name].module, arguments, self.work, self.work / ".log", fresh=fresh)

    def _said(self, name: str) -> str:
        return (self.work / ".log").read_text(errors="replace")


def show(tallies: dict[str, Tally]) -> Table:
    """A line for each command."""
    table = Table("command", "s", "kills", "alone/group", "new Python", "in each quarter", "right", "left", box=None)
    for name, tally in tallies.items():
        bytes_left, count = tally.left
        table.add_row(
            name,
            f"{tally.seconds:.1f}",
            str(sum(tally.kills.values())),
            f"{tally.kills[False]}/{tally.kills[True]}",
            str(tally.fresh),
            " ".join(map(str, tally.quarters)),
            f"{tally.right} of {tally.rounds}",
            f"{count} files, {bytes_left / 1e3:,.0f} kB" if count else "nothing",
        )
    return table


def with_givers(names: Sequence[str]) -> list[str]:
    """The jobs of these names and those whose results they are given, in the order of the table."""
    wanted = set(names)
    for name in reversed(JOBS):
        if name in wanted:
            wanted |= {source.split("/")[0] for source in JOBS[name].given.values()}
    return [name for name in JOBS if name in wanted]


def main() -> int:
    """Kill, and say what came of it: 0 where every end was right."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--seconds", type=float, default=1500, metavar="S", help="stop after so many")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments")
    parser.add_argument("--only", default=",".join(JOBS), metavar="NAMES", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--fresh", type=float, default=0.1, metavar="SHARE", help="of processes that import anew")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.monotonic()
    warm_up()
    campaign = Campaign(base, options.seed, options.fresh, startup=time.monotonic() - began)
    campaign.prepare(with_givers(options.only.split(",")))
    began = time.monotonic()
    campaign.run(options.kills, options.seconds)
    Console(width=140).print(show(campaign.tallies))
    kills = sum(sum(tally.kills.values()) for tally in campaign.tallies.values())
    wrong = [f"{name}: {one}" for name, tally in campaign.tallies.items() for one in tally.wrong]
    took = time.monotonic() - began
    print(f"{kills} kills in {took:.0f} s; seed {options.seed}; {len(wrong)} wrong", *wrong, sep="\n  ")
    if wrong:
        print(f"the folders of what went wrong are in {base}")
    else:
        shutil.rmtree(base)
    return int(bool(wrong))


def warm_up() -> None:
    """Import what the commands import, and nothing more: a copy of a process with threads would hang."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for module in ("dogbreed.evaluate", "dogbreed.reports.sweep_report", "hydra_plugins.dogbreed_sweeps.sweeper"):
        importlib.import_module(module)


if __name__ == "__main__":
    sys.exit(main())
