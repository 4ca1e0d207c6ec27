"""SageMaker's handlers: by themselves, and under AWS's own stack, TorchServe and the toolkits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor
from launch import inference
from launch.files.model_package import build_package
from tests.launch.stack import hosting, make_stack, post


class Context:
    """What the handlers use of the model server's context."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.status = 200

    def get_all_request_header(self, _: int) -> dict[str, Any]:
        return {**self.headers, "body": {"content-type": "of a part"}}

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


def ask(predictor: Predictor, body: Any, content_type: str | None, context: Context) -> Any:
    """The handlers one after the other, as the toolkit calls them."""
    question = inference.input_fn(body, content_type, context)
    answer, media = inference.output_fn(inference.predict_fn(question, predictor), "*/*", context)
    assert media == "application/json"
    return json.loads(answer)


@pytest.fixture(scope="module")
def predictor(trained_run: Path) -> Predictor:
    return inference.model_fn(str(trained_run / "artifact"))


@pytest.fixture(scope="module")
def picture(shared_folder: Path) -> bytes:
    return min(shared_folder.rglob("*.jpg")).read_bytes()


def test_handlers__answer_as_the_predictor_does(predictor: Predictor, picture: bytes) -> None:
    context = Context(**{"X_Amzn_SageMaker_Custom_Attributes": "top_k=2&correct_index=1"})
    answer = ask(predictor, bytearray(picture), "image/jpeg", context)
    assert answer == json.loads(to_json(predictor(picture, top_k=2, correct_index=1).to_dict()))


def test_handlers__take_json_as_the_toolkit_hands_it_over(predictor: Predictor, picture: bytes) -> None:
    text = json.dumps({"instances": [{"image": base64.b64encode(picture).decode(), "top_k": 1}]})
    answer = ask(predictor, text, "application/json", Context())
    assert answer == {"predictions": [json.loads(to_json(predictor(picture, top_k=1).to_dict()))]}


@pytest.mark.parametrize(
    ("body", "content_type", "attributes", "status"),
    [
        (b"no picture", "image/jpeg", "", 400),
        (b"no picture", "text/plain", "", 415),
        (None, None, "", 415),
        ("{", "application/json", "", 400),
        ('{"s3_uri": "s3://dogs/a.jpg"}', "application/json", "", 400),
        ('{"image": "\ud800"}', "application/json", "", 400),
        (b"", "image/jpeg", "top_k=0", 400),
        (b"", "image/jpeg", "colour=red", 400),
    ],
)
def test_handlers__say_why_there_is_no_answer(
    predictor: Predictor, body: Any, content_type: str | None, attributes: str, status: int
) -> None:
    context = Context(**{"x_amzn_sagemaker_custom_attributes": attributes})
    answer = ask(predictor, body, content_type, context)
    assert context.status == status
    assert list(answer) == ["error", "allowed", "hint"]


def test_handlers__unknown_breed_is_the_requests_fault(predictor: Predictor, picture: bytes) -> None:
    context = Context(**{"X_Amzn_SageMaker_Custom_Attributes": "correct_breed=cat"})
    assert "cat" in ask(predictor, picture, "image/jpeg", context)["error"]
    assert context.status == 400


@pytest.fixture(scope="module")
def container(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of AWS's stack, which serves the trained run's package."""
    python = make_stack(tmp_path_factory.mktemp("stack"))
    base = tmp_path_factory.mktemp("ml")
    with hosting(python, build_package(trained_run / "artifact", base / "model.tar.gz"), base) as url:
        yield url


@pytest.mark.slow
def test_stack__answers_to_the_byte_as_the_predictor_does(
    container: str, predictor: Predictor, shared_folder: Path
) -> None:
    for path in sorted(shared_folder.rglob("test/*/*.jpg")):
        status, body = post(container, path.read_bytes(), "application/x-image", "top_k=3&correct_index=0")
        assert (status, body.decode()) == (200, to_json(predictor(path, top_k=3, correct_index=0).to_dict()))


@pytest.mark.slow
def test_stack__takes_json(container: str, predictor: Predictor, picture: bytes) -> None:
    body = json.dumps({"instances": [{"image": base64.b64encode(picture).decode()}] * 2}).encode()
    expected = to_json({"predictions": [one.to_dict() for one in predictor.predict([picture] * 2)]})
    for content_type in ("application/json", "application/json; charset=utf-8"):
        assert post(container, body, content_type) == (200, expected.encode())


@pytest.mark.slow
def test_stack__refuses_with_the_reason_as_json(container: str, picture: bytes) -> None:
    for body, content_type, expected in (
        (picture, "text/plain", 415),
        (b"{", "application/json", 400),
        (b"no picture", "image/jpeg", 400),
    ):
        status, answer = post(container, body, content_type)
        assert status == expected
        assert list(json.loads(answer)) == ["error", "allowed", "hint"]
        assert b"Traceback" not in answer
    assert post(container, picture, "image/jpeg")[0] == 200
