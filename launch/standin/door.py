"""The front door: every request comes in here, and goes on to moto unless the stand-in answers it itself."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from dogbreed.errors import ConfigError, DogbreedError
from launch.standin.containers import Containers
from launch.standin.endpoints import Endpoints
from launch.standin.jobs import Jobs
from launch.standin.moto import Answer, Moto, Operation, Refusal, accepted, failure, refusal
from launch.standin.transforms import Transforms

#: What http.server writes by itself.
_WRITTEN = ("content-length", "connection", "transfer-encoding", "date", "server")

D = TypeVar("D", bound="Door")


class Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    server: Door
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        """Answer a request."""
        self.reply(self.answer(self.operation(), self.rfile.read(int(self.headers.get("Content-Length") or 0))))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

    def operation(self) -> str:
        """What is asked for, by AWS's name where that needs more than passing on."""
        target = self.headers.get("X-Amz-Target")
        if target:
            return target.split(".")[-1]
        if self.path.startswith("/endpoints/"):
            return "InvokeEndpointAsync" if self.path.endswith("/async-invocations") else "InvokeEndpoint"
        return {"PUT": "PutObject", "DELETE": "DeleteObject", "GET": "GetObject"}.get(self.command, "Other")

    def answer(self, operation: str, body: bytes) -> Answer:
        """What is answered."""
        from botocore.exceptions import ClientError

        try:
            return self._answer(operation, body)
        except Refusal as error:
            return error.answer
        except ClientError as error:  # of moto
            return refusal(error.response["Error"]["Code"], error.response["Error"]["Message"])
        except DogbreedError as error:
            return refusal("ValidationException", error.got)
        except Exception as error:  # a defect here must not look like a network that fails
            traceback.print_exc()
            return failure(f"{type(error).__name__}: {error}")

    def _answer(self, operation: str, body: bytes) -> Answer:
        def ask_moto() -> dict[str, Any]:
            status, headers, content = self.pass_on(body)
            if status != 200:
                raise Refusal((status, headers, content))
            found: dict[str, Any] = json.loads(content or b"{}")
            return found

        if operation == "InvokeEndpoint":
            return self.server.endpoints.invoke(self.path.split("/")[2], self.headers, body)
        if operation == "InvokeEndpointAsync":
            return self.server.endpoints.invoke_later(self.path.split("/")[2], self.headers, body)
        if self.headers.get("X-Amz-Target", "").startswith("SageMaker.Create"):
            _check(operation, json.loads(body))
        own = self.server.operations.get(operation)
        if own is None:
            return self.pass_on(body)
        return accepted(own(json.loads(body), ask_moto))

    def pass_on(self, body: bytes) -> Answer:
        """What moto answers."""
        return self.server.moto.pass_on(self.command, self.path, self.headers, body)

    def reply(self, answer: Answer) -> None:
        """Send an answer."""
        status, headers, content = answer
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() not in _WRITTEN:
                self.send_header(key, value)
        is_head = self.command == "HEAD"  # whose answer tells the size of what it does not carry
        size = str(len(content))
        self.send_header("Content-Length", headers.get("Content-Length", size) if is_head else size)
        self.end_headers()
        if not is_head:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Nothing: commands tell what they ask for."""


class Door(ThreadingHTTPServer):
    """Where AWS is; it answers while it is open.

    Args:
        moto: what stands behind it.
        folder: for what runs.
        port: to listen on; 0 for any free one.
        looks: how often an endpoint is looked at before it is in service.

    Raises:
        ConfigError: the port is taken.
    """

    daemon_threads = True
    handler: type[Handler] = Handler

    def __init__(self, moto: Moto, folder: Path, port: int = 0, looks: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), self.handler)
        except OSError as error:
            raise ConfigError(
                f"127.0.0.1:{port} cannot be listened on: {error.strerror}", "a free port of this machine", "set --port"
            ) from error
        self.moto = moto
        self.endpoints = Endpoints(moto, containers := Containers(moto, folder / "containers"), looks)
        self.jobs = Jobs(moto, folder / "jobs")
        self.transforms = Transforms(moto, containers)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def operations(self) -> dict[str, Operation]:
        """What is not simply moto's to answer."""
        return self.endpoints.operations | self.jobs.operations | self.transforms.operations

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a client has gone away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _check(operation: str, asked: Mapping[str, object]) -> None:
    """Refuse what AWS's own service model does not allow; moto takes anything."""
    from launch.preflight.shapes import check_shape

    if problems := check_shape(operation, asked):
        told = "; ".join(f"{one.where}: {one.got} (allowed: {one.allowed})" for one in problems)
        raise Refusal(refusal("ValidationException", f"{len(problems)} validation errors detected: {told}"))


@contextmanager
def opened(door: D) -> Iterator[D]:
    """The door, open as long as the block lasts; what still runs then is stopped."""
    thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.shutdown()
        thread.join()
        door.server_close()
        door.transforms.close()
        door.jobs.close()
