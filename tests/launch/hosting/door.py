"""SageMaker's front door for moto's server: what moto does otherwise than AWS, and faults where they are asked for.

moto has no UpdateEndpoint, takes a name twice, has every endpoint in service at once, and answers every question with
b"body". Here an endpoint takes a few looks to start, cannot be deleted or updated meanwhile, and answers by the very
archive that its model names in S3. All other requests go to moto as they are.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dogbreed.errors import RequestError
from dogbreed.serving.exchange import answer_body, read_attributes, write_error
from dogbreed.serving.predictor import Predictor

Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[["_Handler", Callable[[], Answer]], "Answer | None"]

_JSON = {"Content-Type": "application/x-amz-json-1.1"}
_BUSY = ("Creating", "Updating")


class Door(ThreadingHTTPServer):
    """Requests come in, and go on to moto.

    Attributes:
        spoil: by operation, what happens to its next requests instead of an answer; None for a good one.
        asked: the operations that came in, in order.
        looks: how often an endpoint is looked at before it is in service.
        fate: what becomes of the next endpoint that is made or updated: its FailureReason; empty for InService.
    """

    daemon_threads = True

    def __init__(self, behind: str, session: Any, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.folder = behind, folder
        self.sagemaker, self.s3 = (session.client(name, endpoint_url=behind) for name in ("sagemaker", "s3"))
        self.lock = threading.Lock()
        self.predictors: dict[str, Predictor] = {}
        self.forget()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def forget(self) -> None:
        """As if nothing had been asked yet."""
        self.spoil: dict[str, list[Fault | None]] = {}
        self.asked: list[str] = []
        self.looks = 2
        self.fate = ""
        self.states: dict[str, dict[str, Any]] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a connection was cut on purpose."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def predictor(self, endpoint: str) -> Predictor:
        """What an endpoint's archive in S3 answers by, unpacked as a container does."""
        config = self.states[endpoint]["config"]
        variant = self.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
        model = self.sagemaker.describe_model(ModelName=variant["ModelName"])
        uri = model["PrimaryContainer"]["ModelDataUrl"]
        with self.lock:
            if uri not in self.predictors:
                bucket, key = uri.removeprefix("s3://").split("/", 1)
                folder = self.folder / str(len(self.predictors))
                folder.mkdir()
                with tarfile.open(fileobj=self.s3.get_object(Bucket=bucket, Key=key)["Body"], mode="r|gz") as archive:
                    archive.extractall(folder, filter="data")
                self.predictors[uri] = Predictor.load(folder)
            return self.predictors[uri]

    def refuse(self, operation: str, asked: dict[str, Any]) -> str:
        """Why AWS would not do it; empty where it would."""
        kind = operation.removeprefix("Create").removeprefix("Delete").removeprefix("Update")
        name = asked.get(f"{kind}Name", "")
        state = self.states.get(name, {}).get("status") if kind == "Endpoint" else None
        if operation.startswith("Create") and kind in ("Model", "EndpointConfig", "Endpoint") and self.has(kind, name):
            return f'Cannot create already existing {kind} "arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}".'
        if operation in ("DeleteEndpoint", "UpdateEndpoint") and state in _BUSY:
            self.look(name, {})  # time passes
            return f'Cannot update in-progress endpoint "{name}".'
        return ""

    def has(self, kind: str, name: str) -> bool:
        """Whether moto has it."""
        listed = getattr(self.sagemaker, {"EndpointConfig": "list_endpoint_configs"}.get(kind, f"list_{kind.lower()}s"))
        pages = listed(NameContains=name)
        return any(
            entry[f"{kind}Name"] == name for entries in pages.values() if isinstance(entries, list) for entry in entries
        )

    def moved(self, name: str, status: str, config: str, before: str = "") -> None:
        """An endpoint is being made or updated."""
        fate, self.fate = self.fate, ""
        self.states[name] = {
            "status": status,
            "config": before or config,
            "next": config,
            "looks": self.looks,
            "fate": fate,
        }

    def look(self, name: str, found: dict[str, Any]) -> dict[str, Any]:
        """What DescribeEndpoint says, which a little later is something else."""
        state = self.states.get(name)
        if state is None:
            return found
        if state["status"] in _BUSY:
            state["looks"] -= 1
            if state["looks"] < 0 and state["fate"]:
                state["status"] = "Failed" if state["status"] == "Creating" else "InService"
                found["FailureReason"] = state["fate"]
            elif state["looks"] < 0:
                state |= {"status": "InService", "config": state["next"]}
        if state["fate"] and state["status"] not in _BUSY:
            found["FailureReason"] = state["fate"]
        return found | {"EndpointStatus": state["status"], "EndpointConfigName": state["config"]}


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.handle_any()

    def do_GET(self) -> None:
        self.handle_any()

    def do_PUT(self) -> None:
        self.handle_any()

    def do_DELETE(self) -> None:
        self.handle_any()

    def do_HEAD(self) -> None:
        self.handle_any()

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = self.operation()
        self.server.asked.append(operation)
        faults = self.server.spoil.get(operation, [])
        fault = faults.pop(0) if faults else None

        def answer() -> Answer:
            return self.answer(operation, body)

        given = fault(self, answer) if fault else answer()
        if given is not None:
            self.reply(*given)

    def operation(self) -> str:
        target = self.headers.get("X-Amz-Target")
        if target:
            return target.split(".")[-1]
        if self.path.startswith("/endpoints/"):
            return "InvokeEndpointAsync" if self.path.endswith("/async-invocations") else "InvokeEndpoint"
        return {"PUT": "PutObject", "DELETE": "DeleteObject", "GET": "GetObject"}.get(self.command, "Other")

    def answer(self, operation: str, body: bytes) -> Answer:
        if operation.startswith("InvokeEndpoint"):
            return self.invoke(operation, body)
        if operation not in (
            *("CreateModel", "CreateEndpointConfig", "CreateEndpoint"),
            *("DescribeEndpoint", "UpdateEndpoint", "DeleteEndpoint"),
        ):
            return self.pass_on(body)
        asked = json.loads(body)
        with self.server.lock:
            reason = self.server.refuse(operation, asked)
        if reason:
            return refusal("ValidationException", reason)
        name = asked.get("EndpointName", "")
        if operation == "UpdateEndpoint":
            before = self.server.states[name]["config"]
            self.server.sagemaker.describe_endpoint_config(EndpointConfigName=asked["EndpointConfigName"])
            self.server.moved(name, "Updating", asked["EndpointConfigName"], before)
            return 200, _JSON, json.dumps({"EndpointArn": f"arn:aws:sagemaker:us-east-1:1:endpoint/{name}"}).encode()
        status, headers, content = self.pass_on(body)
        if status == 200 and operation == "CreateEndpoint":
            self.server.moved(name, "Creating", asked["EndpointConfigName"])
        if status == 200 and operation == "DeleteEndpoint":
            self.server.states.pop(name, None)
        if status == 200 and operation == "DescribeEndpoint":
            content = json.dumps(self.server.look(name, json.loads(content))).encode()
        return status, headers, content

    def invoke(self, operation: str, body: bytes) -> Answer:
        name = self.path.split("/")[2]
        if self.server.states.get(name, {}).get("status") not in ("InService", "Updating"):
            code, _, content = refusal("ValidationError", f"Endpoint {name} of account 123456789012 not found.")
            return code, {"X-Amzn-ErrorType": "ValidationError", "Content-Type": "application/json"}, content
        options = read_attributes(self.headers.get("X-Amzn-SageMaker-Custom-Attributes"))
        predictor = self.server.predictor(name)
        kind = self.headers.get("X-Amzn-SageMaker-Content-Type") or self.headers.get("Content-Type")
        if operation == "InvokeEndpoint":
            try:
                content = answer_body(predictor, body, kind, options)
            except RequestError as error:
                told = {"OriginalStatusCode": error.status, "OriginalMessage": write_error(error).decode()}
                return 424, {"X-Amzn-ErrorType": "ModelError"}, json.dumps({"Message": "of the model", **told}).encode()
            return 200, {"Content-Type": "application/json"}, content
        bucket, key = self.headers["X-Amzn-SageMaker-InputLocation"].removeprefix("s3://").split("/", 1)
        asked = self.server.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        config = self.server.sagemaker.describe_endpoint_config(EndpointConfigName=self.server.states[name]["config"])
        output = config["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"]
        bucket, key = f"{output}/{len(self.server.asked)}.out".removeprefix("s3://").split("/", 1)
        self.server.s3.put_object(Bucket=bucket, Key=key, Body=answer_body(predictor, asked, kind, options))
        return 202, {"X-Amzn-SageMaker-OutputLocation": f"s3://{bucket}/{key}"}, b'{"InferenceId": "1"}'

    def pass_on(self, body: bytes) -> Answer:
        kept = ("host", "connection", "expect", "content-length")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in kept}
        moto = http.client.HTTPConnection(urlsplit(self.server.behind).netloc)
        with closing(moto):
            moto.request(self.command, self.path, body, headers)  # urllib would make forms of what has no type
            answer = moto.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        left = ("content-length", "connection", "transfer-encoding", "date", "server")
        for key, value in headers.items():
            if key.lower() not in left:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def refusal(code: str, message: str) -> Answer:
    """How AWS says no."""
    return 400, _JSON, json.dumps({"__type": code, "message": message}).encode()


def saying(code: str, message: str) -> Fault:
    """A fault: AWS says no, and does nothing."""
    return lambda handler, answer: refusal(code, message)


def broken(handler: _Handler, answer: Callable[[], Answer]) -> Answer:
    """A fault: AWS has a problem of its own, and does nothing."""
    return 500, _JSON, json.dumps({"__type": "InternalFailure", "message": "The request failed"}).encode()


def lost(handler: _Handler, answer: Callable[[], Answer]) -> None:
    """A fault: AWS does it, and its answer never arrives."""
    answer()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@contextmanager
def open_door(behind: str, session: Any, folder: Path) -> Iterator[Door]:
    """A door that is open as long as the block lasts."""
    server = Door(behind, session, folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
