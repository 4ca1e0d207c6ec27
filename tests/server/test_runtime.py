"""SageMaker's own client, its endpoint URL pointed at the server's application."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.types import Receive, Scope, Send

from dogbreed.server.app import make_app
from dogbreed.server.running import listen
from dogbreed.server.service import Service
from dogbreed.server.settings import ServerSettings
from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor


@pytest.fixture
def runtime(predictor: Predictor) -> Iterator[Any]:
    """A sagemaker-runtime client of one endpoint, dogs."""
    service = Service(predictor, ServerSettings())
    inner = make_app(service)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "path": scope["path"].removeprefix("/endpoints/dogs")}, receive, send)

    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield boto3.Session().client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{bound.getsockname()[1]}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    server.should_exit = True
    thread.join()
    service.close()


def test_invoke_endpoint__answers_what_the_predictor_says(
    runtime: Any, predictor: Predictor, photos: list[bytes]
) -> None:
    ask = {"EndpointName": "dogs", "ContentType": "application/x-image", "CustomAttributes": "top_k=2&correct_index=1"}
    for photo in photos[:4]:
        answer = runtime.invoke_endpoint(**ask, Body=photo)
        expected = predictor(photo, top_k=2, correct_index=1).to_dict()
        assert answer["Body"].read().decode() == to_json(expected)


def test_invoke_endpoint__raises_with_the_reason(runtime: Any) -> None:
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="dogs", ContentType="text/plain", Body=b"text")

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 415


def test_invoke_endpoint__takes_many_pictures(runtime: Any, predictor: Predictor, shared_folder: Path) -> None:
    from tests.server.test_serve import instance

    photos = [path.read_bytes() for path in sorted((shared_folder / "test").glob("*/*.jpg"))]
    body = json.dumps({"instances": [instance(photo) for photo in photos]})
    answer = runtime.invoke_endpoint(EndpointName="dogs", ContentType="application/json", Body=body)

    found = json.loads(answer["Body"].read())["predictions"]
    assert [one["index"] for one in found] == [predictor(photo).index for photo in photos]
