"""What a write-up rests on: the folders of runs, sweeps and jobs, told apart by what they hold."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.health.jobs.job import Job, read_job
from dogbreed.reports.contents import Run
from dogbreed.reports.reading import Folder, holds_run, holds_sweep, nothing_there
from dogbreed.reports.run_files import read_run
from dogbreed.reports.sweep_files import Sweep, read_sweep

#: What a launch leaves in the folder of a run or a sweep.
LAUNCH, DESCRIPTION = "launch.json", "job.json"
_WINNER = "winner"


@dataclass(frozen=True)
class Evidence:
    """The folders of a write-up.

    Attributes:
        run: that it is about, in whose folder it lies.
        others: further runs, beside it.
        sweeps: in the order in which they were named.
        jobs: what SageMaker, or its rehearsal, told of them.
    """

    run: Run
    others: tuple[Run, ...]
    sweeps: tuple[Sweep, ...]
    jobs: tuple[Job, ...]

    @property
    def home(self) -> Path:
        """The folder in which the write-up lies."""
        return self.run.folder.path


def gather(paths: Sequence[Path]) -> Evidence:
    """The evidence in folders, in any order: the first run is what it is about, or else the first sweep's winner.

    Raises:
        ConfigError: one of them holds nothing of the kind, or none of them holds a run of a training.
    """
    runs, sweeps, jobs = list[Path](), list[Path](), list[Path]()
    for path in dict.fromkeys(paths):
        kind = sweeps if holds_sweep(path) else runs if holds_run(path) else jobs
        kind.append(path)
        if kind is jobs and Folder(path).has(LAUNCH) and not Folder(path).has(DESCRIPTION):
            raise ConfigError(
                f"{path} holds a launch, and nothing that its job has brought back",
                "the folder of a job that has ended",
                "run its command again: it waits for the job, and starts no second one",
            )
    found = tuple(_read_job(path) for path in jobs)
    winners = [path / _WINNER for path in sweeps if holds_run(path / _WINNER)]
    if not runs and not winners:
        raise ConfigError(
            f"no run among {', '.join(map(str, paths))}",
            "the folder of a run, or of a sweep whose winner was trained",
            "name the run that the write-up is about first: python -m dogbreed.report --card RUN SWEEP JOB",
        )
    runs = runs or winners[:1]
    launched = [path for path in dict.fromkeys([*runs, *sweeps, *winners]) if Folder(path).has(DESCRIPTION)]
    return Evidence(
        run=_read_run(runs[0]),
        others=tuple(map(_read_run, runs[1:])),
        sweeps=tuple(map(read_sweep, sweeps)),
        jobs=(*map(_read_job, launched), *found),
    )


def read_plain(folder: Folder, name: str) -> dict[str, Any]:
    """What a JSON file holds, as far as it is names and values; nothing where it is missing or damaged."""
    return folder.json(name, dict) or {}


def _read_run(path: Path) -> Run:
    run = read_run(path)
    module = ([*shlex.split(run.about.get("command") or ""), "", "", ""])[2]
    if module == "dogbreed.evaluate":  # it leaves metrics too, and trained nothing
        trained = f", such as that of {run.setting('artifact')}" if run.setting("artifact") else ""
        raise ConfigError(
            f"{path} was left by {module}, which trains nothing",
            "the folder of a run of dogbreed.train, or of a sweep",
            f"name the run that it judged{trained}: python -m dogbreed.report --card RUN",
        )
    return run


def _read_job(path: Path) -> Job:
    try:
        return read_job(path)
    except ConfigError as error:
        raise nothing_there(path) from error


def plan_of(sweep: Sweep) -> dict[str, Any]:
    """What a sweep set out to try: the first line of its journal; empty where that is not known."""
    lines = sweep.folder.text("trials.jsonl") or ""
    try:
        plan = json.loads(lines.split("\n", 1)[0])["plan"]
    except (ValueError, KeyError, TypeError):
        return {}
    return plan if isinstance(plan, dict) else {}
