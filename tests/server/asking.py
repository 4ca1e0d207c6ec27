"""A server in a process of its own, and requests of all kinds to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Running(NamedTuple):
    """A server that answers."""

    port: int
    process: subprocess.Popen[str]
    log: Path

    def ask(
        self,
        path: str = "/invocations",
        body: bytes | None = None,
        media: str = "image/jpeg",
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a request: GET without a body, POST with one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            typed = {} if body is None else {"Content-Type": media}
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, typed | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def send(self, *parts: bytes, wait_s: float = 20, pause_s: float = 0) -> bytes:
        """All that comes back for raw bytes, until the server closes or is silent for too long."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)
            except OSError:  # it has seen enough
                pass
            return read_all(connection)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def line_of(self, identity: str) -> dict[str, Any]:
        """What it logs about one request, soon after that is answered."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if found := [line for line in self.lines() if line.get("id") == identity]:
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"nothing about {identity}")

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.ask("/metrics").body.decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))

    def wait_until_idle(self) -> None:
        """Return once no picture is waited for, computed or to be dropped."""
        while self.metric("dogbreed_waiting_pictures"):
            time.sleep(0.01)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, resets or is silent for too long."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except OSError:
        pass
    return found


@contextmanager
def serving(artifact: Path, log: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A server started by its command on a free port, and killed where it does not stop."""
    command = [sys.executable, "-m", "dogbreed.serve", "--artifact", str(artifact), "--port", "0", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | dict(env or {})
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert port, log.read_text()
            yield Running(int(port[1]), process, log)
            process.terminate()
            process.wait(30)
        finally:
            process.kill()
