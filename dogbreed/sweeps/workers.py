"""Work that yields events, done in forked processes, or here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

import torch

from dogbreed.data.loading import available_cores
from dogbreed.errors import DogbreedError, WorkerError

#: One task -> its events, in order.
Work = Callable[[Any], Iterable[Any]]
_STOPPING = {signal.SIGINT, signal.SIGTERM}


class Workers:
    """Processes of one thread each, forked from this one: what is mapped or in memory here, they share.

    They end when they are closed, or when this process dies, however it dies.

    Args:
        work: what they do; tasks and events must be picklable, `work` itself need not.
        count: processes.
    """

    def __init__(self, work: Work, count: int) -> None:
        context = multiprocessing.get_context("fork")
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), name=f"dogbreed-fleet-{number}", daemon=True)
            with _signals_later():
                process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)

    def run(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """The events of all tasks as they come; a free worker takes the next task.

        Raises:
            WorkerError: a worker died.
            DogbreedError: a mistake of the user's that a worker met.
            RuntimeError: another error in a worker, with its traceback.
        """
        waiting = iter(tasks)
        busy = {pipe for pipe in self._pipes if self._give(pipe, waiting)}
        while busy:
            for ready in wait(list(busy)):
                pipe = cast(Connection, ready)
                try:
                    kind, content = pipe.recv()
                except (EOFError, OSError):
                    raise self._death(pipe) from None
                if kind == "event":
                    yield content
                elif kind == "error":
                    raise content if isinstance(content, DogbreedError) else RuntimeError(content)
                elif not self._give(pipe, waiting):
                    busy.discard(pipe)

    def _give(self, pipe: Connection, waiting: Iterator[Any]) -> bool:
        """Send the next task, if there is one."""
        for task in waiting:
            try:
                pipe.send(task)
            except OSError:  # of a worker that died before it was given anything
                raise self._death(pipe) from None
            return True
        return False

    def _death(self, pipe: Connection) -> WorkerError:
        process = self._processes[self._pipes.index(pipe)]
        process.join(5)
        code = process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return WorkerError(
            got=f"worker process {process.name} ended {how}",
            allowed="workers that live as long as the sweep",
            hint="SIGKILL is most often a lack of memory: train with fewer workers; then run the sweep again",
        )

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self._processes:
            process.kill()
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.join()
            process.close()
            pipe.close()
        self._processes, self._pipes = [], []


def run_here(work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
    """The events of all tasks, one task after the other, in this process."""
    for task in tasks:
        yield from work(task)


def default_workers() -> int:
    """One process for each core, where processes can be forked safely; P of one thread beat one of P threads."""
    if sys.platform != "linux":
        return 1
    return available_cores()


@contextmanager
def _signals_later() -> Iterator[None]:
    """Let what stops a sweep wait: what a signal raises while Python forks, in its hooks, would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, work: Work) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; who started us decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # probabilities near zero are many, and slow otherwise
    try:
        while True:
            task = pipe.recv()
            for event in work(task):
                pipe.send(("event", event))
            pipe.send(("done", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except DogbreedError as error:
        pipe.send(("error", error))
    except Exception:
        pipe.send(("error", f"in a worker process:\n{traceback.format_exc()}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
