from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dogbreed.training.epoch_line import EPOCH_METRIC_PATTERN, epoch_line
from launch.preflight.logs import check_logs
from launch.preflight.problems import Context
from launch.requests import Request

Make = Callable[..., Request]
METRICS = "AlgorithmSpecification.MetricDefinitions"


def found(request: Request, context: Context, objective: str | None = None) -> list[tuple[str, bool]]:
    return [(problem.where, problem.fatal) for problem in check_logs(request, "", context, objective)]


def of(name: str, regex: str, training: Make) -> Request:
    return training(metrics=[{"Name": name, "Regex": regex}])


@pytest.mark.parametrize("value", [0.0, 1e-12, 1e9, float("nan"), float("inf"), -1.5])
def test_regex__of_the_library_reads_what_its_logger_prints(training: Make, value: float) -> None:
    request = of("val/acc", EPOCH_METRIC_PATTERN.format(name="val/acc"), training)
    line = epoch_line({"epoch": 0, "train/acc": 0.5, "val/acc_top5": 0.7, "val/acc": value})
    assert found(request, Context(monitor="val/acc", log_lines=[line])) == []


@pytest.mark.parametrize(
    ("regex", "fatal"),
    [
        ("val/acc=([0-9.]+", True),
        ("val/acc=[0-9.]+", True),
        ("(val)/acc=([0-9.]+)", True),
        ("(val/acc)=", True),
        ("val_acc=([0-9.]+)", True),
        ("val/acc=(?:[0-9])([0-9.]+)", None),
        ("val/acc=([0-9]{1,99999999999999999999})", True),
    ],
)
def test_regex__must_find_the_monitors_value(training: Make, known: Context, regex: str, fatal: bool | None) -> None:
    assert found(of("val/acc", regex, training), known) == ([] if fatal is None else [(f"{METRICS}[0].Regex", fatal)])


@pytest.mark.parametrize(
    ("monitor", "objective", "fatal"),
    [("test/f1_macro", None, True), ("val/acc", "test/f1_macro", True), ("val/acc", "val/acc", False)],
)
def test_metric__that_nothing_depends_on_may_stay_unread(
    training: Make, known: Context, monitor: str, objective: str | None, fatal: bool
) -> None:
    names = ["val/acc", "test/f1_macro"]
    metrics = [{"Name": name, "Regex": EPOCH_METRIC_PATTERN.format(name=name)} for name in names]
    context = replace(known, monitor=monitor)
    assert found(training(metrics=metrics), context, objective) == [(f"{METRICS}[1].Regex", fatal)]


def test_monitor__is_among_the_metrics(training: Make, known: Context) -> None:
    (problem,) = check_logs(training(), "", replace(known, monitor="val/f1_macro"))
    assert (problem.where, problem.fatal) == (METRICS, True)
    assert "val/f1_macro" in problem.allowed


def test_regex__without_lines_is_only_compiled(training: Make) -> None:
    assert found(of("val/acc", "nothing ([0-9]+)", training), Context(monitor="val/acc")) == []
    assert found(of("val/acc", "(", training), Context()) == [(f"{METRICS}[0].Regex", True)]
