"""Pictures of many requests, decoded side by side and computed together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from dogbreed.errors import ImageError, RequestError
from dogbreed.server.metrics import Metrics
from dogbreed.serving.answer import Prediction, Wish
from dogbreed.serving.predictor import Predictor

Outcome = Prediction | ImageError | Exception


@dataclass(eq=False)
class Job:
    """A picture on its way, seen by several threads one after the other.

    Attributes:
        picture: a file's content, or pixels uint8 (3, H, W); dropped once it is decoded, or its client has left.
        wish: what is asked about it.
        deadline: by time.monotonic(); after it nobody waits any more.
        tell: takes the outcome, on the thread of the event loop.
        gone: whether its client has left.
        view: uint8 (3, S, S), once it is decoded.
        batch: how many pictures were computed with it, once they are.
    """

    picture: bytes | Tensor | None
    wish: Wish
    deadline: float
    tell: Callable[[Outcome], None]
    gone: bool = False
    view: Tensor | None = None
    batch: int = 0


class Batcher:
    """Some threads that decode, and others that compute whatever has been decoded meanwhile, as one batch.

    Args:
        predictor: whose `view` and `answer` do the work.
        view: decodes a picture: the predictor's, behind the limits of the server.
        metrics: told of batches and of what waits.
        batch_size: most pictures of a batch.
        wait_s: how long an incomplete batch waits for more.
        threads: how many decode.
        models: how many compute; torch's threads are shared out among them.
    """

    def __init__(
        self,
        predictor: Predictor,
        view: Callable[[bytes | Tensor], Tensor],
        metrics: Metrics,
        *,
        batch_size: int,
        wait_s: float,
        threads: int,
        models: int,
    ) -> None:
        self._predictor, self._view, self._metrics = predictor, view, metrics
        self._batch_size, self._wait_s = batch_size, wait_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._undecoded: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._decoded: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.waiting = 0  # read and written on the event loop's thread alone
        self._closing = False
        self._model_threads = max(1, torch.get_num_threads() // models)
        self._started = threading.Barrier(threads + models)
        ready: list[Future[None]] = [Future() for _ in range(models)]
        self._computing = [threading.Thread(target=self._compute, args=(one,), daemon=True) for one in ready]
        self._decoding = [threading.Thread(target=self._decode, daemon=True) for _ in range(threads)]
        for thread in [*self._computing, *self._decoding]:
            thread.start()
        for one in ready:
            one.result()

    async def answer(
        self, pictures: Sequence[bytes | Tensor], wishes: Sequence[Wish], timeout_s: float
    ) -> tuple[list[Prediction | ImageError], int]:
        """The answer for each picture or why there is none, and the size of the largest batch they were part of.

        Cancelling it drops what has not been computed.

        Raises:
            RequestError: 503, they waited for too long.
        """
        self._loop = loop = asyncio.get_running_loop()
        deadline = time.monotonic() + timeout_s
        jobs: list[Job] = []
        futures: list[asyncio.Future[Prediction | ImageError]] = []
        for picture, wish in zip(pictures, wishes, strict=True):
            future: asyncio.Future[Prediction | ImageError] = loop.create_future()
            futures.append(future)
            jobs.append(Job(picture, wish, deadline, self._teller(future)))
        self._count(len(jobs))
        for job in jobs:
            self._undecoded.put(job)
        try:
            answers = await asyncio.gather(*futures)
        finally:
            for job in jobs:
                job.gone, job.picture = True, None
        return list(answers), max(job.batch for job in jobs)

    def close(self) -> None:
        """End the threads; what still waits is dropped."""
        self._closing = True
        for waiting, threads in ((self._undecoded, self._decoding), (self._decoded, self._computing)):
            for _ in threads:
                waiting.put(None)
            for thread in threads:
                thread.join()

    def _teller(self, future: asyncio.Future[Prediction | ImageError]) -> Callable[[Outcome], None]:
        def tell(outcome: Outcome) -> None:
            self._count(-1)
            if future.done():  # cancelled: its client has gone
                return
            if isinstance(outcome, Exception) and not isinstance(outcome, ImageError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        return tell

    def _count(self, change: int) -> None:
        self.waiting += change
        self._metrics.waiting.set(self.waiting)

    def _decode(self) -> None:
        torch.set_num_threads(1)  # of this thread, for several of them decode; but MKL's for all
        self._started.wait()
        while job := self._undecoded.get():
            picture, late = job.picture, self._late(job)
            if late or picture is None:
                self._tell([job], [late or _forgotten()])
                continue
            try:
                job.view = self._view(picture)
            except Exception as error:
                self._tell([job], [error])
                continue
            finally:
                job.picture = picture = None
            self._decoded.put(job)

    def _compute(self, ready: Future[None]) -> None:
        self._started.wait()
        torch.set_num_threads(self._model_threads)
        try:
            self._warm_up()
            ready.set_result(None)
        except Exception as error:
            ready.set_exception(error)
        while jobs := self._next_batch():
            wanted = []
            for job in jobs:
                if late := self._late(job):
                    self._tell([job], [late])
                else:
                    wanted.append(job)
            if not wanted:
                continue
            self._metrics.batches.observe(len(wanted))
            try:
                views = torch.stack([job.view for job in wanted if job.view is not None])
                answers: Sequence[Outcome] = self._predictor.answer(views, [job.wish for job in wanted])
            except Exception as error:
                answers = [error] * len(wanted)
            for job in wanted:
                job.view, job.batch = None, len(wanted)
            self._tell(wanted, answers)

    def _warm_up(self) -> None:
        """Let the first client not wait for what torch prepares once a thread."""
        size = self._predictor.artifact.backbone.transform.size
        self._predictor.probs(torch.zeros(1, 3, size, size, dtype=torch.uint8))

    def _next_batch(self) -> list[Job]:
        """What has been decoded, at least one; nothing at the end."""
        jobs: list[Job] = []
        until = 0.0
        while len(jobs) < self._batch_size:
            try:
                left = until - time.monotonic()
                job = self._decoded.get(block=not jobs or left > 0, timeout=left if jobs and left > 0 else None)
            except queue.Empty:
                break
            if job is None:
                if jobs:
                    self._decoded.put(None)  # for the next time
                break
            until = until or time.monotonic() + self._wait_s
            jobs.append(job)
        return jobs

    def _tell(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """Wake the event loop once for all of them."""

        def all_at_once() -> None:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.tell(outcome)

        assert self._loop is not None
        if jobs:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(all_at_once)

    def _late(self, job: Job) -> RequestError | None:
        """Why a job is not worth doing any more."""
        if job.gone or self._closing:
            self._metrics.refused.labels("gone").inc()
            return _forgotten()
        if time.monotonic() > job.deadline:
            self._metrics.refused.labels("late").inc()
            return RequestError(503, "too long in the queue", "fewer requests at once", "try again later")
        return None


def _forgotten() -> RequestError:
    return RequestError(503, "nobody waits for it", "a client that waits", "wait for the answer")
