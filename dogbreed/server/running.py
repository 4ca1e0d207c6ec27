"""From a service to a process that listens, and stops well."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from types import FrameType

import uvicorn

from dogbreed.errors import ConfigError
from dogbreed.server.app import make_app
from dogbreed.server.logs import log_to_stderr, write_log
from dogbreed.server.protocol import GuardedProtocol
from dogbreed.server.service import Service

# SageMaker kills a container 30 s after it asked it to stop.
_FINISH_S, _CLOSE_S = 20, 5


class StoppingServer(uvicorn.Server):
    """A server that finishes what it has begun: until then it listens, to say that it takes nothing new."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at a second signal, at once."""
        self.force_exit = self.should_exit
        self.should_exit = self._service.stopping = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, then close."""
        until = time.monotonic() + _FINISH_S
        while self._service.active and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; port 0 for any that is free.

    Raises:
        ConfigError: it cannot be bound.
    """
    try:
        [family, kind, protocol, _, address] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}", "a free port of this machine", "set --port"
        ) from error
    return bound


def run_server(service: Service, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way."""
    log_to_stderr()
    protocol = partial(GuardedProtocol, metrics=service.metrics, most_unread=service.settings.max_body)
    config = uvicorn.Config(
        make_app(service),
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_S,
        h11_max_incomplete_event_size=32 * 1024,
    )
    host, port = bound.getsockname()[:2]
    write_log("start", host=host, port=port, model=service.predictor.model, engine=service.engine)
    try:
        StoppingServer(config, service).run(sockets=[bound])
    finally:
        service.close()
        write_log("stop")
