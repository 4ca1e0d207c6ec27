from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from launch.aws.errors import asking_aws, explain
from launch.aws.session import make_session
from launch.errors import LaunchError
from tests.launch.conftest import Aws

exceptions = pytest.importorskip("botocore.exceptions")

_PULL = "has proper pull permissions for SageMaker: ecr:BatchGetImage"
#: What AWS answers (code, message), and what the error then has to say.
ANSWERS = [
    ("ExpiredTokenException", "The security token included in the request is expired", ["aws sso login"]),
    ("UnrecognizedClientException", "The security token included in the request is invalid.", ["clock", "keys"]),
    ("ThrottlingException", "Rate exceeded", ["wait a minute"]),
    (
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances.",
        ["quota 'ml.g5.xlarge for training job usage'", "Service Quotas console"],
    ),
    ("ResourceInUse", "Training job names must be unique within an AWS account and region", ["new name"]),
    (
        "ValidationException",
        "Could not assume role arn:aws:iam::1:role/x. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role.",
        ["set sagemaker.role", "trusts sagemaker.amazonaws.com"],
    ),
    (
        "ValidationException",
        'No S3 objects found under S3 URL "s3://b/x" given in input data source. Please ensure that the bucket '
        "exists in the selected region (us-west-2), and that the role can read it.",
        ["python -m launch.upload"],
    ),
    (
        "ValidationException",
        f"Cannot find repository: x in registry ID: 1 Please check if your ECR repository exists and role {_PULL}",
        ["set sagemaker.image"],
    ),
    ("ValidationException", "The bucket is in another region", ["set sagemaker.region or sagemaker.bucket"]),
    ("ValidationException", "something that nobody has seen yet", ["python -m launch.plan"]),
    (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/me is not authorized to perform: sagemaker:CreateTrainingJob on resource: arn:x "
        "because no identity-based policy allows the sagemaker:CreateTrainingJob action",
        ["the action sagemaker:CreateTrainingJob on arn:x"],
    ),
    ("NoSuchBucket", "The specified bucket does not exist", ["aws s3 mb"]),
]

#: Errors of botocore's own, made as it makes them.
OWN = [
    (exceptions.NoCredentialsError(), "aws configure"),
    (exceptions.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "aws configure"),
    (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
    (exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), "aws sso login"),
    (exceptions.LoginRefreshRequired(), "aws login"),
    (exceptions.ProfileNotFound(profile="x"), "aws configure list-profiles"),
    (exceptions.NoRegionError(), "AWS_REGION"),
    (exceptions.EndpointConnectionError(endpoint_url="https://x"), "check the network"),
    (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "check the network"),
    (exceptions.ReadTimeoutError(endpoint_url="https://x"), "check the network"),
    (exceptions.ParamValidationError(report="Unknown parameter\nMissing one"), "python -m launch.plan"),
    (exceptions.ConfigParseError(path="config"), "~/.aws/config"),
    (exceptions.ChecksumError(checksum_type="md5", expected_checksum="a", actual_checksum="b"), "correct"),
]


def refuse(error: Exception) -> None:
    with asking_aws("starting the job dogs"):
        raise error


def answer(code: str, message: str, status: int = 400, operation: str = "CreateTrainingJob") -> Exception:
    about = {"HTTPStatusCode": status, "RequestId": "4f1c"}
    refusal: Exception = exceptions.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": about}, operation
    )
    return refusal


@pytest.mark.parametrize(
    ("code", "message", "advice"), ANSWERS, ids=[f"{code}: {said[:20]}" for code, said, _ in ANSWERS]
)
def test_explain__answer_of_aws(code: str, message: str, advice: list[str], told: Any) -> None:
    text = told(refuse, answer(code, message))
    assert text.startswith(f"error: starting the job dogs: {message} ({code})\n")
    assert [words for words in advice if words not in text] == []
    assert "4f1c" not in text


@pytest.mark.parametrize(("error", "advice"), OWN, ids=[type(error).__name__ for error, _ in OWN])
def test_explain__error_of_botocore(error: Exception, advice: str, told: Any) -> None:
    text = told(refuse, error)
    assert text.startswith(f"error: starting the job dogs: {' '.join(str(error).split())}\n")
    assert advice in text.splitlines()[-1]


def test_explain__server_error_keeps_the_number_that_support_asks_for(told: Any) -> None:
    text = told(refuse, answer("InternalFailure", "", status=500))
    assert "refused (InternalFailure, request 4f1c)" in text


@pytest.mark.parametrize(
    ("operation", "action"),
    [("HeadObject", "s3:GetObject"), ("ListObjectsV2", "s3:ListBucket"), ("PutObject", "s3:PutObject")],
)
def test_explain__s3_denies_without_naming_the_action(operation: str, action: str) -> None:
    found = explain(answer("AccessDenied", "Access Denied", 403, operation), "sending dogs.tar.gz")
    assert found.allowed == f"the action {action}"


def test_explain__upload_that_boto3_wraps(aws: Aws, tmp_path: Path, told: Any) -> None:
    (tmp_path / "a.txt").write_text("a")

    def upload() -> None:
        with asking_aws("sending a.txt"):
            aws.session().client("s3").upload_file(str(tmp_path / "a.txt"), "no-such-bucket-of-ours", "a.txt")

    text = told(upload)
    assert "sending a.txt: The specified bucket does not exist (NoSuchBucket)" in text


def test_explain__the_last_of_several_failures(told: Any) -> None:
    from boto3.exceptions import RetriesExceededError

    last = exceptions.ReadTimeoutError(endpoint_url="https://x")
    text = told(refuse, RetriesExceededError(last))
    assert "Read timeout" in text
    assert "check the network" in text


def test_explain__long_message_is_one_line() -> None:
    found = explain(answer("ValidationException", "bad value\n" * 1000), "starting")
    assert len(found.got) < 450
    assert "\n" not in found.got


def test_explain__a_defect_is_not_explained() -> None:
    with pytest.raises(ZeroDivisionError):
        refuse(ZeroDivisionError())
    with pytest.raises(KeyError):
        explain(KeyError("a"), "starting")
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    with pytest.raises(ModuleNotFoundError):
        explain(missing, "starting")


def test_explain__error_that_is_explained_already_stays() -> None:
    error = LaunchError("a", "b", "c")
    assert explain(error, "starting") is error
    with pytest.raises(LaunchError) as caught:
        refuse(error)
    assert caught.value is error


def test_make_session__without_boto3_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "pip install 'dogbreed[sagemaker]'" in told(make_session, "us-east-1")
