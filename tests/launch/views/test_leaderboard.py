"""The table of a tuning job's trials."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from dogbreed.sweeps.space import parse_space
from launch.errors import LaunchError
from launch.views.leaderboard import leaderboard, to_rows

START = datetime(2026, 11, 21, 20, 0, tzinfo=timezone.utc)


def trial(
    number: int,
    value: float | None,
    status: str = "Completed",
    tuned: Mapping[str, str] = MappingProxyType({"optimizer.lr": "0.01"}),
    *,
    minutes: float | None = 5,
    reason: str | None = None,
) -> dict[str, Any]:
    """An entry as ListTrainingJobsForHyperParameterTuningJob gives it."""
    name = f"dogs-{number:03d}-0a1b2c3d"
    entry: dict[str, Any] = {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:eu-west-1:000000000000:training-job/{name}",
        "CreationTime": START + timedelta(minutes=number),
        "TrainingJobStatus": status,
        "TunedHyperParameters": dict(tuned),
    }
    if minutes is not None:
        entry |= {"TrainingStartTime": START, "TrainingEndTime": START + timedelta(minutes=minutes)}
    if value is not None:
        metric = {"MetricName": "val/acc", "Value": value, "Type": "Maximize"}
        entry |= {"FinalHyperParameterTuningJobObjectiveMetric": metric, "ObjectiveStatus": "Succeeded"}
    return entry if reason is None else entry | {"FailureReason": reason}


def test_trial__is_what_sagemaker_returns() -> None:
    shape = botocore.session.Session().get_service_model("sagemaker").shape_for("HyperParameterTrainingJobSummary")
    assert not ParamValidator().validate(trial(0, 0.5, reason="x"), shape).generate_report()


@pytest.mark.parametrize("direction", ["max", "min"])
def test_rows__the_best_first(direction: str) -> None:
    values = [number / 10 for number in range(8)]
    random.Random(0).shuffle(values)
    rows = to_rows([trial(number, value) for number, value in enumerate(values)], direction)
    assert [row.objective for row in rows] == sorted(values, reverse=direction == "max")
    assert [values[row.number] for row in rows] == [row.objective for row in rows]
    assert [row.rank for row in rows] == list(range(1, 9))


def test_rows__equals_stand_in_the_order_of_their_creation() -> None:
    assert [row.number for row in to_rows([trial(number, 0.5) for number in range(4)], "min")] == [0, 1, 2, 3]


def test_rows__those_that_ran_to_their_end_come_first_and_the_failed_last() -> None:
    trials = [
        trial(0, None, "Failed", reason="out of memory"),
        trial(1, 0.99, "Stopped"),
        trial(2, 0.98, "InProgress", minutes=None),
        trial(3, float("nan")),
        trial(4, None, "Stopped"),
        trial(5, 0.1),
        trial(6, 0.2),
    ]
    rows = to_rows(trials, "max")
    assert [row.number for row in rows] == [6, 5, 1, 2, 3, 4, 0]
    assert [row.rank for row in rows] == [1, 2, 3, None, None, None, None]
    assert [row.reason for row in rows if row.reason] == ["out of memory"]


def test_rows__parameters_are_typed_by_the_space() -> None:
    space, _ = parse_space({}, ["optimizer.lr=interval(0,1)", "head='16',mlp", "data.batch_size=16,32"])
    tuned = {"optimizer.lr": "1", "head": '"16"', "data.batch_size": "16"}
    (row,) = to_rows([trial(0, 0.5, tuned=tuned)], "max", space)
    assert repr(dict(row.params)) == "{'optimizer.lr': 1.0, 'head': '16', 'data.batch_size': 16}"


def test_rows__of_another_space_are_an_error() -> None:
    space, _ = parse_space({}, ["head=mlp,linear"])
    with pytest.raises(LaunchError, match="head is missing"):
        to_rows([trial(0, 0.5)], "max", space)


def test_rows__seconds_are_those_of_the_bill() -> None:
    rows = to_rows([trial(0, 0.5, minutes=7), trial(1, 0.4, minutes=None)], "max")
    assert [row.seconds for row in rows] == [420, None]


def test_leaderboard__columns_stand_under_each_other() -> None:
    trials = [
        trial(0, 0.25, tuned={"head": '"mlp"', "optimizer.lr": "1.0E-4"}),
        trial(1, 0.5, tuned={"head": "null", "optimizer.lr": "0.1"}),
        trial(2, 0.1, "Stopped", {"head": "true", "optimizer.lr": "0.2"}),
    ]
    header, first, second, third = leaderboard(trials, "max").splitlines()
    assert header.split() == ["val/acc", "head", "optimizer.lr", "time", "trial", "job", "state"]
    assert first.split() == ["1", "0.5000", "null", "0.1", "5.0", "min", "1", "dogs-001-0a1b2c3d"]
    assert second.split()[:4] == ["2", "0.2500", "mlp", "0.0001"]
    assert third.endswith("dogs-002-0a1b2c3d  Stopped")
    assert header.index("val/acc") + len("val/acc") == first.index("0.5000") + len("0.5000")


def test_leaderboard__says_how_many_more_there_are() -> None:
    text = leaderboard([trial(number, 0.1) for number in range(12)], "max", shown=10)
    assert text.endswith("... and 2 more")
    assert len(text.splitlines()) == 12


def test_leaderboard__says_each_reason_once() -> None:
    reasons = {0: "out of memory", 1: "no disk", 2: "out of memory", 3: None}
    trials = [trial(number, None, "Failed", reason=reason) for number, reason in reasons.items()]
    assert leaderboard([*trials, trial(4, 0.5)], "max", shown=1).splitlines()[3:] == [
        "failed, trial 0, 2: out of memory",
        "failed, trial 1: no disk",
        "failed, trial 3: no reason given",
    ]


def test_leaderboard__without_a_result_has_no_such_column() -> None:
    text = leaderboard([trial(0, None, "InProgress", minutes=None)], "max")
    assert text.split() == ["optimizer.lr", "trial", "job", "state", "0.01", "0", "dogs-000-0a1b2c3d", "InProgress"]


def test_leaderboard__without_a_job_is_empty() -> None:
    assert leaderboard([], "max") == ""
