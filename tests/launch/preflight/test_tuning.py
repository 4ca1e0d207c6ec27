from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from launch.preflight.problems import Problem
from launch.preflight.tuning import check_tuning
from launch.requests import Request

Make = Callable[..., Request]
CONFIG = "HyperParameterTuningJobConfig"
LIMITS = f"{CONFIG}.ResourceLimits"
RANGES = f"{CONFIG}.ParameterRanges"


def found(request: Request) -> list[tuple[str, bool]]:
    return [(problem.where, problem.fatal) for problem in check_tuning(request)]


def only(request: Request) -> Problem:
    (problem,) = check_tuning(request)
    return problem


def ranges(request: Request, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = request[CONFIG]["ParameterRanges"][f"{kind}ParameterRanges"]
    return entries


def test_grid__takes_values_alone(tuning: Make) -> None:
    request = tuning("sagemaker/tuner=random")
    request[CONFIG]["Strategy"] = "Grid"
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    kinds = ["IntegerParameterRanges[0]", "ContinuousParameterRanges[0]"]
    assert found(request) == [(f"{RANGES}.{kind}", True) for kind in kinds]


@pytest.mark.parametrize(("jobs", "wrong"), [(None, False), (3, False), (4, True)])
def test_grid__counts_its_jobs_itself(tuning: Make, jobs: int | None, wrong: bool) -> None:
    request = tuning("sagemaker/tuner=grid")
    if jobs is not None:
        request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = jobs
    assert found(request) == ([(f"{LIMITS}.MaxNumberOfTrainingJobs", True)] if wrong else [])


@pytest.mark.parametrize(("values", "wrong"), [(25, False), (26, True)])
def test_grid__runs_at_most_750_jobs(tuning: Make, values: int, wrong: bool) -> None:
    request = tuning("sagemaker/tuner=grid")
    sizes = {"a": 30, "b": values}
    entries = [{"Name": name, "Values": [str(n) for n in range(size)]} for name, size in sizes.items()]
    ranges(request, "Categorical")[:] = entries
    assert found(request) == ([(f"{RANGES}.CategoricalParameterRanges", True)] if wrong else [])


HYPERBAND = f"{CONFIG}.StrategyConfig.HyperbandStrategyConfig"


@pytest.mark.parametrize(
    ("least", "most", "where"),
    [
        (1, 20, None),
        (19, 20, None),
        (20, 20, "MinResource"),
        (21, 20, "MinResource"),
        (1, 20_000, None),
        (1, 20_001, "MaxResource"),
    ],
)
def test_hyperband__gives_out_from_less_to_more_epochs(tuning: Make, least: int, most: int, where: str | None) -> None:
    request = tuning("sagemaker/tuner=hyperband")
    request[CONFIG]["StrategyConfig"]["HyperbandStrategyConfig"] = {"MinResource": least, "MaxResource": most}
    assert found(request) == ([(f"{HYPERBAND}.{where}", True)] if where else [])


def test_hyperband__needs_to_know_the_epochs_of_a_job(tuning: Make) -> None:
    request = tuning("sagemaker/tuner=hyperband")
    del request[CONFIG]["StrategyConfig"]
    assert found(request) == [(f"{HYPERBAND}.MaxResource", True)]
    request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "20"
    assert found(request) == []


@pytest.mark.parametrize(("strategy", "wrong"), [("hyperband", True), ("bayesian", False)])
def test_hyperband__stops_jobs_itself(tuning: Make, strategy: str, wrong: bool) -> None:
    request = tuning(f"sagemaker/tuner={strategy}", "sagemaker.tuner.early_stopping=true")
    assert found(request) == ([(f"{CONFIG}.TrainingJobEarlyStoppingType", True)] if wrong else [])


def test_hyperbands_settings__are_for_no_other(tuning: Make) -> None:
    request = tuning("sagemaker/tuner=hyperband")
    request[CONFIG]["Strategy"] = "Random"
    assert found(request) == [(f"{CONFIG}.StrategyConfig", True)]


@pytest.mark.parametrize(
    ("strategy", "jobs", "parallel", "expected"),
    [
        ("bayesian", 750, 10, []),
        ("bayesian", 751, 10, [("MaxNumberOfTrainingJobs", True)]),
        ("hyperband", 751, 10, [("MaxNumberOfTrainingJobs", True)]),
        ("random", 751, 10, [("MaxNumberOfTrainingJobs", False)]),
        ("random", 10_001, 10, [("MaxNumberOfTrainingJobs", True)]),
        ("random", 200, 11, [("MaxParallelTrainingJobs", False)]),
        ("random", 200, 100, [("MaxParallelTrainingJobs", False)]),
        ("random", 200, 101, [("MaxParallelTrainingJobs", True)]),
        ("random", 5, 6, [("MaxParallelTrainingJobs", False)]),
    ],
)
def test_limits__of_jobs(
    tuning: Make, strategy: str, jobs: int, parallel: int, expected: list[tuple[str, bool]]
) -> None:
    chosen = (f"sagemaker.tuner.n_trials={jobs}", f"sagemaker.tuner.max_parallel={parallel}")
    request = tuning(f"sagemaker/tuner={strategy}", *chosen)
    assert found(request) == [(f"{LIMITS}.{where}", fatal) for where, fatal in expected]


@pytest.mark.parametrize(("days", "wrong"), [(30, False), (31, True)])
def test_limits__of_time(tuning: Make, days: int, wrong: bool) -> None:
    request = tuning(f"sagemaker.tuner.max_runtime_s={days * 86_400}")
    assert found(request) == ([(f"{LIMITS}.MaxRuntimeInSeconds", True)] if wrong else [])


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("Continuous", {"MinValue": "1e-4"}, None),
        ("Continuous", {"MinValue": "0.1"}, "MinValue"),
        ("Continuous", {"MinValue": "0.9", "MaxValue": "0.10"}, "MinValue"),
        ("Continuous", {"MinValue": "0"}, "ScalingType"),
        ("Continuous", {"MinValue": "0", "ScalingType": "Linear"}, None),
        ("Continuous", {"MinValue": "0", "MaxValue": "0.99", "ScalingType": "ReverseLogarithmic"}, None),
        ("Continuous", {"MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}, "ScalingType"),
        ("Continuous", {"MinValue": "-1", "MaxValue": "0.5", "ScalingType": "ReverseLogarithmic"}, "ScalingType"),
        ("Continuous", {"MaxValue": "inf"}, "MaxValue"),
        ("Continuous", {"MaxValue": "a lot"}, "MaxValue"),
        ("Integer", {"MinValue": "9", "MaxValue": "10"}, None),
        ("Integer", {"MinValue": "2.5"}, "MinValue"),
        ("Integer", {"MinValue": "0", "ScalingType": "Logarithmic"}, "ScalingType"),
        ("Integer", {"MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}, "ScalingType"),
        ("Categorical", {"Values": ["16", "16"]}, "Values"),
        ("Categorical", {"Values": ["16", '"16"']}, None),
    ],
)
def test_ranges__are_numbers_from_less_to_more(
    tuning: Make, kind: str, change: dict[str, Any], where: str | None
) -> None:
    request = tuning()
    ranges(request, kind)[0].update(change)
    assert found(request) == ([(f"{RANGES}.{kind}ParameterRanges[0].{where}", True)] if where else [])


def test_ranges__have_each_name_once(tuning: Make) -> None:
    request = tuning()
    ranges(request, "Categorical").append({"Name": "optimizer.lr", "Values": ["0.1"]})
    request["TrainingJobDefinition"]["StaticHyperParameters"]["data.batch_size"] = "16"
    wheres = [f"{RANGES}.CategoricalParameterRanges[{number}]" for number in (1, 0)]
    assert found(request) == [(where, True) for where in wheres]


@pytest.mark.parametrize(("count", "wrong"), [(30, False), (31, True), (0, True)])
def test_ranges__are_1_to_30_of_all_kinds(tuning: Make, count: int, wrong: bool) -> None:
    request = tuning("sagemaker/tuner=random")
    entries = [{"Name": f"key{number}", "MinValue": "1", "MaxValue": "2"} for number in range(count)]
    request[CONFIG]["ParameterRanges"] = {
        "IntegerParameterRanges": entries[:15],
        "ContinuousParameterRanges": entries[15:],
    }
    assert found(request) == ([(RANGES, True)] if wrong else [])


@pytest.mark.parametrize(("static", "wrong"), [(97, False), (98, True)])
def test_ranges__and_static_hyperparameters_are_at_most_100(tuning: Make, static: int, wrong: bool) -> None:
    request = tuning()
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {f"key{number}": "1" for number in range(static)}
    assert found(request) == ([("TrainingJobDefinition.StaticHyperParameters", True)] if wrong else [])


def test_objective__is_one_of_the_metrics(tuning: Make) -> None:
    request = tuning()
    request[CONFIG]["HyperParameterTuningJobObjective"]["MetricName"] = "val/accuracy"
    problem = only(request)
    assert problem.where == f"{CONFIG}.HyperParameterTuningJobObjective.MetricName"
    assert "did you mean val/acc" in problem.got
    assert "monitor" in problem.hint


@pytest.mark.parametrize(("count", "wrong"), [(20, False), (21, True)])
def test_metrics__are_at_most_20(tuning: Make, count: int, wrong: bool) -> None:
    request = tuning()
    metrics = request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    metrics += [{"Name": f"more/{number}", "Regex": "x"} for number in range(count - len(metrics))]
    where = "TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions"
    assert found(request) == ([(where, True)] if wrong else [])


def test_warm_start__is_from_other_tuning_jobs_each_once(tuning: Make) -> None:
    request = tuning("sagemaker.tuner.warm_start_from=[first,second,first]")
    parents = request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    parents[1]["HyperParameterTuningJobName"] = request["HyperParameterTuningJobName"].upper()
    path = "WarmStartConfig.ParentHyperParameterTuningJobs[{}].HyperParameterTuningJobName"
    assert found(request) == [(path.format(1), True), (path.format(2), True)]
