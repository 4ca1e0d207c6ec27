"""SageMaker's four functions, which AWS's PyTorch inference container calls: thin over Predictor.

In model.tar.gz this file is code/inference.py, with the library's modules beside it. What is wrong with a request is
answered as dogbreed.serve answers it, status and JSON alike; the toolkit would add a traceback to what is raised.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any

from dogbreed.errors import RequestError
from dogbreed.serving.exchange import JSON, Question, answer_question, read_attributes, read_question, write_error
from dogbreed.serving.predictor import Predictor

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


def model_fn(model_dir: str) -> Predictor:
    """The predictor of the artifact in `model_dir`.

    DOGBREED_DEVICE (default: cpu) and DOGBREED_ENGINE (default: torch) say how it computes.

    Raises:
        DogbreedError: it cannot be loaded so.
    """
    environment = os.environ.get
    return Predictor.load(model_dir, environment("DOGBREED_DEVICE", "cpu"), environment("DOGBREED_ENGINE", "torch"))


def input_fn(body: bytes | bytearray | str | None, content_type: str | None, context: Any) -> Question | RequestError:
    """What a request asks, or why it cannot be answered.

    Args:
        body: as the toolkit hands it over: JSON as a text, None for a form.
        content_type: its header.
        context: the model server's, which has the request's headers: options come in the custom attributes.
    """
    headers = {name.lower(): value for name, value in context.get_all_request_header(0).items()}
    content = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body or b"")
    try:
        return read_question(content, content_type, read_attributes(headers.get(_ATTRIBUTES)))
    except RequestError as error:
        return error


def predict_fn(question: Question | RequestError, predictor: Predictor) -> bytes | RequestError:
    """The body of the response, or why there is none."""
    if isinstance(question, RequestError):
        return question
    try:
        return answer_question(predictor, question)
    except RequestError as error:
        return error


def output_fn(answer: bytes | RequestError, accept: str, context: Any) -> tuple[bytes, str]:
    """The body of the response and its media type, which is JSON whatever `accept` asks for."""
    if isinstance(answer, RequestError):
        context.set_response_status(code=answer.status, phrase=HTTPStatus(answer.status).phrase)
        return write_error(answer), JSON
    return answer, JSON
