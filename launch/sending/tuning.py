"""The end of a tuning job: its trials in the files that a sweep here leaves, and the best of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dogbreed.files import write_csv, write_json
from dogbreed.health.jobs.log import parse_log
from dogbreed.runs import command
from dogbreed.sweeps.dimensions import override_line
from dogbreed.sweeps.journal import Journal, Record, make_record
from dogbreed.sweeps.leaderboard import rank, write_best
from dogbreed.sweeps.space import SearchSpace
from dogbreed.training.epoch_line import BEST_EPOCH
from launch.backends import Backend
from launch.errors import JobFailed, LaunchError
from launch.files.fetching import all_lines
from launch.overrides import OURS, of_the_job
from launch.search_space import values_of
from launch.views.leaderboard import COMPLETED, FAILED, STOPPED, Trial, objective_of, seconds_of

_MODULE = "dogbreed.train"
_ENDED = (COMPLETED, STOPPED, FAILED)


@dataclass(frozen=True)
class Best:
    """The best trial of a tuning job.

    Attributes:
        job: its training job.
        record: what it reached.
        overrides: what makes it, typed: those that all trials share, and its own.
        command: that trains it again here.
    """

    job: str
    record: Record
    overrides: Sequence[str]
    command: str


def finish_tuning(
    backend: Backend,
    name: str,
    space: SearchSpace,
    fixed: Sequence[str],
    monitor: str,
    directory: Path,
    *,
    say: Callable[[str], None] = print,
) -> Best:
    """The best trial, by the rule of a sweep here: seeds of a setting together, those that ran to their end first.

    Leaves trials.jsonl, trials.csv, trials.json, best.yaml and summary.json, which `python -m dogbreed.report` reads,
    and jobs.csv, which names the training job of each trial. Repeated, it brings them up to date.

    Args:
        backend: where it ran.
        name: of the tuning job.
        space: that was tuned in.
        fixed: the overrides that all trials share; the launcher's own are left out.
        monitor: the objective, such as "val/acc".
        directory: for the files; made where it is missing.
        say: prints a line.

    Raises:
        JobFailed: no trial has reached anything.
        LaunchError: there is no such tuning job, or it was tuned in another space.
        ConfigError: the directory holds another tuning job's trials.
        OutputError: the files cannot be written.
    """
    description = backend.describe_tuning_job(name)
    if description is None:
        raise LaunchError(f"there is no tuning job {name}", "one that was started", "python -m launch.jobs list")
    trials, shared = backend.list_trials(name), of_the_job(fixed, *OURS)
    curves = _Curves(backend, say)
    records = [
        _record(number, trial, space, monitor, curves)
        for number, trial in enumerate(trials)
        if trial["TrainingJobStatus"] in _ENDED
    ]
    plan = {"tuning job": name, "space": space.describe(), "overrides": shared, "monitor": monitor}
    with Journal(directory, plan, resume=True) as journal:
        for record in records:
            if journal.last.get(record.number) != record:
                journal.add(record)
        journal.write_tables(monitor)
    _write_jobs(directory / "jobs.csv", trials)
    bests = [place.best(monitor) for place in rank(records, monitor)]
    winner = next((record for record in bests if record.value is not None), None)
    if winner is None:
        raise _no_result(name, records, trials, description.get("FailureReason"))
    overrides = [*shared, *(override_line(key, value) for key, value in winner.params.items())]
    best = Best(trials[winner.number]["TrainingJobName"], winner, overrides, command(_MODULE, overrides))
    write_best(directory / "best.yaml", winner, monitor, shared, best.command)
    summary = {"monitor": monitor, "trial": winner.number, "params": winner.params, "sweep": winner.metrics}
    write_json(directory / "summary.json", {**summary, "tuning_job": name, "job": best.job})
    return best


def add_winner(directory: Path) -> None:
    """Put the metrics of the best trial's run, which lies in winner/ by now, into summary.json, for the report."""
    summary, metrics = (directory / name for name in ("summary.json", "winner/metrics.json"))
    content = json.loads(summary.read_text(encoding="utf-8"))
    write_json(summary, {**content, "winner": json.loads(metrics.read_text(encoding="utf-8"))})


class _Curves:
    """Reads the epochs of jobs off their logs, as long as logs can be read.

    Args:
        backend: that has the logs.
        say: tells once why they cannot be read; what SageMaker itself knows of the trials is enough to choose by.
    """

    def __init__(self, backend: Backend, say: Callable[[str], None]) -> None:
        self._backend, self._say = backend, say
        self._readable = True

    def of(self, job: str, monitor: str) -> tuple[list[dict[str, float]], bool]:
        """A row for each epoch in which `monitor` was printed, and whether the run came to its end by itself."""
        if not self._readable:
            return [], False
        try:
            texts = [text for line in all_lines(self._backend, job) for text in line.text.splitlines()]
        except LaunchError as error:
            self._readable = False
            self._say(f"no curves and no best epochs, because the logs cannot be read: {error.got}")
            return [], False
        epochs = [line.values for line in parse_log((None, text) for text in texts).epochs]
        # A run that went on after an interruption has printed an epoch twice.
        rows = {int(values["epoch"]): values for values in epochs if "epoch" in values and monitor in values}
        curve = [_counted(rows[epoch]) for epoch in sorted(rows)]
        return curve, any(text.startswith(BEST_EPOCH) for text in texts)


def _counted(row: Mapping[str, float]) -> dict[str, float]:
    """The row, in which epoch and step are whole numbers as in metrics.csv."""
    return {name: int(value) if name in ("epoch", "step") else value for name, value in row.items()}


def _record(number: int, trial: Trial, space: SearchSpace, monitor: str, curves: _Curves) -> Record:
    params, seconds = values_of(space, trial["TunedHyperParameters"]), seconds_of(trial) or 0.0
    if trial["TrainingJobStatus"] == FAILED:
        error = trial.get("FailureReason") or "no reason given"
        return Record(number, params, "failed", seconds=seconds, error=error)
    curve, whole = curves.of(trial["TrainingJobName"], monitor)
    # A tuner may stop a job in its last seconds, when all of its epochs are done.
    stopped = trial["TrainingJobStatus"] == STOPPED and not whole
    record = make_record(number, params, curve, monitor, seconds=seconds, stopped=stopped)
    reached = objective_of(trial)
    if record.value is None and reached is not None:
        record = replace(record, value=reached, metrics={monitor: reached})
    return record


def _write_jobs(path: Path, trials: Sequence[Trial]) -> None:
    """Write which training job each trial was, and what SageMaker says of it."""
    rows = [
        {
            "number": number,
            "job": trial["TrainingJobName"],
            "status": trial["TrainingJobStatus"],
            "objective": objective_of(trial),
            "seconds": seconds_of(trial),
            "reason": trial.get("FailureReason"),
        }
        for number, trial in enumerate(trials)
    ]
    write_csv(path, rows, ["number", "job", "status", "objective", "seconds", "reason"])


def _no_result(name: str, records: Sequence[Record], trials: Sequence[Trial], reason: str | None) -> JobFailed:
    """The error that says the commonest reason, and how to read the log of a job that ended for it."""
    if not records:
        told = f"no job of {name} has ended" + (f": {reason}" if reason else "")
        return JobFailed(told, "one trial at least", f"python -m launch.jobs describe {name}")
    reasons = [record.error or f"{record.state}, without the objective in its log" for record in records]
    commonest, count = Counter(reasons).most_common(1)[0]
    job = trials[records[reasons.index(commonest)].number]["TrainingJobName"]
    return JobFailed(
        f"no trial of {name} has a result; {count} of {len(records)}: {commonest}",
        "one trial at least",
        f"python -m launch.jobs logs {job}",
    )
