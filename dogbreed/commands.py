"""Every command ends well: with an exit code and at most one clear error, whatever ends it.

A defect of the library keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import ParamSpec

from dogbreed.arguments import secrets_of
from dogbreed.errors import ConfigError, DataError, DogbreedError, OutputError, WorkerError
from dogbreed.interrupts import INTERRUPTED, SIGNALLED, ctrl_c
from dogbreed.streams import RED, drop_unprinted, is_output_broken, styled

#: The exit code for a reader that went away. Windows has no SIGPIPE.
READER_GONE = SIGNALLED + getattr(signal, "SIGPIPE", 13)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_FULL |= {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG}  # a place that is no folder, nor can be one
_CLOSED = {errno.EACCES, errno.EPERM, errno.EIO}  # to those who read as to those who write
_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EAGAIN}
_GONE = {errno.ENOENT, errno.ESTALE, errno.ENOTCONN}

# What torch says of a process that reads pictures, and of memory that the system refuses; both are RuntimeErrors.
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(killed by signal: \w+|exited)")
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|CUDA (?:error: )?out of memory"
)

P = ParamSpec("P")


def ends_well(stopped: str) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """A decorator for a command's `main`, which then returns its exit code, or raises SystemExit as argparse does.

    A DogbreedError, and what `explain` makes one of, is told on stderr: 1. Ctrl-C: 130, see `dogbreed.interrupts`. A
    reader that goes away, as in `| head`: 141, in silence.

    Args:
        stopped: what Ctrl-C leaves, and how it goes on.
    """

    def decorate(main: Callable[P, int | None]) -> Callable[P, int]:
        @wraps(main)
        def run(*arguments: P.args, **keywords: P.kwargs) -> int:
            with ctrl_c.heard(), _quiet_sharing():
                try:
                    try:
                        code = main(*arguments, **keywords) or 0
                        sys.stdout.flush()  # here, and not when Python ends, where nobody catches what a pipe raises
                    except SystemExit as end:
                        if not end.code:  # the help was asked for; another end goes before what cannot be printed
                            sys.stdout.flush()
                        raise
                except KeyboardInterrupt as interrupt:
                    tell(f"stopped; {stopped}")
                    return ctrl_c.leave_with(int(getattr(interrupt, "code", INTERRUPTED)))
                except SystemExit as end:
                    if ctrl_c.came and end.code in (None, 1):  # so Lightning ends at Ctrl-C
                        tell(f"stopped; {stopped}")
                        return ctrl_c.leave_with(INTERRUPTED)
                    if isinstance(end.code, int) and end.code > SIGNALLED:
                        ctrl_c.leave_with(end.code)
                    raise
                except Exception as error:
                    return _end(error)
                finally:
                    drop_unprinted()
                return code

        return run

    return decorate


@contextmanager
def _quiet_sharing() -> Iterator[None]:
    """Say nothing where a loader's process hands over pictures and the other side has just ended: that is told there.

    Its thread (multiprocessing.resource_sharer) hands each such error to `sys.excepthook`; forked processes inherit it.
    """
    told = sys.excepthook

    def tell_others(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        is_of_a_thread = threading.current_thread() is not threading.main_thread()
        if not (is_of_a_thread and isinstance(error, ConnectionError | EOFError)):
            told(kind, error, trace)

    sys.excepthook = tell_others
    try:
        yield
    finally:
        sys.excepthook = told


def explain(error: BaseException) -> DogbreedError | None:
    """What the machine did to the command, as an error to be told; None for a defect of the library."""
    if isinstance(error, DogbreedError):
        return error
    text = str(error) if isinstance(error, RuntimeError) else ""  # also torch's OutOfMemoryError
    if getattr(error, "errno", None) in _LIMITS or text == "can't start new thread":
        return ConfigError(
            got=f"the system refuses: {getattr(error, 'strerror', None) or text}",
            allowed="as many files, processes and threads as its limits say: ulimit -n, ulimit -u",
            hint="use fewer processes (data.num_workers=, workers= or --workers of a command), or raise the limit",
        )
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        return _of_the_disk(error)
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return ConfigError("a path with a NUL byte in it", "one without, as every system has them", "correct the path")
    if isinstance(error, MemoryError | OSError) or _NO_MEMORY.search(text):
        return ConfigError(
            got="there is not enough memory" + (" on the GPU" if "CUDA" in text else ""),
            allowed="what fits the machine, beside all that runs on it",
            hint="lower data.batch_size, features.batch_size or data.num_workers (--batch-size of a command)",
        )
    if found := _DEAD_WORKER.search(text):
        return _dead_worker(
            f"a process that reads pictures ({found[1]}) was {found[2]}".replace("was exited", "exited")
        )
    pool = sys.modules.get("concurrent.futures.process")
    if pool is not None and isinstance(error, pool.BrokenProcessPool):
        return _dead_worker("a process that works on pictures ended abruptly")
    return None


def _dead_worker(got: str) -> WorkerError:
    return WorkerError(
        got=got,
        allowed="processes that live as long as the command",
        hint="most often memory ran out: use fewer (data.num_workers=, or 0), then run it again",
    )


def tell(text: str) -> None:
    """A line on stderr, if anybody reads it; secrets of the environment are left out."""
    for _, value in secrets_of(os.environ):
        text = text.replace(value, "***")
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _end(error: Exception) -> int:
    """The exit code for what ended a command; says why.

    Raises:
        Exception: it is a defect.
    """
    broken = is_output_broken(error)
    if broken and isinstance(error, BrokenPipeError):
        return READER_GONE
    mistake = _cannot_be_written("stdout", getattr(error, "strerror", "")) if broken else explain(error)
    if mistake is None:
        raise error
    tell(f"{styled('error:', RED, sys.stderr)} {mistake}")
    return 1


def _of_the_disk(error: OSError) -> DogbreedError | None:
    place = error.filename if isinstance(error.filename, str) else os.fsdecode(error.filename or b"")
    what, why = place or "a file of this command", error.strerror or str(error)
    if error.errno in _FULL:
        return _cannot_be_written(what, why)
    if error.errno in _CLOSED:
        return OutputError(
            got=f"{what} cannot be read or written: {why}",
            allowed="files and folders that are open to this user, on a disk that works",
            hint="change its permissions, or choose another place (hydra.run.dir=FOLDER for a run), and run it again",
        )
    if error.errno in _GONE and place and not (folder := Path(place).absolute().parent).is_dir():
        return DataError(
            got=f"the folder {folder} is gone",
            allowed="folders that stay where they are until the command ends",
            hint="bring it back (a disk may have to be mounted again), and run it again",
        )
    return None


def _cannot_be_written(what: str, why: str) -> OutputError:
    return OutputError(
        got=f"{what} cannot be written: {why}",
        allowed="a place that can be written, with room on its disk",
        hint="free some space or choose another place (hydra.run.dir=FOLDER for a run), and run it again",
    )
