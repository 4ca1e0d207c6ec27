"""What is written down about every request, and what becomes of an error that nobody expected."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dogbreed.errors import RequestError
from dogbreed.server.logs import write_log
from dogbreed.server.service import Service
from dogbreed.serving.exchange import JSON, write_error

_ID = b"x-amzn-requestid"
_PLAIN = re.compile(rb"[\w.:-]{1,100}")  # fit to be a header again


class Accounts:
    """ASGI middleware: logs and counts requests; an unexpected error goes to the log, not to the client.

    Args:
        app: what answers.
        service: whose metrics are told.
        routes: the paths that are counted by name.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Sequence[str]) -> None:
        self._app, self._service, self._routes = app, service, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and write down how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, sent = time.perf_counter(), 0, 0
        given = dict(scope["headers"]).get(_ID, b"")
        identity = given.decode() if _PLAIN.fullmatch(given) else uuid.uuid4().hex
        record: dict[str, Any] = scope.setdefault("record", {})

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(_ID, identity.encode()), (b"x-content-type-options", b"nosniff")]
                if self._service.stopping:  # so that the connection ends with this answer
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *headers]}
            sent += len(message.get("body", b""))
            await send(message)

        self._service.active += 1
        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            record["gone"] = True
        except asyncio.CancelledError:  # the time to stop in is over
            if not status:
                error = RequestError(503, "the server has stopped", "a server that runs", "ask another one")
                await Response(write_error(error), 503, media_type=JSON)(scope, receive, watched)
        except Exception as error:
            write_log("unexpected", logging.ERROR, error=error, id=identity)
            if not status:
                excuse = RequestError(500, "an error of the server", "", f"its log has more: {identity}")
                await Response(write_error(excuse), 500, media_type=JSON)(scope, receive, watched)
        finally:
            self._service.active -= 1
            self._write_down(scope, identity, status, sent, time.perf_counter() - start, record)

    def _write_down(
        self, scope: Scope, identity: str, status: int, sent: int, seconds: float, record: dict[str, Any]
    ) -> None:
        path, metrics = scope["path"], self._service.metrics
        route = path if path in self._routes else "/thumbnails" if path.startswith("/thumbnails/") else "other"
        metrics.requests.labels(route, status or "gone").inc()
        metrics.seconds.labels(route).observe(seconds)
        write_log(
            "request",
            id=identity,
            method=scope["method"],
            path=path[:200],
            status=status,
            ms=round(seconds * 1000, 1),
            bytes=sent,
            **record,
        )
