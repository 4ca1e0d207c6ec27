"""A picture sent to an endpoint, and what its container answers."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from launch.aws.errors import asking_aws, error_code
from launch.backends import Store
from launch.errors import LaunchError

#: An answer of an asynchronous endpoint is looked for as often.
_LOOK_S = 1.0
#: In what SageMaker says of a container's refusal.
_STATUS = re.compile(r"error \((\d{3})\)")


class Refused(LaunchError):
    """A container has refused a request.

    Args:
        status: of its HTTP answer; None where nobody says.
        got: as in every error.
        allowed: as in every error.
        hint: as in every error.
    """

    def __init__(self, status: int | None, got: str, allowed: str, hint: str) -> None:
        super().__init__(got, allowed, hint)
        self.status = status


def ask_endpoint(
    client: Any, name: str, body: bytes, content_type: str, options: Mapping[str, object] | None = None
) -> bytes:
    """The container's answer, JSON as dogbreed.serving.exchange writes it.

    Args:
        client: of sagemaker-runtime; may be shared by threads.
        name: of a real-time or serverless endpoint.
        body: what it is asked, of one of exchange.MEDIA_TYPES.
        content_type: which of them.
        options: of the request: top_k, correct_breed, correct_index.

    Raises:
        Refused: the container does not answer, in its own words.
        LaunchError: there is no such endpoint, or AWS refuses.
    """
    with _asking(client, name):
        answer = client.invoke_endpoint(
            EndpointName=name, Body=body, ContentType=content_type, Accept="application/json", **_custom(options)
        )
        content: bytes = answer["Body"].read()
    return content


def ask_later(
    client: Any,
    store: Store,
    name: str,
    body: bytes,
    content_type: str,
    options: Mapping[str, object] | None = None,
    *,
    answers: str,
    wait_s: float,
) -> bytes:
    """The same of an asynchronous endpoint: by way of S3, where nothing is left of it.

    Args:
        client: of sagemaker-runtime.
        store: S3.
        name: of the endpoint.
        body: see `ask_endpoint`.
        content_type: likewise.
        options: likewise.
        answers: s3://BUCKET/PREFIX that the endpoint answers under; the request is left below it meanwhile.
        wait_s: how long to wait for the answer.

    Raises:
        LaunchError: as `ask_endpoint` does; or no answer in time.
    """
    asked = f"{answers.rstrip('/')}/asked/{uuid.uuid4().hex}"
    store.put_bytes(asked, body)
    try:
        with _asking(client, name):
            told = client.invoke_endpoint_async(
                EndpointName=name,
                InputLocation=asked,
                ContentType=content_type,
                Accept="application/json",
                **_custom(options),
            )
        return _wait_for(store, name, told["OutputLocation"], told.get("FailureLocation"), wait_s)
    finally:
        store.remove(asked)


def _wait_for(store: Store, name: str, answer: str, failure: str | None, wait_s: float) -> bytes:
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        content = store.get_bytes(answer)
        if content is not None:
            store.remove(answer)
            return content
        reason = store.get_bytes(failure) if failure else None
        if failure and reason is not None:
            store.remove(failure)
            raise _reason(name, reason.decode(errors="replace"), None)
        time.sleep(_LOOK_S)
    raise LaunchError(
        f"{name} has not answered in {wait_s:.0f} s", "an answer", f"look later at {answer}, or at the endpoint's log"
    )


@contextmanager
def _asking(client: Any, name: str) -> Iterator[None]:
    """Raise what an endpoint's refusal means, where that is more than what AWS says: the container's own reason."""
    with asking_aws(f"asking {name}"):
        try:
            yield
        except client.exceptions.ClientError as error:
            if error_code(error) == "ModelError":
                said, status = (error.response.get(f"Original{what}") for what in ("Message", "StatusCode"))
                raise _reason(name, str(said or ""), status) from error
            if error_code(error) == "ValidationError" and "not found" in str(error):
                raise LaunchError(
                    f"there is no endpoint {name}",
                    "one that python -m launch.endpoints lists",
                    "correct the name or --region",
                ) from error
            raise


def _reason(name: str, said: str, status: int | None) -> Refused:
    """What a container says of a request that it refuses; our own says it as JSON, see exchange.write_error."""
    if status is None and (found := _STATUS.search(said)):
        status = int(found[1])
    try:
        told = json.loads(said[said.find("{") : said.rfind("}") + 1])  # SageMaker may put words of its own around it
        return Refused(status or 400, f"{name}: {told['error']}", str(told["allowed"]), str(told["hint"]))
    except (ValueError, KeyError, TypeError):
        shown = " ".join(said.split())[:300] or "without a word"
        code = f" ({status})" if status else ""
        return Refused(
            status,
            f"{name} refuses{code}: {shown}",
            "an answer of its container",
            f"look at its log: aws logs tail /aws/sagemaker/Endpoints/{name}",
        )


def _custom(options: Mapping[str, object] | None) -> dict[str, str]:
    """Options as a query string: what SageMaker passes on to the container as a header."""
    return {"CustomAttributes": urlencode(options)} if options else {}
