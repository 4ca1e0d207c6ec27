"""A real HTTP server on this machine which answers as it is told: with lies first, then with the truth."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ETAG = '"version-1"'


class Handler(BaseHTTPRequestHandler):
    """Gives each request to the next lie, and to the truth when there are none left."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
        answer = self.server.lies.pop(0) if self.server.lies else honest
        self.close_connection = True
        with suppress(ConnectionError):
            answer(self)

    def begin(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"ETag": ETAG, **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def break_off(self) -> None:
        """Cut the line, without the last packets of a farewell."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        pass


Lie = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """Serves `content` at every path."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes, lies: list[Lie], certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.lies, self.scheme = content, lies, "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.asked: list[dict[str, str]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/dogs.zip"

    @property
    def ranges(self) -> list[str | None]:
        return [request.get("range") for request in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients leave


@contextmanager
def serving(content: bytes, *lies: Lie, certificate: Path | None = None) -> Iterator[Server]:
    """Args: a file of a key and its certificate makes it speak HTTPS."""
    with Server(content, list(lies), certificate) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def honest(request: Handler, etag: str | None = ETAG, pace_s: float = 0) -> None:
    """All of it, or the part that is asked for where it is still the same version."""
    content = request.server.content
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    start = int(asked[1]) if asked and request.headers.get("If-Range") == etag else 0
    if start >= len(content) > 0:
        request.begin(416, ETag=etag, Content_Range=f"bytes */{len(content)}", Content_Length=0)
        return
    span = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None
    request.begin(206 if start else 200, ETag=etag, Content_Length=len(content) - start, Content_Range=span)
    for at in range(start, len(content), 65536):
        request.wfile.write(content[at : at + 65536])
        if pace_s and request.server.closing.wait(pace_s):
            return


def without_ranges(request: Handler, etag: str | None = ETAG) -> None:
    request.begin(200, ETag=etag, Content_Length=len(request.server.content))
    request.wfile.write(request.server.content)


def breaks_after(count: int, etag: str | None = ETAG) -> Lie:
    def lie(request: Handler) -> None:
        request.begin(200, ETag=etag, Content_Length=len(request.server.content))
        request.wfile.write(request.server.content[:count])
        request.break_off()

    return lie


def says_size(more: int) -> Lie:
    """Sends it whole, as far as the size lets it, and says that there is more, or less."""

    def lie(request: Handler) -> None:
        request.begin(200, Content_Length=len(request.server.content) + more)
        request.wfile.write(request.server.content[: len(request.server.content) + min(0, more)])
        request.break_off()

    return lie


def sends(content: bytes, etag: str | None = ETAG, **headers: object) -> Lie:
    def lie(request: Handler) -> None:
        request.begin(200, ETag=etag, Content_Length=len(content), **headers)
        request.wfile.write(content)

    return lie


def sends_chunks(whole: bool = True) -> Lie:
    def lie(request: Handler) -> None:
        request.begin(200, Transfer_Encoding="chunked")
        content = request.server.content if whole else request.server.content[: len(request.server.content) // 2]
        for at in range(0, len(content), 10_000):
            piece = content[at : at + 10_000]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if whole:
            request.wfile.write(b"0\r\n\r\n")
        else:
            request.break_off()

    return lie


def until_closed(request: Handler) -> None:
    """Says no size at all: the end of the line is the end of the file."""
    request.begin(200)
    request.wfile.write(request.server.content)


def never_ends(request: Handler) -> None:
    request.begin(200)
    while not request.server.closing.is_set():
        request.wfile.write(bytes(1 << 16))


def stalls_after(count: int) -> Lie:
    def lie(request: Handler) -> None:
        request.begin(200, Content_Length=len(request.server.content))
        request.wfile.write(request.server.content[:count])
        request.wfile.flush()
        request.server.closing.wait(60)

    return lie


def stalls(request: Handler) -> None:
    request.server.closing.wait(60)


def answers(status: int, **headers: object) -> Lie:
    def lie(request: Handler) -> None:
        request.begin(status, ETag=None, Content_Length=0, **headers)

    return lie


def sends_another_part(request: Handler) -> None:
    size = len(request.server.content)
    request.begin(206, Content_Range=f"bytes 7-{size - 1}/{size}", Content_Length=size - 7)
    request.wfile.write(request.server.content[7:])


def sends_part_of_another_version(request: Handler) -> None:
    start, size = int(request.headers["Range"][6:-1]), len(request.server.content)
    span = f"bytes {start}-{size - 1}/{size}"
    request.begin(206, ETag='"version-2"', Content_Range=span, Content_Length=size - start)
    request.wfile.write(bytes(size - start))


def speaks_no_http(request: Handler) -> None:
    request.wfile.write(b"SSH-2.0-surprise\r\n\r\n")
    request.break_off()
