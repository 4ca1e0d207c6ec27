"""launch.transform against the stand-in, which really does what a job asks for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed import predict
from launch import transform
from launch.standin.containers import Containers
from launch.standin.door import opened
from launch.standin.transforms import Transforms
from tests.conftest import Command, Ended
from tests.launch.conftest import Aws
from tests.launch.hosting.conftest import ROLE
from tests.launch.hosting.door import Door, saying


class Endless(Transforms):
    """Transform jobs that may go on until they are stopped.

    Attributes:
        never_ends: whether they do.
    """

    never_ends = False

    def run(self, name: str) -> None:
        while self.never_ends and self.states[name]["TransformJobStatus"] == "InProgress":
            time.sleep(0.05)
        super().run(name)


@pytest.fixture
def worker(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """SageMaker's front door, its transform jobs Endless."""
    server = Door(aws, tmp_path)
    server.transforms = Endless(server.moto, Containers(server.moto, tmp_path / "containers"))
    with opened(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def photos(shared_folder: Path, aws: Aws, bucket: str, tmp_path: Path) -> Path:
    """Five pictures, here and below s3://BUCKET/dogs/, and beside them what is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, file in enumerate(sorted(shared_folder.rglob("test/*/*.jpg"))[:5]):
        shutil.copy(file, folder / f"{number}.jpg")
        aws.s3.upload_file(str(file), bucket, f"dogs/{number}.jpg")
    aws.s3.put_object(Bucket=bucket, Key="dogs/notes.txt", Body=b"")
    aws.s3.put_object(Bucket=bucket, Key="dogs-of-others/5.jpg", Body=b"no picture")
    return folder


def settings(bucket: str, artifact: Path, *more: str) -> list[str]:
    own = [f"sagemaker.bucket={bucket}", f"sagemaker.role={ROLE}", "sagemaker.image=mine:1", "sagemaker.poll_s=0.05"]
    places = [f"artifact={artifact}", f"input=s3://{bucket}/dogs", f"output=s3://{bucket}/answers"]
    return [*places, *own, *more]


def left_behind(aws: Aws, bucket: str) -> list[str]:
    """Models, and what else than pictures and answers lies in S3."""
    models = aws.session().client("sagemaker", endpoint_url=aws.endpoint).list_models(NameContains="dogbreed-transform")
    files = [each["Key"] for each in aws.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return [each["ModelName"] for each in models["Models"]] + [
        key for key in files if not key.startswith(("dogs", "answers/"))
    ]


def test_transform__prints_what_predict_prints_and_tidies_up(
    worker: Door, aws: Aws, bucket: str, photos: Path, artifacts: tuple[Path, Path], command: Command
) -> None:
    ended = command(transform.main, *settings(bucket, artifacts[0]))
    assert ended.code == 0, ended.err
    here = command(predict.main, photos, "--artifact", artifacts[0], "--format", "jsonl", "--batch-size", 1)
    assert ended.out == here.out.replace(str(photos), f"s3://{bucket}/dogs")
    assert "5 pictures below" in ended.err
    assert "USD" in ended.err
    assert left_behind(aws, bucket) == []


@pytest.mark.slow
def test_transform__bad_picture_is_told_and_the_others_answered(
    worker: Door, aws: Aws, bucket: str, photos: Path, artifacts: tuple[Path, Path], command: Command
) -> None:
    aws.s3.put_object(Bucket=bucket, Key="dogs/2.jpg", Body=b"no picture")
    ended = command(transform.main, *settings(bucket, artifacts[0]))
    assert ended.code == 1
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(answer["path"]).name for answer in answers if "error" in answer] == ["2.jpg"]
    assert len(answers) == 5
    assert left_behind(aws, bucket) == []


@pytest.mark.parametrize(
    "operation",
    [
        "CreateTransformJob",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("CreateModel", "DescribeTransformJob", "PutObject")),
    ],
)
def test_transform__failing_half_way_leaves_nothing(
    operation: str,
    worker: Door,
    aws: Aws,
    bucket: str,
    photos: Path,
    artifacts: tuple[Path, Path],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("launch.views.polling.PATIENCE_S", 0.1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    worker.spoil[operation] = [saying("ThrottlingException", "Rate exceeded")] * 4
    ended = command(transform.main, *settings(bucket, artifacts[0]))
    assert ended.code == 1
    assert ended.err.count("error: ") == 1
    assert "Rate exceeded" in ended.err or operation == "PutObject"  # S3's own words are XML
    assert "Traceback" not in ended.err
    assert left_behind(aws, bucket) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_transform__signal_stops_the_job_and_leaves_nothing(
    number: signal.Signals, worker: Door, aws: Aws, bucket: str, photos: Path, artifacts: tuple[Path, Path]
) -> None:
    worker.transforms.never_ends = True  # type: ignore[attr-defined]
    process = subprocess.Popen(
        [sys.executable, "-m", "launch.transform", *settings(bucket, artifacts[0])],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    told = ""
    while "InProgress" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told + err
    assert out == ""
    assert "Traceback" not in err
    assert "StopTransformJob" in worker.asked
    assert left_behind(aws, bucket) == []


@pytest.mark.parametrize(
    ("override", "got"),
    [
        ("input=/photos", "input=/photos"),
        pytest.param("format=xml", "format=xml", marks=pytest.mark.slow),
        ("format=5", "format=5"),
        ("transform=5", "transform=5"),
        ("transform.max_concurrent=50", "transform.max_payload_mb=25 times transform.max_concurrent=50"),
        pytest.param("sagemaker/endpoint=serverless", "sagemaker/endpoint=serverless", marks=pytest.mark.slow),
        ("sagemaker.max_count=4,sagemaker.expires_in_h=2", "sagemaker.max_count, sagemaker.expires_in_h"),
        ("sagemaker.instance_type=ml.m5", "TransformResources.InstanceType"),
    ],
)
def test_transform__wrong_setting_is_one_error(
    override: str, got: str, artifacts: tuple[Path, Path], command: Command
) -> None:
    ended: Ended = command(
        transform.main, *settings("dogs", artifacts[0], "sagemaker.region=us-east-1", *override.split(","))
    )
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert got in ended.err


def test_transform__dry_run_shows_the_request_and_asks_nobody(artifacts: tuple[Path, Path], command: Command) -> None:
    more = ["dry_run=true", "sagemaker.region=us-east-1", "sagemaker.kms_key=key"]
    ended = command(transform.main, *settings("dogs", artifacts[0], *more))
    assert ended.code == 0, ended.out + ended.err
    assert "S3DataType: ManifestFile" in ended.out
    assert "USD an hour" in ended.out
    assert ended.out.endswith("nothing is wrong with it\n")
    ended = command(transform.main, *settings("dogs", artifacts[0], *more, "sagemaker.role=dogs"))
    assert ended.code == 1
    assert "\nproblem: sagemaker.role: sagemaker.role=dogs\n" in ended.out
