"""A sagemaker-runtime of one's own: real HTTP before a real predictor, in the place of AWS's front and a container."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dogbreed.errors import RequestError
from dogbreed.serving.exchange import answer_body, read_attributes, write_error
from dogbreed.serving.predictor import Predictor
from launch.files.stores import S3Store

#: A container that has too much to do, and one that is broken.
BUSY, BROKEN = "busy", "broken"


class Runtime(ThreadingHTTPServer):
    """Answers InvokeEndpoint and InvokeEndpointAsync as botocore's service model describes them.

    Attributes:
        asked: the names of the endpoints that were asked, in order.
        busy: how many requests are still to be refused with a 503.
    """

    def __init__(self, predictor: Predictor, store: S3Store) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.predictor, self.store = predictor, store
        self.asked: list[str] = []
        self.busy = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(runtime: Runtime) -> Iterator[Runtime]:
    thread = threading.Thread(target=runtime.serve_forever, daemon=True)
    thread.start()
    try:
        yield runtime
    finally:
        runtime.shutdown()
        runtime.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Runtime

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, _, name, operation = self.path.split("/")
        with self.server.lock:
            self.server.asked.append(name)
        if operation == "async-invocations":
            self._later(name)
            return
        status, content = self._container(name, body, self.headers["Content-Type"])
        if status != 200:
            error = {"Message": "Received an error", "OriginalStatusCode": status, "OriginalMessage": content.decode()}
            self._send(424, json.dumps(error).encode(), {"x-amzn-errortype": "ModelError"})
        else:
            self._send(200, content, {})

    def _later(self, name: str) -> None:
        source = self.headers["X-Amzn-SageMaker-InputLocation"]
        kind = self.headers["X-Amzn-SageMaker-Content-Type"]
        bucket = source.split("/")[2]
        answer, failure = (f"s3://{bucket}/{place}/{uuid.uuid4().hex}" for place in ("answers", "failures"))
        status, content = self._container(name, self.server.store.get_bytes(source) or b"", kind)
        told = f'Received client error ({status}) from primary with message "{content.decode()}".'.encode()
        self.server.store.put_bytes(*((answer, content) if status == 200 else (failure, told)))
        where = {"X-Amzn-SageMaker-OutputLocation": answer, "X-Amzn-SageMaker-FailureLocation": failure}
        self._send(202, b'{"InferenceId": "1"}', where)

    def _container(self, name: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        with self.server.lock:
            busy, self.server.busy = self.server.busy > 0, max(0, self.server.busy - 1)
        if busy:
            return 503, write_error(RequestError(503, "too much to do", "fewer requests", "ask again"))
        if name == BROKEN:
            return 500, b"it broke"
        try:
            options = read_attributes(self.headers["X-Amzn-SageMaker-Custom-Attributes"])
            return 200, answer_body(self.server.predictor, body, content_type, options)
        except RequestError as error:
            return error.status, write_error(error)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' own output stays readable."""
