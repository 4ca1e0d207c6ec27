"""The policies of launch/iam: what they allow is what the code asks of AWS, and no more."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

import launch
from launch import policy, upload
from launch.hosting.resources import CONFIG, ENDPOINT, MODEL
from launch.standin.moto import Moto
from tests.conftest import Command, draw_folder
from tests.launch.conftest import Aws

_NUMBERS = itertools.count()
_ROLE = "arn:aws:iam::123456789012:role/dogbreed-jobs"
_SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "logs", "application-autoscaling", "cloudwatch")
#: IAM's name of a service, where requests are signed for another (Service Authorization Reference).
_PREFIXES = {"monitoring": "cloudwatch"}
#: What allows an operation, where it is no action of its own (the same, Amazon S3).
_ACTIONS = {
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:CopyObject": ["s3:GetObject", "s3:PutObject"],
}
#: What boto3's transfers call; one that fails takes back the parts that it has sent.
_TRANSFERS = {
    "upload_file": ["s3:PutObject", "s3:AbortMultipartUpload"],
    "download_file": ["s3:HeadObject", "s3:GetObject"],
}
#: What AWS does in the caller's name and wants allowed to the caller (developer guide of SageMaker: "Auto scaling
#: prerequisites" and "SageMaker API permissions").
_MEANT = {
    "sagemaker:CreateTrainingJob": ["iam:PassRole", "sagemaker:AddTags"],
    "application-autoscaling:RegisterScalableTarget": [
        "iam:CreateServiceLinkedRole",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    ],
    "application-autoscaling:PutScalingPolicy": [
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:DeleteAlarms",
    ],
}


_ARN = "us-east-1:123456789012:"
#: On what each action of the launcher works (Service Authorization Reference, the required types of resources).
_RESOURCES = {
    f"arn:aws:sagemaker:{_ARN}training-job/*": ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"],
    f"arn:aws:sagemaker:{_ARN}hyper-parameter-tuning-job/*": [
        "CreateHyperParameterTuningJob",
        "DescribeHyperParameterTuningJob",
        "StopHyperParameterTuningJob",
        "ListTrainingJobsForHyperParameterTuningJob",
    ],
    f"arn:aws:sagemaker:{_ARN}transform-job/*": ["CreateTransformJob", "DescribeTransformJob", "StopTransformJob"],
    f"arn:aws:sagemaker:{_ARN}model/*": ["CreateModel", "DescribeModel", "DeleteModel"],
    f"arn:aws:sagemaker:{_ARN}endpoint-config/*": [
        "CreateEndpointConfig",
        "DescribeEndpointConfig",
        "DeleteEndpointConfig",
        "CreateEndpoint",
        "UpdateEndpoint",
    ],
    f"arn:aws:sagemaker:{_ARN}endpoint/*": [
        "CreateEndpoint",
        "DescribeEndpoint",
        "UpdateEndpoint",
        "DeleteEndpoint",
        "InvokeEndpoint",
        "InvokeEndpointAsync",
        "UpdateEndpointWeightsAndCapacities",
    ],
    "*": [
        "Search",
        "ListHyperParameterTuningJobs",
        "ListModels",
        "ListEndpointConfigs",
        "ListEndpoints",
        "DescribeScalableTargets",
        "DescribeScalingPolicies",
        "GetMetricData",
        "DescribeAlarms",  # it has one, an alarm, but is not asked for any by name
    ],
    "arn:aws:iam::123456789012:role/jobs": ["PassRole"],
    "arn:aws:s3:::dogs/dogbreed/*": ["GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"],
    "arn:aws:s3:::dogs": ["ListBucket"],
    f"arn:aws:logs:{_ARN}log-group:/aws/sagemaker/TrainingJobs:*": ["DescribeLogStreams", "GetLogEvents"],
    f"arn:aws:application-autoscaling:{_ARN}scalable-target/*": [
        "RegisterScalableTarget",
        "DeregisterScalableTarget",
        "PutScalingPolicy",
    ],
    f"arn:aws:cloudwatch:{_ARN}alarm:TargetTracking-endpoint/*": ["PutMetricAlarm", "DeleteAlarms"],
    "arn:aws:iam::123456789012:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint": ["CreateServiceLinkedRole"],
}
#: Tags are of whatever is made with some.
_TAGGED = ("training-job", "hyper-parameter-tuning-job", "transform-job", "model", "endpoint-config", "endpoint")
for _kind in _TAGGED:
    _RESOURCES[f"arn:aws:sagemaker:{_ARN}{_kind}/*"] += ["AddTags", "ListTags", "DeleteTags"]
_CONDITIONS = {
    "TheRoleOfJobs": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    "Autoscaling": {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
    "TheRoleOfAutoscalingOnce": {
        "StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}
    },
}
_REPOSITORIES, _LOGS = "arn:aws:ecr:us-east-1:*:repository/*", f"arn:aws:logs:{_ARN}log-group:/aws/sagemaker/*"
#: What the role of a job needs (developer guide of SageMaker, "How to use SageMaker AI execution roles", where it is
#: about CreateTrainingJob), each on the narrowest resource that it takes.
_OF_A_JOB = {
    ("s3:GetObject", "arn:aws:s3:::dogs/dogbreed/*"),
    ("s3:PutObject", "arn:aws:s3:::dogs/dogbreed/*"),
    ("s3:ListBucket", "arn:aws:s3:::dogs"),
    ("logs:CreateLogGroup", _LOGS),
    ("logs:CreateLogStream", _LOGS),
    ("logs:DescribeLogStreams", _LOGS),
    ("logs:PutLogEvents", _LOGS),
    ("cloudwatch:PutMetricData", "*"),
    ("ecr:BatchCheckLayerAvailability", _REPOSITORIES),
    ("ecr:GetDownloadUrlForLayer", _REPOSITORIES),
    ("ecr:BatchGetImage", _REPOSITORIES),
    ("ecr:GetAuthorizationToken", "*"),
}
#: Characters without white space: of a managed policy, of a role's inline policies, of a role's trust (IAM's quotas).
_ROOM = {"launcher": 6144, "job": 10240, "trust": 2048}


@pytest.fixture(scope="module")
def methods() -> dict[str, tuple[str, str, str]]:
    """By a method of boto3's clients: its service, its operation, and the name that requests are signed for."""
    session = botocore.session.Session()
    found: dict[str, tuple[str, str, str]] = {}
    for service in _SERVICES:
        model = session.get_service_model(service)
        found |= {xform_name(name): (service, name, model.signing_name) for name in model.operation_names}
    return found


@pytest.fixture(scope="module")
def asked(methods: dict[str, Any]) -> set[str]:
    """The methods that the code calls, by its own text."""
    return {word for path in _sources() for word in _words(path) if word in methods or word in _TRANSFERS}


def filled(name: str, bucket: str = "dogs") -> dict[str, Any]:
    places = {"ACCOUNT": "123456789012", "REGION": "us-east-1", "BUCKET": bucket, "PREFIX": "dogbreed", "ROLE": "jobs"}
    found: dict[str, Any] = json.loads(policy.fill(policy.read(name), places))
    return found


def actions_of(document: dict[str, Any]) -> list[str]:
    lists = [statement["Action"] for statement in document["Statement"]]
    return [action for found in lists for action in ([found] if isinstance(found, str) else found)]


def needed(methods: dict[str, tuple[str, str, str]], asked: set[str]) -> set[str]:
    """The actions that allow these methods."""
    operations = {action for word in asked for action in _TRANSFERS.get(word, [])}
    for _, name, signed in (methods[word] for word in asked if word in methods):
        operations.add(f"{_PREFIXES.get(signed, signed)}:{name}")
    meant = {action for name in operations for action in _MEANT.get(name, [])}
    return {action for name in operations for action in _ACTIONS.get(name, [name])} | meant


def test_launcher__allows_what_the_code_asks_for_and_no_more(methods: dict[str, Any], asked: set[str]) -> None:
    allowed = actions_of(filled("launcher"))
    assert sorted(allowed) == sorted({*allowed, *needed(methods, asked)}), "asked for, and not allowed"
    assert set(allowed) <= needed(methods, asked), "allowed, and asked for by nobody"


def test_sources__are_all_that_talk_to_aws() -> None:
    others = [path for path in Path(launch.__file__).parent.rglob("*.py") if path not in _sources()]
    mine = [path for path in others if "standin" not in path.parts]
    assert [path for path in mine if ".client(" in path.read_text() or "get_paginator" in path.read_text()] == []


@pytest.mark.parametrize("name", policy.POLICIES)
def test_policy__as_printed_is_whole_and_has_room_where_the_page_puts_it(name: str, command: Command) -> None:
    said = command(policy.main, name, "--role", _ROLE, "--region", "us-east-1")
    assert said.code == 0, said.err
    assert not [action for action in actions_of(json.loads(said.out)) if "*" in action]
    assert re.findall(r"\b[A-Z]{4,}\b", said.out) == [], "a placeholder"
    assert len("".join(said.out.split())) <= _ROOM[name]


def test_launcher__each_action_stands_beside_its_resources() -> None:
    for statement in filled("launcher")["Statement"]:
        actions = {action.partition(":")[2] for action in actions_of({"Statement": [statement]})}
        fitting = {resource for resource, on_it in _RESOURCES.items() if actions & set(on_it)}
        resources = statement["Resource"]
        given = {resources} if isinstance(resources, str) else set(resources)
        assert given == fitting, statement["Sid"]
        assert statement["Effect"] == "Allow"


def test_launcher__passes_roles_and_scales_for_sagemaker_alone() -> None:
    found = {each["Sid"]: each["Condition"] for each in filled("launcher")["Statement"] if "Condition" in each}
    assert found == _CONDITIONS


def test_job__is_allowed_what_aws_names_and_nothing_else() -> None:
    statements = filled("job")["Statement"]
    pairs = {(action, each["Resource"]) for each in statements for action in actions_of({"Statement": [each]})}
    assert pairs == _OF_A_JOB
    assert {each["Effect"] for each in statements} == {"Allow"}


def test_trust__is_in_sagemaker_for_this_account_alone() -> None:
    (statement,) = filled("trust")["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
    }


def test_policy__prints_it_for_an_account(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said = command(policy.main, "launcher", "--role", _ROLE, "--region", "eu-west-1")
    assert said.code == 0, said.err
    resources = [each["Resource"] for each in json.loads(said.out)["Statement"]]
    assert _ROLE in resources
    assert "arn:aws:s3:::sagemaker-eu-west-1-123456789012/dogbreed/*" in resources
    monkeypatch.delenv("DOGBREED_ROLE", raising=False)
    told = command(policy.main, "job", "--region", "eu-west-1").err
    assert told.startswith("error: --role is not set")
    assert "DOGBREED_ROLE" in told
    assert "sagemaker.role" not in told


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket whose launcher every client is from here on; moto refuses what the policy does not allow."""
    bucket = f"iam-{next(_NUMBERS)}"
    for name in (bucket, f"{bucket}-of-others"):
        _account(aws).client("s3").create_bucket(Bucket=name)
    with _being(bucket, _as_moto_reads(filled("launcher", bucket)), aws, monkeypatch):
        yield bucket


@pytest.mark.slow
def test_launcher__gets_every_operation_past_iam(
    bucket: str, aws: Aws, methods: dict[str, Any], asked: set[str]
) -> None:
    assert _refused(bucket, aws, methods, asked) == set()


@pytest.mark.slow
def test_anyone_else__gets_none_of_them_past_it(
    aws: Aws, methods: dict[str, Any], asked: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}
    bucket = f"iam-{next(_NUMBERS)}"
    with _being(bucket, {"Version": "2012-10-17", "Statement": [other]}, aws, monkeypatch):
        assert _refused(bucket, aws, methods, asked) == asked & set(methods)


@pytest.mark.slow
def test_launcher__uploads_to_its_prefix_alone(bucket: str, command: Command, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", classes=2, train=3, val=2, test=1, size=16)
    sent = command(upload.main, str(folder), "--to", f"s3://{bucket}/dogbreed")
    assert sent.code == 0, sent.err
    for elsewhere in (f"s3://{bucket}/others", f"s3://{bucket}-of-others/dogbreed"):
        told = command(upload.main, str(folder), "--to", elsewhere)
        assert (told.code, "the action s3:" in told.err) == (1, True), told.err


def _account(aws: Aws) -> Moto:
    """An account of these tests: requests without a name leave in moto what breaks the lists of others."""
    return Moto(aws.endpoint, "210987654321", aws.region)


@contextmanager
def _being(name: str, document: dict[str, Any], aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every client is a new user with this policy, while moto enforces it."""
    from moto.core import enable_iam_authentication

    iam = _account(aws).client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="theirs", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with enable_iam_authentication():
        yield


def _refused(bucket: str, aws: Aws, methods: dict[str, tuple[str, str, str]], asked: set[str]) -> set[str]:
    """Which of these methods IAM refuses; what is wrong with a request or missing in moto is asked after that."""
    from botocore.config import Config

    session, config = aws.session(), Config(parameter_validation=False)
    clients = {service: session.client(service, config=config) for service in _SERVICES}
    known: dict[str, Any] = {
        "Bucket": bucket,
        "Key": "dogbreed/a",
        "CopySource": {"Bucket": bucket, "Key": "dogbreed/b"},
    }
    known |= {"EndpointName": "dogs", "Body": b"a", "InputLocation": f"s3://{bucket}/a"}
    refused = set()
    for word in asked & set(methods):
        service, name, _ = methods[word]
        members = clients[service].meta.service_model.operation_model(name).input_shape.members
        try:
            getattr(clients[service], word)(**{key: known[key] for key in known.keys() & members})
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
                refused.add(word)
    return refused


def _sources() -> list[Path]:
    """The files that talk to AWS: every call stands in asking_aws, which says what AWS has refused."""
    paths = Path(launch.__file__).parent.rglob("*.py")
    return [path for path in paths if "asking_aws" in path.read_text() and "standin" not in path.parts]


#: What patterns do as well: of AWS only as a string, as it is paged.
_OF_PATTERNS = "search"


def _words(path: Path) -> Iterator[str]:
    """What may be the name of a method: attributes, and strings, also those that a kind of part completes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr != _OF_PATTERNS:
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            for kind in (MODEL, CONFIG, ENDPOINT):
                parts = [str(part.value) if isinstance(part, ast.Constant) else kind.call for part in node.values]
                yield "".join(parts)


def _as_moto_reads(document: dict[str, Any]) -> dict[str, Any]:
    """The policy where moto's IAM reads less: it knows the resources of S3 alone, no conditions, and signing names."""
    read = []
    for statement in document["Statement"]:
        actions = [action.replace("cloudwatch:", "monitoring:") for action in actions_of({"Statement": [statement]})]
        where = statement["Resource"] if actions[0].startswith("s3:") else "*"
        read.append({"Effect": "Allow", "Action": actions, "Resource": where})
    return {"Version": document["Version"], "Statement": read}
