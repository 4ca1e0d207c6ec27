"""launch.ask against a real HTTP front with a real predictor behind it; endpoints and S3 are moto's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed import predict
from dogbreed.serving.predictor import Predictor
from launch import ask
from launch.aws.session import make_session
from launch.files.stores import S3Store
from tests.conftest import Command
from tests.launch.conftest import Aws
from tests.launch.runtime import BROKEN, Runtime, running


@pytest.fixture(scope="module")
def runtime(aws: Aws, trained_run: Path) -> Iterator[Runtime]:
    """Asked by boto3, which finds it by the environment."""
    store = S3Store(make_session(aws.region))
    front = Runtime(Predictor.load(trained_run / "artifact"), store)
    with running(front) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        yield server


@pytest.fixture(scope="module")
def endpoints(aws: Aws) -> dict[str, str]:
    """The name of an endpoint of each kind, and of one whose container is broken."""
    client = aws.session().client("sagemaker")
    role, bucket = "arn:aws:iam::123456789012:role/dogs", aws.new_bucket()
    client.create_model(ModelName="asked", ExecutionRoleArn=role, PrimaryContainer={"Image": "image"})
    instance = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    later = {"OutputConfig": {"S3OutputPath": f"s3://{bucket}/answers"}}
    kinds: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "asked-realtime": (instance, {}),
        "asked-serverless": ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}, {}),
        "asked-later": (instance, {"AsyncInferenceConfig": later}),
        BROKEN: (instance, {}),
    }
    for name, (variant, more) in kinds.items():
        variants = [{"VariantName": "all", "ModelName": "asked", **variant}]
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return {"bucket": bucket}


@pytest.fixture
def photos(shared_folder: Path, tmp_path: Path) -> Path:
    """Six pictures in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, file in enumerate(sorted(shared_folder.rglob("test/*/*.jpg"))[:6]):
        shutil.copy(file, folder / f"{number}.jpg")
    return folder


@pytest.mark.parametrize("name", ["asked-realtime", "asked-serverless", "asked-later"])
def test_ask__prints_what_predict_prints(
    name: str, runtime: Runtime, endpoints: dict[str, str], photos: Path, trained_run: Path, command: Command
) -> None:
    options = ["--format", "jsonl", "--top-k", 2, "--correct-index", 1]
    asked = command(ask.main, name, photos, *options)
    here = command(predict.main, photos, "--artifact", trained_run / "artifact", "--batch-size", 1, *options)
    assert asked == here
    assert len(asked.out.splitlines()) == 6


def test_ask__leaves_nothing_of_an_asynchronous_question(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, aws: Aws, command: Command
) -> None:
    (photos / "1.jpg").write_text("no picture")
    ended = command(ask.main, "asked-later", photos)
    assert ended.code == 1
    assert "1.jpg" in ended.err
    assert ended.out.count("%") >= 5
    assert "Contents" not in aws.s3.list_objects_v2(Bucket=endpoints["bucket"])


def test_ask__takes_pictures_from_s3(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, aws: Aws, command: Command
) -> None:
    bucket = aws.new_bucket()
    for file in photos.iterdir():
        aws.s3.upload_file(str(file), bucket, f"dogs/{file.name}")
    aws.s3.put_object(Bucket=bucket, Key="dogs/notes.txt", Body=b"")
    aws.s3.put_object(Bucket=bucket, Key="dogs-others/7.jpg", Body=b"")
    here = command(ask.main, "asked-realtime", photos, "--format", "jsonl").out
    for uri in (f"s3://{bucket}/dogs", f"s3://{bucket}/dogs/"):
        there = command(ask.main, "asked-realtime", uri, "--format", "jsonl").out
        assert there == here.replace(str(photos), f"s3://{bucket}/dogs")
    alone = command(ask.main, "asked-realtime", f"s3://{bucket}/dogs/0.jpg", "--format", "jsonl").out
    assert json.loads(alone)["path"] == f"s3://{bucket}/dogs/0.jpg"
    none = command(ask.main, "asked-realtime", f"s3://{bucket}/cats/")
    assert none.code == 1
    assert none.err.startswith(f"error: no picture at or below s3://{bucket}/cats/")


def test_ask__bad_pictures_are_told_and_the_others_answered(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, command: Command
) -> None:
    (photos / "2.jpg").write_text("no picture")
    ended = command(ask.main, "asked-realtime", photos, photos / "missing.jpg", "--format", "jsonl")
    assert ended.code == 1
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(answer["path"]).name for answer in answers if "error" in answer] == ["2.jpg", "missing.jpg"]
    assert len(answers) == 7
    assert "missing.jpg: No such file or directory" in ended.err


def test_ask__too_large_is_told_before_it_is_sent(
    runtime: Runtime, endpoints: dict[str, str], tmp_path: Path, command: Command
) -> None:
    large = tmp_path / "large.jpg"
    with open(large, "wb") as file:
        file.truncate(4 * 2**20 + 1)
    before = len(runtime.asked)
    ended = command(ask.main, "asked-serverless", large)
    assert ended.code == 1
    assert "4,194,305 bytes" in ended.err
    assert len(runtime.asked) == before


def test_ask__is_patient_with_a_container_that_has_too_much_to_do(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, command: Command
) -> None:
    runtime.busy = 3
    ended = command(ask.main, "asked-realtime", photos)
    assert ended.code == 0
    assert runtime.busy == 0


def test_ask__names_near_endpoints_where_there_is_none(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, command: Command
) -> None:
    ended = command(ask.main, "asked-realtim", photos)
    assert ended.code == 1
    assert ended.err.startswith("error: there is no endpoint asked-realtim (did you mean asked-realtime")
    assert "Traceback" not in ended.err


def test_ask__broken_container_ends_it_in_its_own_words(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, command: Command
) -> None:
    ended = command(ask.main, BROKEN, photos)
    assert ended.code == 1
    assert ended.err.startswith("error: broken refuses (500): it broke")


def test_ask__unknown_breed_is_the_containers_own_error(
    runtime: Runtime, endpoints: dict[str, str], photos: Path, command: Command
) -> None:
    ended = command(ask.main, "asked-realtime", photos / "0.jpg", "--correct-breed", "breed a cat")
    assert ended.code == 1
    assert "breed a cat" in ended.err
