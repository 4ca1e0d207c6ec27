from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from launch.preflight.inputs import check_inputs
from launch.preflight.jobs import check_job, check_tags
from launch.preflight.problems import Context, Problem
from launch.requests import Request

Make = Callable[..., Request]


def found(request: Request) -> list[tuple[str, bool]]:
    problems: list[Problem] = [*check_job(request, "", Context()), *check_inputs(request, "", Context())]
    return [(problem.where, problem.fatal) for problem in [*problems, *check_tags(request)]]


WAIT = "StoppingCondition.MaxWaitTimeInSeconds"


@pytest.mark.parametrize(
    ("run", "wait", "wrong"), [(3600, 3600, False), (3600, 3601, False), (3601, 3600, True), (3600, None, True)]
)
def test_spot__waits_at_least_as_long_as_it_runs(training: Make, run: int, wait: int | None, wrong: bool) -> None:
    request = training("sagemaker/job=spot", f"sagemaker.max_run_s={run}", f"sagemaker.max_wait_s={wait or 'null'}")
    assert found(request) == ([(WAIT, True)] if wrong else [])


@pytest.mark.parametrize(("wait", "worth"), [(3600, False), (3601, True)])
def test_spot__without_checkpoints_is_worth_a_look_from_an_hour_on(training: Make, wait: int, worth: bool) -> None:
    chosen = ("sagemaker.max_run_s=600", f"sagemaker.max_wait_s={wait}", "sagemaker.checkpoints=false")
    assert found(training("sagemaker/job=spot", *chosen)) == ([("CheckpointConfig", False)] if worth else [])


@pytest.mark.parametrize(("job", "wrong"), [("default", False), ("spot", True)])
def test_warm_pool__is_not_for_spot(training: Make, job: str, wrong: bool) -> None:
    request = training(f"sagemaker/job={job}", "sagemaker.keep_alive_s=600")
    assert found(request) == ([("ResourceConfig.KeepAlivePeriodInSeconds", True)] if wrong else [])


@pytest.mark.parametrize(("days", "wrong"), [(28, False), (29, True)])
def test_run__is_at_most_28_days(training: Make, days: int, wrong: bool) -> None:
    request = training(f"sagemaker.max_run_s={days * 86_400}")
    assert found(request) == ([("StoppingCondition.MaxRuntimeInSeconds", True)] if wrong else [])


def test_isolation__warns_of_weights_and_requirements(training: Make) -> None:
    request = training("sagemaker.network_isolation=true")
    assert found(request) == [("EnableNetworkIsolation", False)] * 2


@pytest.mark.parametrize("how", ["channel", "untrained"])
def test_isolation__is_content_with_a_channel_and_an_image_of_ones_own(training: Make, how: str) -> None:
    request = training("sagemaker.network_isolation=true")
    request["Environment"]["DOGBREED_INSTALL"] = "no"
    if how == "channel":
        request["InputDataConfig"].append({**request["InputDataConfig"][0], "ChannelName": "weights"})
    else:
        request["HyperParameters"]["backbone.weights"] = '"none"'
    assert found(request) == []


def test_isolation__does_not_let_the_toolkit_load_a_tuning_jobs_code(tuning: Make) -> None:
    definition = tuning("sagemaker.network_isolation=true")["TrainingJobDefinition"]
    assert ("EnableNetworkIsolation", True) not in found(definition)  # it comes by the channel
    definition["StaticHyperParameters"]["sagemaker_submit_directory"] = '"s3://bucket/code/sourcedir.tar.gz"'
    assert ("EnableNetworkIsolation", True) in found(definition)


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "Aws:x"])
def test_tags__with_awss_prefix_in_any_case(training: Make, key: str) -> None:
    request = training()
    request["Tags"] = [{"Key": key, "Value": "a"}, {"Key": "b", "Value": key}]
    assert found(request) == [("Tags[0].Key", True), ("Tags[1].Value", True)]


CHANNEL = "InputDataConfig[1]"


@pytest.mark.parametrize(
    ("uri", "fits"),
    [
        ("s3://bucket/a/b", True),
        ("s3://bucket", True),
        ("s3://local/home/me/photos", True),
        ("s3://my.own-bucket7/a b/ü", True),
        ("https://s3.amazonaws.com/bucket/a", False),
        ("/home/me/photos", False),
        ("s3://Bucket/a", False),
        ("s3://my_bucket/a", False),
        ("s3://ab/a", False),
        ("s3://a..b/a", False),
        ("s3:///a", False),
        (f"s3://{'a' * 64}/a", False),
    ],
)
def test_channel__is_a_place_in_s3(training: Make, uri: str, fits: bool) -> None:
    request = training()
    request["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"] = uri
    assert found(request) == ([] if fits else [(f"{CHANNEL}.DataSource.S3DataSource.S3Uri", True)])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"InputMode": "FastFile", "S3DataType": "ManifestFile"}, [".InputMode"]),
        ({"InputMode": "FastFile"}, []),
        ({"InputMode": "Pipe", "S3DataType": "AugmentedManifestFile"}, []),
        ({"S3DataType": "AugmentedManifestFile"}, [".DataSource.S3DataSource.S3DataType"]),
        ({"S3DataType": "ManifestFile"}, []),
        ({"CompressionType": "Gzip"}, [".CompressionType"]),
        ({"CompressionType": "Gzip", "InputMode": "Pipe"}, []),
        ({"DataSource": {}}, [".DataSource"]),
    ],
)
def test_channel__whose_parts_do_not_go_together(training: Make, change: dict[str, Any], where: list[str]) -> None:
    request = training()
    channel = request["InputDataConfig"][1]
    if "S3DataType" in change:
        channel["DataSource"]["S3DataSource"]["S3DataType"] = change.pop("S3DataType")
    channel.update(change)
    assert found(request) == [(CHANNEL + each, True) for each in where]


def test_channel__takes_the_mode_of_all_where_it_has_none(training: Make) -> None:
    request = training()
    request["AlgorithmSpecification"]["TrainingInputMode"] = "FastFile"
    del request["InputDataConfig"][1]["InputMode"]
    request["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    assert found(request) == [(f"{CHANNEL}.InputMode", True)]


@pytest.mark.parametrize("section", ["OutputDataConfig.S3OutputPath", "CheckpointConfig.S3Uri"])
def test_output__is_a_place_in_s3(training: Make, section: str) -> None:
    request, (name, member) = training(), section.split(".")
    request[name][member] = "https://bucket/jobs"
    assert found(request) == [(section, True)]
