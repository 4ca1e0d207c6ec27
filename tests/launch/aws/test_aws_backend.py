"""Jobs at moto's SageMaker; what moto has not, or does not check, by botocore's Stubber."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from launch.aws.backend import SageMakerBackend
from launch.aws.session import make_session
from launch.backends import Backend
from launch.files.stores import S3Store
from tests.launch.aws.conftest import Make
from tests.launch.conftest import Aws

_NUMBERS = itertools.count()
_NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def client(aws: Aws) -> Any:
    return make_session(aws.region).client("sagemaker")


@pytest.fixture(scope="module")
def backend(aws: Aws, client: Any) -> Backend:
    return SageMakerBackend(aws.session(), sagemaker=client)


@pytest.fixture
def stub(client: Any) -> Iterator[Any]:
    """Answers in moto's place what a test says, in this order; botocore checks requests and answers."""
    from botocore.stub import Stubber

    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def name() -> str:
    """A job's name that no other test has."""
    return f"dogs-{next(_NUMBERS)}"


def described(name: str, **more: Any) -> dict[str, Any]:
    """The smallest whole answer of DescribeTrainingJob."""
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://dogs/model.tar.gz"},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {},
        "CreationTime": _NOON,
        **more,
    }


def test_backend__training_job_as_boto3_returns_it(
    backend: Backend, aws: Aws, training_request: Make, name: str
) -> None:
    request = training_request(name)
    backend.create_training_job(request)
    found = backend.describe_training_job(name)
    assert found is not None
    direct = aws.session().client("sagemaker").describe_training_job(TrainingJobName=name)
    direct.pop("ResponseMetadata")
    assert found == {**direct, "Tags": request["Tags"]}
    assert found["CreationTime"].tzinfo is not None


def test_backend__what_does_not_exist(backend: Backend) -> None:
    assert backend.describe_training_job("nobody") is None
    assert backend.describe_tuning_job("nobody") is None


def test_backend__absence_in_awss_own_words(backend: Backend, stub: Any) -> None:
    stub.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
    assert backend.describe_training_job("nobody") is None


def test_backend__another_validation_error_is_no_absence(backend: Backend, stub: Any, told: Any) -> None:
    stub.add_client_error("describe_training_job", "ValidationException", "1 validation error detected")
    assert "1 validation error" in told(backend.describe_training_job, "not a name")


def test_backend__tuning_job(backend: Backend, tuning_request: Make, name: str) -> None:
    request = tuning_request(name)
    backend.create_tuning_job(request)
    found = backend.describe_tuning_job(name)
    assert found is not None
    assert found["HyperParameterTuningJobConfig"] == request["HyperParameterTuningJobConfig"]
    assert found["Tags"] == request["Tags"]


def test_backend__lists_by_tag_the_newest_first(backend: Backend, training_request: Make, name: str) -> None:
    for number in range(3):
        backend.create_training_job(training_request(f"{name}-{number}", series=name))
    backend.create_training_job(training_request(f"{name}-other", series="other"))
    found = backend.list_training_jobs({"series": name}, limit=100)
    assert [job["TrainingJobName"] for job in found] == [f"{name}-2", f"{name}-1", f"{name}-0"]
    assert {"Key": "series", "Value": name} in found[0]["Tags"]
    assert len(backend.list_training_jobs({}, limit=2)) == 2
    part = [job["TrainingJobName"] for job in backend.list_training_jobs({}, limit=1, named=f"{name}-0")]
    assert part == [f"{name}-0"]
    assert backend.list_training_jobs({}, limit=9, named="no_name") == []


def test_backend__list_asks_for_all_tags_and_turns_pages(backend: Backend, stub: Any) -> None:
    tags = {"dogbreed:experiment": "lr", "team": "dogs"}
    filters = [{"Name": f"Tags.{key}", "Operator": "Equals", "Value": text} for key, text in tags.items()]
    asked: dict[str, Any] = {
        "Resource": "TrainingJob",
        "SearchExpression": {"Filters": filters},
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 3,
    }
    jobs = [
        {"TrainingJob": {"TrainingJobName": f"dogs-{number}", "CreationTime": _NOON - timedelta(hours=number)}}
        for number in range(4)
    ]
    stub.add_response("search", {"Results": jobs[:2], "NextToken": "more"}, asked)
    stub.add_response("search", {"Results": jobs[2:]}, {**asked, "NextToken": "more"})
    found = backend.list_training_jobs(tags, limit=3)
    assert [job["TrainingJobName"] for job in found] == ["dogs-0", "dogs-1", "dogs-2"]


def test_backend__lists_tuning_jobs_by_name_the_newest_first(backend: Backend, tuning_request: Make, name: str) -> None:
    for number in range(3):
        backend.create_tuning_job(tuning_request(f"{name}-{number}"))
    found = backend.list_tuning_jobs(2, f"{name}-")
    assert [job["HyperParameterTuningJobName"] for job in found] == [f"{name}-2", f"{name}-1"]
    assert {"HyperParameterTuningJobStatus", "CreationTime", "TrainingJobStatusCounters"} <= found[0].keys()
    assert len(backend.list_tuning_jobs(100)) >= 3
    assert backend.list_tuning_jobs(9, "no_name") == []


def test_backend__list_asks_for_a_name_and_all_tags(backend: Backend, stub: Any) -> None:
    filters = [
        {"Name": "TrainingJobName", "Operator": "Contains", "Value": "dogs"},
        {"Name": "Tags.team", "Operator": "Equals", "Value": "dogs"},
    ]
    asked = {"Resource": "TrainingJob", "SearchExpression": {"Filters": filters}, "MaxResults": 9}
    stub.add_response("search", {"Results": []}, {**asked, "SortBy": "CreationTime", "SortOrder": "Descending"})
    assert backend.list_training_jobs({"team": "dogs"}, 9, "dogs") == []


def test_backend__all_trials_in_the_order_of_their_creation(backend: Backend, stub: Any) -> None:
    trials = [
        {
            "TrainingJobName": f"trial-{number}",
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/trial-{number}",
            "CreationTime": _NOON,
            "TrainingJobStatus": "Completed",
            "TunedHyperParameters": {"optimizer.lr": "0.01"},
            "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "val/acc", "Value": 0.5},
        }
        for number in range(3)
    ]
    operation = "list_training_jobs_for_hyper_parameter_tuning_job"
    asked = {
        "HyperParameterTuningJobName": "lr",
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
        "MaxResults": 100,
    }
    stub.add_response(operation, {"TrainingJobSummaries": trials[:2], "NextToken": "more"}, asked)
    stub.add_response(operation, {"TrainingJobSummaries": trials[2:]}, {**asked, "NextToken": "more"})
    assert backend.list_trials("lr") == trials


def test_backend__stops_a_job_and_a_tuning_job(backend: Backend, stub: Any) -> None:
    stub.add_response("stop_training_job", {}, {"TrainingJobName": "dogs"})
    stub.add_response("stop_hyper_parameter_tuning_job", {}, {"HyperParameterTuningJobName": "lr"})
    backend.stop_training_job("dogs")
    backend.stop_tuning_job("lr")


def test_backend__stopping_what_has_ended_is_nothing(backend: Backend, stub: Any) -> None:
    refused = "The request was rejected because the training job is in status Stopped."
    stub.add_client_error("stop_training_job", "ValidationException", refused)
    stub.add_response("describe_training_job", described("dogs", TrainingJobStatus="Stopped"))
    stub.add_response("list_tags", {"Tags": []})
    backend.stop_training_job("dogs")


def test_backend__stopping_what_was_never_there(backend: Backend, stub: Any, told: Any) -> None:
    for operation in ("stop_training_job", "describe_training_job"):
        stub.add_client_error(operation, "ValidationException", "Requested resource not found.")
    text = told(backend.stop_training_job, "nobody")
    assert text.startswith("error: stopping the job nobody: Requested resource not found.")
    assert "check the name" in text


def test_backend__files_and_logs_are_those_of_the_session(backend: Backend, aws: Aws, name: str) -> None:
    assert isinstance(backend.store, S3Store)
    uri = f"s3://{aws.new_bucket()}/a.txt"
    backend.store.put_bytes(uri, b"a")
    assert backend.store.get_bytes(uri) == b"a"
    assert backend.log_lines(name, None) == ([], None)


@pytest.mark.slow
def test_backend__awscli_lists_what_was_made(
    backend: Backend, aws: Aws, training_request: Make, tuning_request: Make, name: str, tmp_path: Path
) -> None:
    """AWS's own command, in an environment of its own: it does not resolve beside the SDK's."""
    uv, where = find_uv_bin(), str(tmp_path / "awscli")
    for step in ([uv, "venv", "-q", where], [uv, "pip", "install", "-q", "--python", where, "awscli==1.46.2"]):
        if subprocess.run(step, capture_output=True).returncode:
            pytest.skip("needs a package index with awscli")
    backend.create_training_job(training_request(name))
    backend.create_tuning_job(tuning_request(f"{name}-lr"))

    def ask(*arguments: str) -> Any:
        command = [f"{where}/bin/python", f"{where}/bin/aws", "sagemaker", *arguments, "--endpoint-url", aws.endpoint]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    jobs = ask("list-training-jobs", "--name-contains", name)["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in jobs] == [name]
    tunings = ask("list-hyper-parameter-tuning-jobs", "--name-contains", name)["HyperParameterTuningJobSummaries"]
    assert [job["HyperParameterTuningJobName"] for job in tunings] == [f"{name}-lr"]
    tags = ask("list-tags", "--resource-arn", jobs[0]["TrainingJobArn"])["Tags"]
    assert {"Key": "dogbreed:launch", "Value": "one"} in tags
