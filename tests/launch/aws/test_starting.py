"""What can go wrong when a job is started, and that it is started once all the same."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from launch.aws.backend import SageMakerBackend
from launch.aws.session import make_session
from tests.launch.aws.conftest import Make
from tests.launch.conftest import Aws

CREATE = ("CreateTrainingJob", "CreateHyperParameterTuningJob")
_NUMBERS = itertools.count()


class Doorway(ThreadingHTTPServer):
    """SageMaker's front door: passes requests to moto, takes each name once as AWS does, and fails when it is told to.

    Attributes:
        spoil: by operation, what to do instead of answering, one for each request; then it answers.
        arrived: how often each operation reached moto.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.behind = behind
        self.spoil: dict[str, list[Callable[[_Door], None]]] = {}
        self.arrived: Counter[str] = Counter()
        self.names: set[tuple[str, str]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a connection is cut on purpose."""


class _Door(BaseHTTPRequestHandler):
    server: Doorway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].split(".")[-1]
        faults = self.server.spoil.get(operation, [])
        fault = faults.pop(0) if faults else None
        if fault in (throttle, expire):
            fault(self)
            return
        status, answer = self._pass_on(operation, body)
        if fault:
            fault(self)
        else:
            self.reply(status, answer)

    def _pass_on(self, operation: str, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        name = asked.get("TrainingJobName") or asked.get("HyperParameterTuningJobName")
        if operation in CREATE:
            if (operation, name) in self.server.names:
                return 400, refusal("ResourceInUse", f"a job with the name {name} already exists")
            self.server.names.add((operation, name))
        self.server.arrived[operation] += 1
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.server.behind, body, headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def reply(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def refusal(code: str, message: str) -> bytes:
    return json.dumps({"__type": code, "message": message}).encode()


def cut(door: _Door) -> None:
    """Close the connection without an answer."""
    door.connection.shutdown(socket.SHUT_RDWR)
    door.close_connection = True


def break_down(door: _Door) -> None:
    door.reply(500, refusal("InternalFailure", "The request processing has failed"))


def throttle(door: _Door) -> None:
    door.reply(400, refusal("ThrottlingException", "Rate exceeded"))


def expire(door: _Door) -> None:
    door.reply(400, refusal("ExpiredTokenException", "The security token included in the request is expired"))


@pytest.fixture(scope="module")
def doorway(aws: Aws) -> Iterator[Doorway]:
    server = Doorway(aws.endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def connect(aws: Aws, endpoint: str, tries: int) -> SageMakerBackend:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", endpoint)
        patch.setenv("AWS_MAX_ATTEMPTS", str(tries))
        return SageMakerBackend(make_session(aws.region))


@pytest.fixture(scope="module")
def backend(doorway: Doorway, aws: Aws) -> SageMakerBackend:
    """A backend that goes through the front door, and does not try twice."""
    return connect(aws, doorway.url, tries=1)


@pytest.fixture(scope="module")
def patient(doorway: Doorway, aws: Aws) -> SageMakerBackend:
    """A backend that goes through the front door, and tries twice."""
    return connect(aws, doorway.url, tries=2)


@pytest.fixture
def door(doorway: Doorway) -> Doorway:
    """The front door, with nothing arrived."""
    doorway.spoil = {}
    doorway.arrived.clear()
    return doorway


@pytest.fixture
def name() -> str:
    return f"start-{next(_NUMBERS)}"


@pytest.mark.parametrize("fault", [cut, break_down])
def test_start__lost_answer_but_the_job_runs(
    fault: Callable[[_Door], None], backend: SageMakerBackend, door: Doorway, training_request: Make, name: str
) -> None:
    door.spoil["CreateTrainingJob"] = [fault]
    backend.create_training_job(training_request(name))
    assert door.arrived["CreateTrainingJob"] == 1
    assert backend.describe_training_job(name) is not None


def test_start__lost_answer_of_a_tuning_job(
    backend: SageMakerBackend, door: Doorway, tuning_request: Make, name: str
) -> None:
    door.spoil["CreateHyperParameterTuningJob"] = [cut]
    backend.create_tuning_job(tuning_request(name))
    assert door.arrived["CreateHyperParameterTuningJob"] == 1


def test_start__boto3_tries_again_and_finds_its_own_name_taken(
    patient: SageMakerBackend, door: Doorway, training_request: Make, name: str
) -> None:
    door.spoil["CreateTrainingJob"] = [cut]
    patient.create_training_job(training_request(name))
    assert door.spoil["CreateTrainingJob"] == []
    assert door.arrived["CreateTrainingJob"] == 1


def test_start__the_same_launch_again_is_the_same_job(
    backend: SageMakerBackend, door: Doorway, training_request: Make, tuning_request: Make, name: str
) -> None:
    for _ in range(2):
        backend.create_training_job(training_request(name))
        backend.create_tuning_job(tuning_request(name))
    assert door.arrived["CreateTrainingJob"] == door.arrived["CreateHyperParameterTuningJob"] == 1


@pytest.mark.parametrize(("theirs", "ours"), [("one", "two"), ("", ""), ("one", "")])
def test_start__somebody_elses_name(
    theirs: str, ours: str, backend: SageMakerBackend, training_request: Make, name: str, told: Any
) -> None:
    backend.create_training_job(training_request(name, theirs))
    text = told(backend.create_training_job, training_request(name, ours))
    assert text.startswith(f"error: starting the job {name}: a job with the name {name} already exists")
    assert "each launch makes a new name" in text


def test_start__name_taken_by_whom_may_not_be_seen(
    backend: SageMakerBackend, door: Doorway, training_request: Make, name: str, told: Any
) -> None:
    def deny(door: _Door) -> None:
        door.reply(400, refusal("AccessDeniedException", "me is not authorized to perform: sagemaker:ListTags"))

    backend.create_training_job(training_request(name))
    door.spoil["ListTags"] = [deny]
    text = told(backend.create_training_job, training_request(name))
    assert "the action sagemaker:ListTags" in text


def test_start__lost_answer_and_nobody_left_to_ask(
    backend: SageMakerBackend, door: Doorway, training_request: Make, name: str, told: Any
) -> None:
    door.spoil = {"CreateTrainingJob": [cut], "DescribeTrainingJob": [cut]}
    text = told(backend.create_training_job, training_request(name))
    assert "Connection was closed" in text
    assert f"python -m launch.jobs describe {name}" in text
    backend.create_training_job(training_request(name))  # the same command again
    assert door.arrived["CreateTrainingJob"] == 1


def test_start__throttled_once(patient: SageMakerBackend, door: Doorway, training_request: Make, name: str) -> None:
    door.spoil["CreateTrainingJob"] = [throttle]
    patient.create_training_job(training_request(name))
    assert door.arrived["CreateTrainingJob"] == 1


def test_start__throttled_for_good(
    backend: SageMakerBackend, door: Doorway, training_request: Make, name: str, told: Any
) -> None:
    door.spoil["CreateTrainingJob"] = [throttle]
    assert "wait a minute" in told(backend.create_training_job, training_request(name))
    assert door.arrived["CreateTrainingJob"] == 0


def test_start__credentials_expire_while_it_is_watched(
    backend: SageMakerBackend, door: Doorway, training_request: Make, name: str, told: Any
) -> None:
    backend.create_training_job(training_request(name))
    door.spoil["DescribeTrainingJob"] = [expire]
    assert "aws sso login" in told(backend.describe_training_job, name)


def test_start__no_credentials(
    door: Doorway, aws: Aws, training_request: Make, name: str, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    backend = connect(aws, door.url, tries=1)
    assert "aws configure" in told(backend.create_training_job, training_request(name))
    assert door.arrived["CreateTrainingJob"] == 0


def test_start__no_network(aws: Aws, training_request: Make, name: str, told: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        backend = connect(aws, f"http://127.0.0.1:{closed.getsockname()[1]}", tries=1)
        text = told(backend.create_training_job, training_request(name))
    assert "check the network" in text
    assert f"python -m launch.jobs describe {name}" in text


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("ValidationException", "Could not assume role arn:aws:iam::1:role/x.", "set sagemaker.role"),
        ("ResourceLimitExceeded", "The account-level service limit 'spot' is 0 Instances", "Service Quotas console"),
    ],
)
def test_start__what_aws_refuses(
    code: str,
    message: str,
    advice: str,
    backend: SageMakerBackend,
    door: Doorway,
    training_request: Make,
    name: str,
    told: Any,
) -> None:
    def refuse(door: _Door) -> None:
        door.reply(400, refusal(code, message))

    door.spoil["CreateTrainingJob"] = [refuse]
    text = told(backend.create_training_job, training_request(name))
    assert text.startswith(f"error: starting the job {name}: {message} ({code})")
    assert advice in text


def test_start__request_that_is_none(backend: SageMakerBackend, training_request: Make, name: str, told: Any) -> None:
    request = {**training_request(name), "Colour": "brown"}
    assert "Colour" in told(backend.create_training_job, request)


def test_start__no_region(monkeypatch: pytest.MonkeyPatch, aws: Aws, told: Any) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable)
    assert "sagemaker.region=REGION" in told(SageMakerBackend, make_session(None))
