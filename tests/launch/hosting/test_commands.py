"""The commands as a user runs them: deploy, endpoints, update, delete, and `with endpoint(...)`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dogbreed.serving.predictor import Predictor
from launch import delete, deploy, endpoint, endpoints, update
from launch.errors import LaunchError
from launch.hosting.requests import EXPIRY_TAG
from tests.conftest import Command
from tests.launch.conftest import Aws
from tests.launch.hosting.conftest import ROLE
from tests.launch.hosting.door import Door, broken, saying
from tests.launch.hosting.test_steps import Left, picture

Artifacts = tuple[Path, Path]


@pytest.fixture
def said(bucket: str, artifacts: Artifacts, name: str) -> list[str]:
    """What every deployment of these tests says."""
    account = [f"sagemaker.bucket={bucket}", f"sagemaker.role={ROLE}", "sagemaker.image=mine:1"]
    return [f"artifact={artifacts[0]}", f"name={name}", *account, "sagemaker.poll_s=0.01", "sagemaker.owner=rex"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("realtime", marks=pytest.mark.slow),
        pytest.param("serverless", marks=pytest.mark.slow),
        "asynchronous",
    ],
)
def test_commands__from_deploy_to_delete(
    kind: str, said: list[str], name: str, artifacts: Artifacts, door: Door, left: Left, command: Command
) -> None:
    made = command(deploy.main, *said, f"sagemaker/endpoint={kind}")
    assert made.code == 0, made.err
    assert f"python -m launch.ask {name} PICTURES" in made.out
    assert f"python -m launch.delete {name}" in made.out
    assert ("it costs nothing while nobody asks" if kind == "serverless" else "it costs 0.115 USD an hour") in made.out

    (listed,) = json.loads(command(endpoints.main, name, "--format", "json").out)
    assert (listed["kind"], listed["owner"], listed["status"], listed["asked_24h"]) == (kind, "rex", "InService", 0)
    assert listed["usd_per_hour"] == (0 if kind == "serverless" else 0.115)

    changed = command(update.main, f"artifact={artifacts[1]}", f"name={name}", "sagemaker.poll_s=0.01")
    assert changed.code == 0, changed.err
    (listed,) = json.loads(command(endpoints.main, name, "--format", "json").out)
    assert listed["artifact"] == Predictor.load(artifacts[1])(picture()).model

    gone = command(delete.main, name)
    assert gone.code == 0, gone.err
    assert left() == []
    again = command(delete.main, name)
    assert again.code == 1
    assert again.err.startswith(f"error: there is no endpoint {name}")


def test_deploy__dry_run_asks_nobody(said: list[str], door: Door, command: Command) -> None:
    ended = command(deploy.main, *said, "dry_run=true")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("CreateModel:")
    assert "nothing is wrong with it" in ended.out
    assert door.asked == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("sagemaker.memory_mb=2048", "sagemaker.memory_mb"),
        ("sagemaker.instance_type=ml.m5.lrge", "ml.m5.large"),
        pytest.param("sagemaker.instance_typ=ml.m5.large", "instance_type", marks=pytest.mark.slow),
        ("name=my_dogs", "set name"),
        pytest.param("sagemaker.role=dogs", "arn:aws:iam", marks=pytest.mark.slow),
        pytest.param("sagemaker.max_count=0", "a whole number", marks=pytest.mark.slow),
        ("artifact=5", "artifact=5\n  allowed: a path"),
        ("name=[a]", "set name"),
        ("sagemaker.prefix=2026", "a text (in quotes"),
        ("sagemaker.expires_in_h=1e9", "or null for never"),
        pytest.param("sagemaker.poll_s=null", "sagemaker.poll_s", marks=pytest.mark.slow),
    ],
)
def test_deploy__mistakes_are_told_before_anything_is_sent(
    wrong: str, told: str, said: list[str], door: Door, command: Command
) -> None:
    ended = command(deploy.main, *said, wrong)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert told in ended.err
    assert door.asked == []


def test_deploy__fault_ends_in_one_error_and_leaves_nothing(
    said: list[str], door: Door, left: Left, command: Command
) -> None:
    door.spoil["CreateEndpoint"] = [saying("ResourceLimitExceeded", "The limit 'ml.m5.large for endpoint usage' is 0")]
    ended = command(deploy.main, *said)
    assert ended.code == 1
    assert [line.split(":")[0].strip() for line in ended.err.splitlines()] == ["error", "allowed", "what to do"]
    assert left() == []


def test_endpoints__expired_ones_are_deleted(
    said: list[str], name: str, behind: dict[str, Any], door: Door, left: Left, command: Command
) -> None:
    assert command(deploy.main, *said).code == 0
    assert "no endpoint that has expired" in command(endpoints.main, "--expired", "--yes").out
    client = behind["sagemaker"]
    past = (datetime.now(timezone.utc) - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    arn = client.describe_endpoint(EndpointName=name)["EndpointArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": EXPIRY_TAG, "Value": past}])

    assert command(endpoints.main, "--yes").code == 2  # it says nothing without --expired
    listed = command(endpoints.main)
    assert "EXPIRED 3.0 h ago" in listed.out
    assert "python -m launch.endpoints --expired" in listed.err
    assert f"would delete {name}" in command(endpoints.main, "--expired", "--dry-run").err
    assert command(endpoints.main, "--expired").code == 1  # nobody to ask
    assert left() != []
    assert command(endpoints.main, "--expired", "--yes").code == 0
    assert left() == []


@pytest.mark.slow
def test_endpoints__traffic_of_the_last_day(said: list[str], name: str, aws: Aws, door: Door, command: Command) -> None:
    assert command(deploy.main, *said).code == 0
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "all"}]
    now = datetime.now(timezone.utc)
    points = [(now - timedelta(hours=hours), value) for hours, value in ((1, 30), (5, 12), (30, 1000))]
    aws.session().client("cloudwatch", endpoint_url=aws.endpoint).put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {"MetricName": "Invocations", "Dimensions": dimensions, "Timestamp": moment, "Value": value}
            for moment, value in points
        ],
    )
    (listed,) = json.loads(command(endpoints.main, name, "--format", "json").out)
    assert listed["asked_24h"] == 42


def test_delete__leaves_what_others_made(
    name: str, behind: dict[str, Any], door: Door, left: Left, command: Command
) -> None:
    client = behind["sagemaker"]
    variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "theirs"})
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    before = left()
    ended = command(delete.main, name)
    assert ended.code == 1
    assert "was not made by launch.deploy" in ended.err
    assert left() == before


@pytest.fixture
def wanted(bucket: str) -> dict[str, Any]:
    return {"bucket": bucket, "role": ROLE, "image": "mine:1", "poll_s": 0.01, "say": lambda line: None}


def test_with_endpoint__answers_and_is_gone(
    name: str, artifacts: Artifacts, wanted: dict[str, Any], door: Door, left: Left
) -> None:
    with endpoint(artifacts[0], name, **wanted) as made:
        assert made.ask(picture(), top_k=1) == Predictor.load(artifacts[0])(picture(), top_k=1)
        assert left() != []
    assert left() == []


@pytest.mark.parametrize("error", [pytest.param(ValueError, marks=pytest.mark.slow), KeyboardInterrupt])
def test_with_endpoint__is_gone_after_an_exception(
    error: type[BaseException], name: str, artifacts: Artifacts, wanted: dict[str, Any], door: Door, left: Left
) -> None:
    with pytest.raises(error), endpoint(artifacts[0], name, **wanted):
        raise error
    assert left() == []


def test_with_endpoint__says_what_could_not_be_removed(
    name: str, artifacts: Artifacts, wanted: dict[str, Any], door: Door
) -> None:
    with pytest.raises(LaunchError, match="1 could not be removed"), endpoint(artifacts[0], name, **wanted):
        door.spoil["DeleteModel"] = [broken]


#: Where a deployment is when a signal comes: the operation that has just arrived at AWS.
MOMENTS = [("PutObject", signal.SIGINT), ("CreateEndpoint", signal.SIGTERM), ("DescribeEndpoint", signal.SIGINT)]
_SCRIPT = """
import sys, time
from launch import endpoint
with endpoint({artifact!r}, {name!r}, bucket={bucket!r}, role={role!r}, image="mine:1", poll_s=0.05):
    print("READY", flush=True)
    time.sleep(60)
"""


def start(door: Door, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "AWS_ENDPOINT_URL": door.url, "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "number"), MOMENTS)
def test_deploy__signal_half_way_leaves_nothing(
    moment: str, number: signal.Signals, said: list[str], door: Door, left: Left
) -> None:
    door.endpoints.looks = 20
    process = start(door, "-m", "launch.deploy", *said, "sagemaker.poll_s=0.05")

    def strike(handler: object, answer: Callable[[], Any]) -> Any:
        given = answer()
        process.send_signal(number)
        time.sleep(0.2)
        return given

    door.spoil[moment] = [None, strike] if moment == "DescribeEndpoint" else [strike]
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, out + err
    assert "Traceback" not in err
    assert "taking back" in out
    assert left() == []


@pytest.mark.slow
def test_with_endpoint__is_gone_after_a_signal(
    name: str, artifacts: Artifacts, bucket: str, door: Door, left: Left
) -> None:
    script = _SCRIPT.format(artifact=str(artifacts[0]), name=name, bucket=bucket, role=ROLE)
    process = start(door, "-c", script)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "READY":
        assert process.poll() is None
    assert left() != []
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert left() == []
