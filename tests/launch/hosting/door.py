"""The stand-in's front door with faults where they are asked for, and in the account that moto has by itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

from launch.standin import door
from launch.standin.containers import Containers
from launch.standin.endpoints import Endpoints
from launch.standin.moto import Answer, Moto, refusal
from tests.launch.conftest import Aws

Fault = Callable[["Handler", Callable[[], Answer]], Answer]


class FatedEndpoints(Endpoints):
    """Endpoints of which the next to start may fail.

    Attributes:
        fate: of that one: why it fails; empty where it does not.
    """

    fate = ""

    def why_it_fails(self, config: str) -> str:
        fate, self.fate = self.fate, ""
        return fate or super().why_it_fails(config)


class Handler(door.Handler):
    server: Door

    def answer(self, operation: str, body: bytes) -> Answer:
        self.server.asked.append(operation)
        faults = self.server.spoil.get(operation, [])
        fault = faults.pop(0) if faults else None

        def good() -> Answer:
            return super(Handler, self).answer(operation, body)

        return fault(self, good) if fault else good()


class Door(door.Door):
    """Requests come in, and go on to moto.

    Attributes:
        spoil: by operation, what happens to its next requests instead of an answer; None for a good one.
        asked: the operations that came in, in order.
    """

    handler = Handler

    def __init__(self, aws: Aws, folder: Path) -> None:
        moto = Moto(aws.endpoint, "123456789012", aws.region)
        super().__init__(moto, folder)
        self.endpoints: FatedEndpoints = FatedEndpoints(moto, Containers(moto, folder / "fated"))
        self.forget()

    def forget(self) -> None:
        """As if nothing had been asked yet."""
        self.spoil: dict[str, list[Fault | None]] = {}
        self.asked: list[str] = []
        self.endpoints.forget()
        self.endpoints.looks, self.endpoints.fate = 2, ""


def saying(code: str, message: str) -> Fault:
    """A fault: AWS says no, and does nothing."""
    return lambda handler, answer: refusal(code, message)


def broken(handler: Handler, answer: Callable[[], Answer]) -> Answer:
    """A fault: AWS has a problem of its own, and does nothing."""
    _, headers, _ = refusal("InternalFailure", "")
    return 500, headers, json.dumps({"__type": "InternalFailure", "message": "The request failed"}).encode()


def lost(handler: Handler, answer: Callable[[], Answer]) -> Answer:
    """A fault: AWS does it, and its answer never arrives."""
    answer()
    handler.connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError
