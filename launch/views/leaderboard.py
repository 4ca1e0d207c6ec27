"""How the jobs of a tuning job do, the best first, as text. Pure: no torch, no SDK."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.space import SearchSpace
from launch.search_space import values_of
from launch.views.telling import duration

#: A HyperParameterTrainingJobSummary, as SageMaker's API gives it.
Trial = Mapping[str, Any]

COMPLETED, STOPPED, FAILED = "Completed", "Stopped", "Failed"
#: The first group of trials that have no place, see `_group`.
_UNRANKED = 2


@dataclass(frozen=True)
class Row:
    """A job of a tuning job.

    Attributes:
        rank: from 1; None for one that runs still, has failed, or has no number to be judged by.
        number: from 0, in the order of their creation.
        job: its name.
        status: AWS's TrainingJobStatus.
        objective: None without one, or where it is no number.
        params: what it was tuned to, typed.
        seconds: of training, for which it is billed; None before its start, or while it runs.
        reason: why it failed; empty where it did not, or nobody knows.
    """

    rank: int | None
    number: int
    job: str
    status: str
    objective: float | None
    params: Mapping[str, Value]
    seconds: float | None
    reason: str


def to_rows(trials: Iterable[Trial], direction: str, space: SearchSpace | None = None) -> list[Row]:
    """The jobs, the best first: those that ran to their end, the stopped, those that run still, and the failed last.

    Args:
        trials: in the order of their creation.
        direction: of the objective, "max" or "min".
        space: that they were tuned in; None: a parameter is what JSON makes of its text, or the text.

    Raises:
        LaunchError: a job was tuned in another space.
    """
    ordered = sorted(enumerate(trials), key=lambda entry: (_group(entry[1]), _badness(entry[1], direction), entry[0]))
    return [
        Row(
            rank=place if _group(trial) < _UNRANKED else None,
            number=number,
            job=trial["TrainingJobName"],
            status=trial["TrainingJobStatus"],
            objective=objective_of(trial),
            params=_params(trial, space),
            seconds=seconds_of(trial),
            reason=trial.get("FailureReason", "") if trial["TrainingJobStatus"] == FAILED else "",
        )
        for place, (number, trial) in enumerate(ordered, 1)
    ]


def leaderboard(trials: Sequence[Trial], direction: str, space: SearchSpace | None = None, *, shown: int = 10) -> str:
    """The first `shown` jobs as a table for the terminal, and why some have failed; empty without a job.

    Args:
        trials: as for `to_rows`.
        direction: as there.
        space: as there.
        shown: how many rows.

    >>> trial = {"TrainingJobName": "dogs-001", "TrainingJobStatus": "Completed"}
    >>> trial["TunedHyperParameters"] = {"lr": "0.25"}
    >>> trial["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "val/acc", "Value": 0.8125}
    >>> print(leaderboard([trial], "max"))
       val/acc    lr  trial       job
    1   0.8125  0.25      0  dogs-001

    Raises:
        LaunchError: a job was tuned in another space.
    """
    if not trials:
        return ""
    rows = to_rows(trials, direction, space)
    lines = [_table([_cells(row, _objective_name(trials)) for row in rows[:shown]])]
    if len(rows) > shown:
        lines.append(f"... and {len(rows) - shown} more")
    failed = sorted((row for row in rows if row.status == FAILED), key=lambda row: row.number)
    for reason in dict.fromkeys(row.reason for row in failed):
        numbers = ", ".join(str(row.number) for row in failed if row.reason == reason)
        lines.append(f"failed, trial {numbers}: {reason or 'no reason given'}")
    return "\n".join(lines)


def objective_of(trial: Trial) -> float | None:
    """What a job has reached, as SageMaker read it off its log; None without a number."""
    value = trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    return None if value is None or math.isnan(value) else float(value)


def seconds_of(trial: Trial) -> float | None:
    """The seconds from the start of its bill to its end; None where one of them is missing."""
    start: datetime | None = trial.get("TrainingStartTime")
    end: datetime | None = trial.get("TrainingEndTime")
    return None if start is None or end is None else (end - start).total_seconds()


def _group(trial: Trial) -> int:
    """Which trials come before which, whatever they have reached."""
    status, judged = trial["TrainingJobStatus"], objective_of(trial) is not None
    if status in (COMPLETED, STOPPED) and judged:
        return int(status == STOPPED)
    return {COMPLETED: _UNRANKED + 1, STOPPED: _UNRANKED + 1, FAILED: _UNRANKED + 2}.get(status, _UNRANKED)


def _badness(trial: Trial, direction: str) -> float:
    value = objective_of(trial)
    if value is None:
        return math.inf
    return -value if direction == "max" else value


def _params(trial: Trial, space: SearchSpace | None) -> dict[str, Value]:
    tuned: Mapping[str, str] = trial["TunedHyperParameters"]
    return {key: _plain(text) for key, text in tuned.items()} if space is None else values_of(space, tuned)


def _plain(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, Value) else text


def _objective_name(trials: Iterable[Trial]) -> str:
    metrics = [trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}) for trial in trials]
    return next((metric["MetricName"] for metric in metrics if "MetricName" in metric), "objective")


def _cells(row: Row, objective: str) -> dict[str, str]:
    return {
        "": "" if row.rank is None else str(row.rank),
        objective: "" if row.objective is None else f"{row.objective:.4f}",
        **{key: _text(value) for key, value in row.params.items()},
        "time": "" if row.seconds is None else duration(row.seconds),
        "trial": str(row.number),
        "job": row.job,
        "state": "" if row.status == COMPLETED else row.status,
    }


def _text(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """The cells under their names, to the right; a column in which nothing stands is left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [name for name in names if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in columns}
    lines = [{name: name for name in columns}, *rows]
    return "\n".join("  ".join(line.get(name, "").rjust(widths[name]) for name in columns).rstrip() for line in lines)
