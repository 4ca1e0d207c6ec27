from __future__ import annotations

import copy
import datetime
import functools
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launch.preflight.checks import check_training_job, check_tuning_job
from launch.preflight.patterns import compiled, matches
from launch.preflight.problems import Context
from launch.preflight.shapes import check_shape
from launch.requests import Request

Make = Callable[..., Request]
#: The autouse fixture is the same for every example.
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EACH: list[Any] = [None, True, -1, 0, 1.5, "", "x", [], [{}], {}, {"Foo": 1}, {7: "x"}, b"x"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["", "x" * 3000, "ml.g5.xlarge", [], {}, [{}], ["x"], {"x": "y"}, b"x", 3.0]),
)


@functools.cache
def _model() -> Any:
    return botocore.session.Session().get_service_model("sagemaker")


def _oracle(operation: str, request: object) -> bool:
    """Whether botocore's own validator has something against a request."""
    return bool(ParamValidator().validate(request, _model().operation_model(operation).input_shape).has_errors())


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a request."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield value, key
        yield from _places(entry)


def _mutate(data: st.DataObject, request: Request) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(_places(request))
        if not places:
            return
        container, key = data.draw(st.sampled_from(places))
        how = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace":
            container[key] = copy.deepcopy(data.draw(VALUES))
        elif how == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[data.draw(st.sampled_from(["Foo", "Tags", "Name", 7]))] = copy.deepcopy(data.draw(VALUES))


@pytest.mark.parametrize("operation", ["CreateTrainingJob", "CreateHyperParameterTuningJob"])
def test_shape__refuses_whatever_botocore_refuses_at_any_place(training: Make, tuning: Make, operation: str) -> None:
    request = (
        training("sagemaker/job=spot") if operation == "CreateTrainingJob" else tuning("sagemaker/tuner=hyperband")
    )
    refused = 0
    for container, key in list(_places(request)):
        kept = container[key]
        for value in EACH:
            container[key] = value
            if _oracle(operation, request):
                refused += 1
                assert check_shape(operation, request), (key, value)
        container[key] = kept
    for container, key in list(_places(request)):
        if isinstance(container, dict):
            kept = container.pop(key)
            assert bool(check_shape(operation, request)) >= _oracle(operation, request), key
            container[key] = kept
    assert refused > 500
    assert not check_shape(operation, request)  # the request is again as it was


@QUICK
@given(data=st.data())
def test_checks__whatever_a_request_holds_is_a_problem_and_no_crash(
    training: Make, tuning: Make, known: Context, data: st.DataObject
) -> None:
    job, tuning_job = training("sagemaker/job=spot"), tuning("sagemaker/tuner=hyperband")
    _mutate(data, job)
    _mutate(data, tuning_job)
    assert bool(check_training_job(job, known)) >= _oracle("CreateTrainingJob", job)
    assert bool(check_tuning_job(tuning_job, known)) >= _oracle("CreateHyperParameterTuningJob", tuning_job)


STRICT: dict[str, tuple[Callable[[Request], Any], str]] = {
    "a name's pattern": (lambda r: r.update(TrainingJobName="lr_batch"), "TrainingJobName"),
    "a pattern to its end": (lambda r: r.update(TrainingJobName="dogs\n"), "TrainingJobName"),
    "an instance type": (
        lambda r: r["ResourceConfig"].update(InstanceType="ml.g5.huge"),
        "ResourceConfig.InstanceType",
    ),
    "an enum": (
        lambda r: r["AlgorithmSpecification"].update(TrainingInputMode="Fast"),
        "AlgorithmSpecification.TrainingInputMode",
    ),
    "a long text": (
        lambda r: r["AlgorithmSpecification"]["MetricDefinitions"][0].update(Regex="x" * 501),
        "AlgorithmSpecification.MetricDefinitions[0].Regex",
    ),
    "a long list": (lambda r: r.update(InputDataConfig=r["InputDataConfig"] * 11), "InputDataConfig"),
    "a large number": (
        lambda r: r.update(RetryStrategy={"MaximumRetryAttempts": 31}),
        "RetryStrategy.MaximumRetryAttempts",
    ),
    "a truth for a number": (lambda r: r["ResourceConfig"].update(InstanceCount=True), "ResourceConfig.InstanceCount"),
    "a line break": (lambda r: r["HyperParameters"].update(notes="a\nb"), "HyperParameters[notes]"),
    "a line break of Java's": (lambda r: r["HyperParameters"].update(notes="a\u2028b"), "HyperParameters[notes]"),
    "a key": (lambda r: r["Environment"].update({"1ST": ""}), "Environment"),
}


@pytest.mark.parametrize("case", STRICT)
def test_shape__is_stricter_than_botocore(training: Make, case: str) -> None:
    request, (change, where) = training(), STRICT[case]
    change(request)
    assert not _oracle("CreateTrainingJob", request)
    assert [problem.where for problem in check_shape("CreateTrainingJob", request)] == [where]


def test_shape__suggests_the_member_that_was_meant(training: Make) -> None:
    request = training()
    request["ResourceConfig"]["InstanceTyp"] = request["ResourceConfig"].pop("InstanceType")
    (problem,) = check_shape("CreateTrainingJob", request)
    assert problem.where == "ResourceConfig.InstanceTyp"
    assert "did you mean InstanceType" in problem.got


def test_shape__does_not_show_values_that_may_be_secret(training: Make) -> None:
    request = training()
    request["Environment"]["KEY"] = "hidden" * 100
    request["HyperParameters"]["key"] = "hidden\n"
    request["Tags"][0]["Value"] = "hidden#"
    found = check_shape("CreateTrainingJob", request)
    assert len(found) == 3
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("operation", "request_", "fits"),
    [
        ("ListTrainingJobs", {"CreationTimeAfter": datetime.datetime(2026, 11, 21), "MaxResults": 10}, True),
        ("ListTrainingJobs", {"CreationTimeAfter": "yesterday, perhaps"}, False),
        ("ListTrainingJobs", {"CreationTimeAfter": True}, False),
        ("ListTrainingJobs", {"MaxResults": 101}, False),
        ("StopTrainingJob", {}, False),
        ("AddTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/a", "Tags": []}, True),
    ],
)
def test_shape__checks_any_operation(operation: str, request_: dict[str, object], fits: bool) -> None:
    assert (check_shape(operation, request_) == []) is fits


@pytest.mark.parametrize("given_", [{}, {"EbsVolumeConfig": {}, "FsxLustreConfig": {}}, {"EbsVolumeConfig": {}}])
def test_shape__a_union_has_exactly_one_member(given_: dict[str, object]) -> None:
    request = {"ClusterName": "dogs", "InstanceGroups": [{"InstanceStorageConfigs": [given_]}]}
    where = "InstanceGroups[0].InstanceStorageConfigs[0]"
    found = [problem for problem in check_shape("CreateCluster", request) if problem.where == where]
    assert len(found) == (len(given_) != 1)


def test_patterns__every_one_of_the_service_can_be_read() -> None:
    model = _model()
    patterns = {
        shape.metadata["pattern"]
        for name in model.shape_names
        if "pattern" in (shape := model.shape_for(name)).metadata
    }
    assert len(patterns) > 200
    for pattern in patterns:
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        (r"[\p{L}\p{N}]*", "Größe7Ⅷ", True),
        (r"[\p{L}\p{N}]*", "a b", False),
        (r"[\p{L}\p{N}]*", "a\u00a0b", False),
        (r"[\p{Z}]*", " \u00a0\u2003", True),
        (r"[\p{L}]*", "🐕", False),
        (r"[\p{S}]*", "🐕+<", True),
        (r"[\p{Alnum}\-]+", "a-7", True),
        (r"[\p{Alnum}\-]+", "ä", False),
        (r"\d+", "٣", False),
        (r"[\S\s]*", "a\u2028b\n", True),
    ],
)
def test_patterns__mean_what_they_mean_in_java(pattern: str, value: str, fits: bool) -> None:
    assert matches(pattern, value) is fits
