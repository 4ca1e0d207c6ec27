"""The body of a request, read under limits of size, speed and memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.requests import ClientDisconnect, Request

from dogbreed.errors import ConfigError, RequestError
from dogbreed.server.metrics import Metrics
from dogbreed.serving.answer import Wish
from dogbreed.serving.exchange import MAX_PICTURES, Question, too_many

MULTIPART = "multipart/form-data"

# A body must come faster than this after its first seconds; a phone with a bad connection sends 100 KB/s.
GRACE_S = 10.0
LEAST_RATE = 32_000  # bytes a second

HELD = 10  # times the largest body, of all the bodies together: 250 MB, or thousands of photographs


class Bodies:
    """Reads bodies, and knows how much memory they take together.

    Args:
        most: bytes of one body.
        metrics: told of the memory.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most, self._metrics = most, metrics
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, whole; its memory is given back at the end of the block.

        Raises:
            RequestError: 413 too large, 408 too slow, 503 no memory for it, 400 for a length that is none.
            ClientDisconnect: it ended early.
        """
        announced = request.headers.get("content-length")
        if announced is not None and int(announced) > self._most:  # h11 lets no other than a number through
            raise self._too_large(f"a body of {int(announced):,} bytes")
        chunks: list[bytes] = []
        held = 0
        try:
            start = anyio.current_time()
            with anyio.move_on_after(GRACE_S) as limit:
                async for chunk in _chunks(request):
                    held += len(chunk)
                    self._hold(len(chunk))
                    if held > self._most:
                        raise self._too_large(f"a body of more than {self._most:,} bytes")
                    chunks.append(chunk)
                    # What came quickly buys no silence afterwards.
                    latest = anyio.current_time() + GRACE_S
                    limit.deadline = min(limit.deadline + len(chunk) / LEAST_RATE, latest)
            if limit.cancelled_caught:
                self._metrics.refused.labels("slow").inc()
                raise RequestError(
                    408,
                    f"{held:,} bytes in {anyio.current_time() - start:.0f} s, and no end",
                    f"{LEAST_RATE // 1000} KB/s or more",
                    "send the body at once",
                )
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self._hold(-held)

    def _hold(self, change: int) -> None:
        self._held += change
        self._metrics.held.set(self._held)
        if change > 0 and self._held > HELD * self._most:
            self._metrics.refused.labels("memory").inc()
            raise RequestError(503, "no memory for another body", "fewer large bodies at once", "try again later")

    def _too_large(self, got: str) -> RequestError:
        return RequestError(413, got, f"at most {self._most:,} bytes", "send a smaller picture, or fewer at once")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


def read_form(body: bytes, content_type: str, options: dict[str, str]) -> Question:
    """The question that a form holds: its files are the pictures, its other fields the options.

    Raises:
        RequestError: 413 for too many pictures, 400 for all else.
    """
    pictures: list[bytes] = []
    fields: dict[str, str] = {}

    def take_file(file: File) -> None:
        file.file_object.seek(0)
        pictures.append(file.file_object.read())
        file.close()
        if len(pictures) > MAX_PICTURES:
            raise too_many(len(pictures))

    def take_field(field: Field) -> None:
        name = (field.field_name or b"").decode()
        if name in fields or len(fields) >= 10:
            raise ValueError("a field twice, or more than ten")
        fields[name] = (field.value or b"").decode()

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _bad_form("a Content-Type without a boundary")
    try:
        # In memory, where the body is already; a file on disk for each would only cost time.
        config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        parser = FormParser(MULTIPART, take_field, take_file, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
        wish = Wish.read({**options, **fields})
    except ConfigError as error:
        raise RequestError(400, error.got, error.allowed, error.hint) from error
    except (FormParserError, ValueError) as error:
        raise _bad_form(f"a form that cannot be read: {error}"[:300]) from error
    if not pictures:
        raise _bad_form("a form without a file")
    return Question(tuple(pictures), (wish,) * len(pictures), single=len(pictures) == 1)


def _bad_form(got: str) -> RequestError:
    return RequestError(400, got, "multipart/form-data with a file for each picture", "curl -F picture=@dog.jpg")
