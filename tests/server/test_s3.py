"""Pictures that are only named: from moto's S3, and from nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed.errors import ConfigError
from dogbreed.server.s3 import S3
from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor
from tests.server.asking import Answer, Running, serving

pytestmark = pytest.mark.slow

#: What none of the prefixes below allows.
ELSEWHERE = [
    "s3://dogs/secret.jpg",
    "s3://dogs/photos",
    "s3://dogs/photos/",
    "s3://dogs/photos-of-others/a.jpg",
    "s3://dogs/photos/../secret.jpg",
    "s3://dogs/photos/./../secret.jpg",
    "s3://dogs/photos/%2e%2e/secret.jpg",
    "s3://dogs//photos/a.jpg",
    "s3://dogs/photos//a.jpg",
    "s3://dogs.evil.example/photos/a.jpg",
    "s3://dogs@evil.example/photos/a.jpg",
    "s3://other/photos/a.jpg",
    "S3://dogs/photos/a.jpg",
    "s3://dogs/photos/a.jpg?versionId=1",
    "s3://dogs/photos/*.jpg",
    "s3://dogs/photos/a.jpg\n",
    "s3://arn:aws:s3:us-east-1:1:accesspoint/x/photos/a.jpg",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "https://dogs.s3.amazonaws.com/photos/a.jpg",
    "simplecache::s3://dogs/photos/a.jpg",
    "/etc/passwd",
    "",
]


@pytest.fixture(scope="module")
def s3_env(photos: list[bytes]) -> Iterator[dict[str, str]]:
    """The environment that leads to moto's S3, with pictures in a bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    client: Any = boto3.Session().client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="dogs")
    client.put_object(Bucket="dogs", Key="photos/a b.jpg", Body=photos[0])
    client.put_object(Bucket="dogs", Key="photos/large.jpg", Body=bytes(2**20 + 1))
    client.put_object(Bucket="dogs", Key="photos/half.jpg", Body=bytes(2**19 + 1))
    client.put_object(Bucket="dogs", Key="secret.jpg", Body=photos[0])
    yield {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    server.stop()


@pytest.fixture(scope="module")
def s3_server(trained_run: Path, s3_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that may read one prefix."""
    log = tmp_path_factory.mktemp("s3") / "log.jsonl"
    options = ["--s3-prefix", "s3://dogs/photos/", "--max-body-mb", "1"]
    with serving(trained_run / "artifact", log, *options, env=s3_env) as running:
        yield running


def ask(server: Running, *uris: str) -> Answer:
    content = {"s3_uri": uris[0]} if len(uris) == 1 else {"instances": [{"s3_uri": uri} for uri in uris]}
    return server.ask(body=json.dumps(content).encode(), media="application/json")


def test_s3_uri__is_answered_like_the_picture(s3_server: Running, predictor: Predictor, photos: list[bytes]) -> None:
    answer = ask(s3_server, "s3://dogs/photos/a b.jpg")

    assert answer.body.decode() == to_json(predictor(photos[0]).to_dict())


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_s3_uri__elsewhere_is_400_and_never_fetched(uri: str, s3_server: Running) -> None:
    answer = ask(s3_server, uri)

    assert (answer.status, answer.json["allowed"]) == (400, "objects below this server's prefixes")


def test_s3_uri__of_nothing_is_400(s3_server: Running) -> None:
    answer = ask(s3_server, "s3://dogs/photos/none.jpg")

    assert (answer.status, answer.json["error"]) == (400, "s3://dogs/photos/none.jpg: there is no such object")


def test_s3_uri__of_large_objects_is_413(s3_server: Running) -> None:
    assert ask(s3_server, "s3://dogs/photos/large.jpg").status == 413
    assert ask(s3_server, "s3://dogs/photos/half.jpg", "s3://dogs/photos/half.jpg").status == 413


@pytest.mark.parametrize(
    "prefix", ["s3://dogs", "s3://dogs/photos", "s3://dogs/../", "file:///", "s3:///x/", "s3://*/"]
)
def test_prefix__that_says_no_place_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError):
        S3([prefix])
