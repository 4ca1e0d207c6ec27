"""moto's server, in an account of one's own: it keeps what the stand-in makes nothing of its own of."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from launch.files.stores import S3Store

#: HTTP status, headers, body.
Answer = tuple[int, dict[str, str], bytes]
Content = dict[str, Any]
#: What is asked, and a function that asks moto the same -> the answer; raises a Refusal.
Operation = Callable[[Content, Callable[[], Content]], Content]

#: What moto puts a request's account by.
_ACCOUNT = "x-moto-account-id"
#: Of a request's headers, what is of one connection alone.
_OF_THE_CONNECTION = ("host", "connection", "expect", "content-length")
_JSON = {"Content-Type": "application/x-amz-json-1.1"}


class Refusal(Exception):
    """AWS says no.

    Args:
        answer: how it says so.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def refusal(code: str, message: str) -> Answer:
    """How AWS says no."""
    return 400, _JSON, json.dumps({"__type": code, "message": message}).encode()


def failure(message: str) -> Answer:
    """How AWS says that it has a problem of its own."""
    return 500, _JSON, json.dumps({"__type": "InternalFailure", "message": message}).encode()


def accepted(content: Mapping[str, Any]) -> Answer:
    """How AWS says yes; times may be datetimes."""
    return 200, _JSON, json.dumps(content, default=lambda moment: moment.timestamp()).encode()


class Moto:
    """moto's server as the stand-in asks it.

    Args:
        url: of the server.
        account: of 12 digits; accounts know nothing of each other.
        region: of its clients.

    Attributes:
        account: see above.
        region: see above.
        store: its S3.
        sagemaker: a client of its SageMaker.
    """

    def __init__(self, url: str, account: str, region: str) -> None:
        import boto3
        import botocore.session

        self.account, self.region, self._url = account, region, url
        # Of the user's own profile and files nothing counts here, and one that is not there would be an error.
        nothing: dict[str, Any] = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        alone = botocore.session.Session(session_vars={**nothing, "profile": (None, None, None, None)})
        self._session = boto3.Session("test", "test", region_name=region, botocore_session=alone)
        self._session.events.register("before-call", self._sign)
        self.sagemaker = self.client("sagemaker")
        self.store = S3Store(self)

    def client(self, service: str, **options: Any) -> Any:
        """A client of boto3 that asks it."""
        return self._session.client(service, endpoint_url=self._url, **options)

    def pass_on(self, method: str, path: str, headers: Message, body: bytes) -> Answer:
        """Its answer to a request that came from elsewhere."""
        kept = {key: value for key, value in headers.items() if key.lower() not in _OF_THE_CONNECTION}
        server = http.client.HTTPConnection(urlsplit(self._url).netloc)
        with closing(server):
            # Not urllib: it makes forms of what has no type.
            server.request(method, path, body, {**kept, _ACCOUNT: self.account})
            answer = server.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def _sign(self, params: dict[str, Any], **more: Any) -> None:
        params["headers"][_ACCOUNT] = self.account
