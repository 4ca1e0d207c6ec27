"""SageMaker's endpoints, where moto does otherwise than AWS.

moto has no UpdateEndpoint, takes a name twice, has every endpoint in service at once, and answers every question with
b"body". Here an endpoint may take a few looks to start, cannot be deleted or updated meanwhile, fails where its
container cannot start, and answers by the very archive that its model names in S3.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message

from dogbreed.errors import DogbreedError, RequestError
from launch.standin.containers import Containers
from launch.standin.moto import Answer, Content, Moto, Operation, Refusal, refusal

_CREATING, _UPDATING, _IN_SERVICE, _FAILED = "Creating", "Updating", "InService", "Failed"
_BUSY = (_CREATING, _UPDATING)
_PREFIX = "X-Amzn-SageMaker-"


@dataclass
class _State:
    status: str
    config: str
    next_config: str
    looks: int
    reason: str = ""


class Endpoints:
    """The endpoints of an account.

    Args:
        moto: that keeps models, configurations and the descriptions of endpoints.
        containers: that answer.
        looks: how often an endpoint is looked at before it is in service.
    """

    def __init__(self, moto: Moto, containers: Containers, looks: int = 0) -> None:
        self._moto, self._containers, self.looks = moto, containers, looks
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}
        self.operations: dict[str, Operation] = {
            "CreateModel": self._create_part,
            "CreateEndpointConfig": self._create_part,
            "CreateEndpoint": self._create,
            "DescribeEndpoint": self._describe,
            "UpdateEndpoint": self._update,
            "DeleteEndpoint": self._delete,
        }

    def forget(self) -> None:
        """As if there had been none."""
        self._states.clear()

    def invoke(self, name: str, headers: Message, body: bytes) -> Answer:
        """The container's answer, or its refusal as SageMaker passes it on."""
        try:
            content = self._ask(name, headers, body)
        except RequestError as error:
            from dogbreed.serving.exchange import write_error

            told = {"OriginalStatusCode": error.status, "OriginalMessage": write_error(error).decode()}
            return 424, _error("ModelError"), json.dumps({"Message": "of the model", **told}).encode()
        return 200, {"Content-Type": "application/json"}, content

    def invoke_later(self, name: str, headers: Message, body: bytes) -> Answer:
        """The same by way of S3, where the answer lies at once."""
        asked = self._moto.store.get_bytes(headers[f"{_PREFIX}InputLocation"]) or b""
        config = self._moto.sagemaker.describe_endpoint_config(EndpointConfigName=self._running(name).config)
        places = config["AsyncInferenceConfig"]["OutputConfig"]
        told = {"OutputLocation": f"{places['S3OutputPath']}/{uuid.uuid4().hex}.out"}
        try:
            self._moto.store.put_bytes(told["OutputLocation"], self._ask(name, headers, asked))
        except RequestError as error:
            from dogbreed.serving.exchange import write_error

            told["FailureLocation"] = f"{told['OutputLocation']}.error"
            self._moto.store.put_bytes(told["FailureLocation"], write_error(error))
        return 202, {f"{_PREFIX}{key}": place for key, place in told.items()}, b'{"InferenceId": "1"}'

    def why_it_fails(self, config: str) -> str:
        """Why the container of a configuration does not start; empty where it does."""
        try:
            self._containers.start(self._model_of(config))
        except DogbreedError as error:
            return f"The primary container for production variant all did not pass the ping health check: {error.got}"
        return ""

    def _ask(self, name: str, headers: Message, body: bytes) -> bytes:
        from dogbreed.serving.exchange import answer_body, read_attributes

        predictor = self._containers.start(self._model_of(self._running(name).config))
        kind = headers.get(f"{_PREFIX}Content-Type") or headers.get("Content-Type")
        return answer_body(predictor, body, kind, read_attributes(headers.get(f"{_PREFIX}Custom-Attributes")))

    def _running(self, name: str) -> _State:
        state = self._states.get(name)
        if state is None or state.status not in (_IN_SERVICE, _UPDATING):
            code, message = "ValidationError", f"Endpoint {name} of account {self._moto.account} not found."
            raise Refusal((400, _error(code), json.dumps({"message": message}).encode()))
        return state

    def _model_of(self, config: str) -> str:
        found = self._moto.sagemaker.describe_endpoint_config(EndpointConfigName=config)
        return str(found["ProductionVariants"][0]["ModelName"])

    def _create_part(self, asked: Content, moto: Callable[[], Content]) -> Content:
        kind = "Model" if "ModelName" in asked else "EndpointConfig"
        with self._lock:
            self._refuse_taken(kind, asked[f"{kind}Name"])
            return moto()

    def _create(self, asked: Content, moto: Callable[[], Content]) -> Content:
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        with self._lock:
            self._refuse_taken("Endpoint", name)
            made = moto()
            self._states[name] = _State(_CREATING, config, config, self.looks)
        return made

    def _describe(self, asked: Content, moto: Callable[[], Content]) -> Content:
        found = moto()
        with self._lock:
            state = self._states.get(asked["EndpointName"])
            if state is None:
                return found
            self._look(state)
            reason = {"FailureReason": state.reason} if state.reason and state.status not in _BUSY else {}
            return {**found, "EndpointStatus": state.status, "EndpointConfigName": state.config, **reason}

    def _update(self, asked: Content, moto: Callable[[], Content]) -> Content:
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        with self._lock:
            self._refuse_busy(name)
            found = self._moto.sagemaker.describe_endpoint(EndpointName=name)
            self._model_of(config)  # there has to be one
            self._states[name] = _State(_UPDATING, self._states[name].config, config, self.looks)
        return {"EndpointArn": found["EndpointArn"]}

    def _delete(self, asked: Content, moto: Callable[[], Content]) -> Content:
        with self._lock:
            self._refuse_busy(asked["EndpointName"])
            gone = moto()
            self._states.pop(asked["EndpointName"], None)
        return gone

    def _look(self, state: _State) -> None:
        """Time passes with each look."""
        if state.status not in _BUSY:
            return
        state.looks -= 1
        if state.looks >= 0:
            return
        state.reason = self.why_it_fails(state.next_config)
        if state.reason:
            state.status = _FAILED if state.status == _CREATING else _IN_SERVICE  # an update is rolled back
        else:
            state.status, state.config = _IN_SERVICE, state.next_config

    def _refuse_taken(self, kind: str, name: str) -> None:
        listed = {"Model": "list_models", "EndpointConfig": "list_endpoint_configs", "Endpoint": "list_endpoints"}
        found = getattr(self._moto.sagemaker, listed[kind])(NameContains=name)[f"{kind}s"]
        if any(entry[f"{kind}Name"] == name for entry in found):
            arn = f"arn:aws:sagemaker:{self._moto.region}:{self._moto.account}:{kind.lower()}/{name}"
            raise Refusal(refusal("ValidationException", f'Cannot create already existing {kind} "{arn}".'))

    def _refuse_busy(self, name: str) -> None:
        state = self._states.get(name)
        if state is not None and state.status in _BUSY:
            self._look(state)
            raise Refusal(refusal("ValidationException", f'Cannot update in-progress endpoint "{name}".'))


def _error(code: str) -> dict[str, str]:
    return {"X-Amzn-ErrorType": code, "Content-Type": "application/json"}
