"""What the server does for a request, apart from HTTP's own words."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import anyio
import torch
from torch import Tensor

from dogbreed.data.images import picture_pixels
from dogbreed.errors import ConfigError, ImageError, RequestError, TooLargeError
from dogbreed.server.batching import Batcher
from dogbreed.server.bodies import MULTIPART, Bodies, read_form
from dogbreed.server.metrics import Metrics
from dogbreed.server.s3 import S3, not_allowed
from dogbreed.server.settings import ServerSettings
from dogbreed.serving.answer import Prediction
from dogbreed.serving.exchange import (
    MAX_PICTURES,
    MEDIA_TYPES,
    PICTURES,
    Question,
    S3Picture,
    media_type,
    read_question,
    unsupported,
    write_answer,
)
from dogbreed.serving.predictor import Predictor

T = TypeVar("T")

# Decoded one at a time: 100 megapixels with transparency take 1.2 GB on their way.
_LARGE_PIXELS = 16_000_000

_MOST_MODELS = 4  # with more cores, each gets several: one client alone should not wait for a single one

_MOST_EXPLAINED = 8  # waiting at once: each costs a forward and a backward pass of its own


class Service:
    """A predictor behind the limits of a server.

    Args:
        predictor: answers.
        settings: the limits.
        engine: what the predictor computes with.

    Attributes:
        stopping: whether no new work is taken.
    """

    def __init__(self, predictor: Predictor, settings: ServerSettings, engine: str = "torch") -> None:
        self.predictor, self.settings, self.engine = predictor, settings, engine
        self.metrics = Metrics()
        self.bodies = Bodies(settings.max_body, self.metrics)
        self.stopping = False
        self.active = 0
        self._s3 = S3(settings.s3_prefixes) if settings.s3_prefixes else None
        self._large = threading.Lock()
        self._explained = 0
        self._side = ThreadPoolExecutor(4, thread_name_prefix="side")  # large texts, S3
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._batcher = Batcher(
            predictor,
            self.view,
            self.metrics,
            batch_size=settings.batch_size,
            wait_s=settings.batch_wait_ms / 1000,
            threads=settings.threads,
            models=settings.models or _models(predictor, engine),
        )

    def admit(self) -> None:
        """Nothing, where there is room for another request.

        Raises:
            RequestError: 503.
        """
        if self.stopping:
            raise RequestError(503, "the server is stopping", "a server that runs", "ask another one")
        self._check_room()

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Ends a request that takes too long once its body is there.

        Raises:
            RequestError: 503, it took longer than the settings allow.
        """
        try:
            with anyio.fail_after(self.settings.timeout_s):
                yield
        except TimeoutError as error:
            self.metrics.refused.labels("late").inc()
            got = f"no answer within {self.settings.timeout_s:g} s"
            raise RequestError(503, got, "fewer or smaller pictures at once", "try again later") from error

    def check_type(self, content_type: str | None) -> None:
        """Nothing, where bodies of this type are taken.

        Raises:
            RequestError: 415.
        """
        if media_type(content_type) not in (*MEDIA_TYPES, MULTIPART):
            raise unsupported(content_type, (*MEDIA_TYPES, MULTIPART))

    async def ask(
        self, body: bytes, content_type: str | None, options: dict[str, str], record: dict[str, Any]
    ) -> bytes:
        """The body of the response to a request's; `record` is told what was done.

        Raises:
            RequestError: it cannot be answered.
        """
        question = await self._read(body, content_type, options)
        record["pictures"] = len(question.pictures)
        del body
        try:
            for wish in question.wishes:
                self.predictor.check(wish)
        except ConfigError as error:
            raise RequestError(400, error.got, error.allowed, error.hint) from error
        pictures = await self._fetch(question)
        self._check_room()  # again: others came while the body did
        answers, record["batch"] = await self._batcher.answer(pictures, question.wishes, self.settings.timeout_s)
        for answer in answers:
            self.metrics.pictures.labels("answered" if isinstance(answer, Prediction) else "unreadable").inc()
        if question.single:
            return write_answer(answers, single=True)
        return await self._aside(lambda: write_answer(answers, single=False))

    async def explain(self, body: bytes, content_type: str | None, options: dict[str, str]) -> bytes:
        """A JPEG of what the model looked at on the single picture of a request's body.

        Raises:
            RequestError: it cannot be explained.
        """
        index = _index(options.pop("index", None))
        question = await self._read(body, content_type, options)
        if len(question.pictures) != 1:
            raise RequestError(400, f"{len(question.pictures)} pictures", "one", "ask about one at a time")
        [picture] = await self._fetch(question)
        if self._explained >= _MOST_EXPLAINED:
            raise RequestError(503, f"{self._explained} explanations are waiting", "fewer at once", "try again later")
        self._explained += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._explaining, self._spotlight, picture, index)
        except (ImageError, ConfigError) as error:
            raise RequestError(400, error.got, error.allowed, error.hint) from error
        finally:
            self._explained -= 1

    def describe(self) -> dict[str, Any]:
        """What the page, and anyone else, may want to know about the model and the server's limits."""
        artifact = self.predictor.artifact
        return {
            "model": artifact.identity,
            "engine": self.engine,
            "classes": len(artifact.class_names),
            "breeds": list(artifact.breeds),
            "class_names": list(artifact.class_names),
            "input_size": artifact.backbone.transform.size,
            "calibration": artifact.calibration.to_dict() if artifact.calibration else None,
            "explains": self._explains(),
            "thumbnails": any(artifact.thumbnail(index) for index in range(len(artifact.class_names))),
            "media_types": [*MEDIA_TYPES, MULTIPART],
            "limits": {
                "body_bytes": self.settings.max_body,
                "pixels": self.settings.max_pixels,
                "pictures": MAX_PICTURES,
            },
        }

    def view(self, picture: bytes | Tensor) -> Tensor:
        """What the backbone reads of a picture: uint8 (3, S, S).

        Raises:
            ImageError: it cannot be decoded, or is too large to be.
        """
        with self._room_for(picture):
            return self.predictor.view(picture)

    def close(self) -> None:
        """End the threads."""
        self._side.shutdown(wait=False, cancel_futures=True)
        self._explaining.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    def _check_room(self) -> None:
        if self._batcher.waiting >= self.settings.max_waiting:
            self.metrics.refused.labels("full").inc()
            raise RequestError(
                503,
                f"{self._batcher.waiting} pictures are waiting",
                f"fewer than {self.settings.max_waiting}",
                "try again later",
            )

    def _explains(self) -> bool:
        """Whether it can be said what the model looks at: of networks with a map of places, by torch."""
        from dogbreed.serving.grad_cam import grad_cam

        if self.engine != "torch":
            return False
        side = self.predictor.artifact.backbone.transform.size
        try:
            grad_cam(self.predictor, torch.zeros(3, side, side, dtype=torch.uint8))
        except ConfigError:
            return False
        return True

    async def _read(self, body: bytes, content_type: str | None, options: dict[str, str]) -> Question:
        media = media_type(content_type)
        if media in PICTURES:
            return read_question(body, content_type, options)
        if media == MULTIPART:
            return await self._aside(lambda: read_form(body, content_type or "", options))
        return await self._aside(lambda: read_question(body, content_type, options))

    async def _fetch(self, question: Question) -> list[bytes | Tensor]:
        """The pictures, those that were only named fetched.

        Raises:
            RequestError: one must not or cannot be fetched.
        """
        pictures: list[bytes | Tensor] = []
        left = self.settings.max_body  # together no more than could have been sent
        for picture in question.pictures:
            if not isinstance(picture, S3Picture):
                pictures.append(picture)
                continue
            if self._s3 is None:
                raise not_allowed(picture.uri)
            content = await self._aside(partial(self._s3.fetch, picture.uri, left))
            left -= len(content)
            pictures.append(content)
        return pictures

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._side, work)

    @contextmanager
    def _room_for(self, picture: bytes | Tensor) -> Iterator[None]:
        """While a picture is decoded, no other large one is.

        Raises:
            TooLargeError: it is too large in any case.
        """
        pixels, most = _pixels(picture), self.settings.max_pixels
        if pixels > most:
            raise TooLargeError(f"the picture has {pixels:,} pixels", f"at most {most:,}", "scale it down first")
        with self._large if pixels > _LARGE_PIXELS else nullcontext():
            yield

    def _spotlight(self, picture: bytes | Tensor, index: int | None) -> bytes:
        from dogbreed.serving.grad_cam import spotlight

        return spotlight(self.predictor, self.view(picture), index)


def _models(predictor: Predictor, engine: str) -> int:
    """How many batches to compute at once: exports share out the cores themselves, and a GPU takes one at a time."""
    divisible = engine == "torch" and predictor.device.type == "cpu"
    return min(os.cpu_count() or 1, _MOST_MODELS) if divisible else 1


def _pixels(picture: bytes | Tensor) -> int:
    """How many a picture claims to have; 0 for one that decoding will find out about."""
    if isinstance(picture, Tensor):
        return picture.shape[-1] * picture.shape[-2]
    return picture_pixels(picture)


def _index(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RequestError(400, f"index={text[:80]!r}", "the index of a class", "leave it out for the answer's own")
    return int(text)
