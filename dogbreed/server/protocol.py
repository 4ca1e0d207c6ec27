"""HTTP's framing under limits that uvicorn does not set: of time for headers, and for what nobody reads any more."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dogbreed.errors import RequestError
from dogbreed.server.metrics import Metrics
from dogbreed.serving.exchange import JSON, write_error

HEADERS_S = 10.0  # from a connection's, or a request's, first byte to the end of its headers
WRITING_S = 20.0  # for a client to take its answer
MOST_CONNECTIONS = 500


class GuardedProtocol(H11Protocol):
    """A connection that ends where its client stalls.

    The application limits the time for bodies itself. Left to this are: headers that do not come, the rest of a
    body whose request has been refused already, and answers that are not taken.

    Args:
        metrics: told of the connections that were ended.
        most_unread: bytes of a refused body that are passed over before the connection is cut.
        uvicorn: its own arguments.
    """

    def __init__(self, *, metrics: Metrics, most_unread: int, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._metrics, self._most_unread = metrics, most_unread
        self._unread = 0
        self._stalled: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        for timer in (self._stalled, self._writing):
            if timer:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on, or refuse to."""
        if len(self.connections) > MOST_CONNECTIONS and self.cycle is None:
            self._metrics.refused.labels("connections").inc()
            self._refuse(
                503,
                RequestError(503, "too many connections", f"at most {MOST_CONNECTIONS}", "try again later"),
            )
            return
        if self._is_refused():
            self._unread += len(data)
            if self._unread > self._most_unread:
                self._cut("unread")
                return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the rest of the body, or for the next request."""
        self._unread = 0
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Say as JSON that this is no HTTP."""
        self._metrics.refused.labels("no-http").inc()
        self._refuse(400, RequestError(400, "no valid HTTP request", "HTTP/1.1", "look at its headers and framing"))

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._writing = self.loop.call_later(WRITING_S, self._cut, "writing")

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._writing:
            self._writing.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one that does not take the rest of its answer."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(WRITING_S, self.transport.abort)

    def _is_refused(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY

    def _watch(self) -> None:
        """Run the timer while the client owes headers, or the rest of a body that nobody reads."""
        answering = self.cycle is not None and not self.cycle.response_complete
        between = self.cycle is not None and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if answering or between or self.transport.is_closing():
            if self._stalled:
                self._stalled.cancel()
            self._stalled = None
        elif self._stalled is None:
            self._stalled = self.loop.call_later(HEADERS_S, self._cut, "stalled")

    def _cut(self, why: str) -> None:
        self._metrics.refused.labels(why).inc()
        self.transport.abort()

    def _refuse(self, status: int, error: RequestError) -> None:
        content = write_error(error)
        headers = [("content-type", JSON), ("content-length", str(len(content))), ("connection", "close")]
        try:
            self.transport.write(self.conn.send(h11.Response(status_code=status, headers=headers)) or b"")
            self.transport.write(self.conn.send(h11.Data(data=content)) or b"")
            self.transport.close()
        except h11.LocalProtocolError:  # in the middle of an answer
            self.transport.abort()
