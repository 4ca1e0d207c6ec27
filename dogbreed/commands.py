"""Every command ends well: with an exit code and at most one clear error, whatever ends it.

A defect of the library keeps its traceback.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec, TextIO

from dogbreed.arguments import secrets_of
from dogbreed.errors import ConfigError, DataError, DogbreedError, OutputError, WorkerError

#: Exit codes as shells count: 128 and the number of the signal. Windows has no SIGPIPE.
_SIGNAL = 128
INTERRUPTED, READER_GONE = _SIGNAL + signal.SIGINT, _SIGNAL + getattr(signal, "SIGPIPE", 13)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
_DISK = _FULL | {errno.EACCES, errno.EPERM}
_DISK |= {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG}  # a place that is no folder, nor can be one
_GONE = {errno.ENOENT, errno.ESTALE, errno.ENOTCONN}

# What torch says of a process that reads pictures, and of memory that the system refuses; both are RuntimeErrors.
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(killed by signal: \w+|exited)")
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|CUDA (?:error: )?out of memory"
)

P = ParamSpec("P")


def ends_well(stopped: str) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """A decorator for a command's `main`, which then returns its exit code, or raises SystemExit as argparse does.

    A DogbreedError, and what `explain` makes one of, is told on stderr: 1. Ctrl-C: 130, see `_Interrupts`. A reader
    that goes away, as in `| head`: 141, in silence.

    Args:
        stopped: what Ctrl-C leaves, and how it goes on.
    """

    def decorate(main: Callable[P, int | None]) -> Callable[P, int]:
        @wraps(main)
        def run(*arguments: P.args, **keywords: P.kwargs) -> int:
            with _interrupts.heard():
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
                    return _interrupts.leave_with(int(getattr(interrupt, "code", INTERRUPTED)))
                except SystemExit as end:
                    if _interrupts.came and end.code in (None, 1):  # so Lightning ends at Ctrl-C
                        tell(f"stopped; {stopped}")
                        return _interrupts.leave_with(INTERRUPTED)
                    if isinstance(end.code, int) and end.code > _SIGNAL:
                        _interrupts.leave_with(end.code)
                    raise
                except Exception as error:
                    return _end(error)
                finally:
                    _drop_unprinted()
                return code

        return run

    return decorate


def explain(error: BaseException) -> DogbreedError | None:
    """What the machine did to the command, as an error to be told; None for a defect of the library."""
    if isinstance(error, DogbreedError):
        return error
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        return _of_the_disk(error)
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return ConfigError("a path with a NUL byte in it", "one without, as every system has them", "correct the path")
    text = str(error) if isinstance(error, RuntimeError) else ""  # also torch's OutOfMemoryError
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


def is_output_broken(error: Exception) -> bool:
    """Whether `error` says that stdout or stderr cannot be written: nobody reads the pipe, or its disk is full."""
    return bool(_broken_output(error))


def _end(error: Exception) -> int:
    """The exit code for what ended a command; says why.

    Raises:
        Exception: it is a defect.
    """
    broken = _broken_output(error)
    if broken and isinstance(error, BrokenPipeError):
        return READER_GONE
    mistake = _cannot_be_written("stdout", getattr(error, "strerror", "")) if broken else explain(error)
    if mistake is None:
        raise error
    tell(f"error: {mistake}")
    return 1


def _drop_unprinted() -> None:
    """Forget what cannot be written any more: Python would complain of it as it ends, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:  # closed
            pass


def _broken_output(error: Exception) -> list[TextIO]:
    if not isinstance(error, OSError) or error.filename is not None:
        return []
    if isinstance(error, BrokenPipeError):
        return [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
    return [sys.stdout] if _is_stuck(sys.stdout) else []


def _is_unread(stream: TextIO) -> bool:
    """Whether nobody reads a pipe any more: only this tells its error from that of a pipe to another process."""
    try:
        poll = select.poll()
        poll.register(stream, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll, or no file
        return False


def _is_stuck(stream: TextIO) -> bool:
    """Whether nothing can be printed any more."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return True
    except ValueError:  # closed
        return False
    return False


def _of_the_disk(error: OSError) -> DogbreedError | None:
    place = error.filename if isinstance(error.filename, str) else os.fsdecode(error.filename or b"")
    if error.errno in _DISK:
        return _cannot_be_written(place or "a file of this command", error.strerror or str(error))
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


class _Interrupts:
    """What Ctrl-C does: the first ends the command in order; the second, while it does so, at once.

    Where somebody stops in order at SIGTERM (Lightning after the batch, a sweep), the first goes to them.
    """

    def __init__(self) -> None:
        self._came, self._process, self._is_command = 0, os.getpid(), False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Answer Ctrl-C within the block, unless it is ignored (nohup, a script's &) or somebody else's."""
        ours = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGINT)
        if not ours or before not in (signal.default_int_handler, self._too_early):
            yield
            return
        self._came, self._process = 0, os.getpid()
        signal.signal(signal.SIGINT, self._answer)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def hear_early(self) -> None:
        """Answer Ctrl-C from now on, before the command itself has begun."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._too_early)
        self._is_command = True

    def leave_with(self, code: int) -> int:
        """End the process, if it is a command of ours, with this exit code before Python puts anything away.

        An exception that a signal raises in the middle of `multiprocessing.Queue.put` may leave its lock taken
        (https://bugs.python.org/issue29988), and Python would wait for that for ever.
        """
        if self._is_command and os.getpid() == self._process:
            atexit.register(_leave_quietly, code)  # what is registered last runs first
        return code

    def forget(self) -> None:
        """The next one is the first again."""
        self._came = 0

    @property
    def came(self) -> bool:
        """Whether there was one."""
        return self._came > 0

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked worker: the terminal sends it to all; who forked decides
        self._came += 1
        threading.excepthook = _say_nothing
        if self._came > 1:
            _leave("stopped at once; what was written before is whole, and the same command goes on from there")
        in_order = signal.getsignal(signal.SIGTERM)
        if callable(in_order):
            in_order(number, frame)
        else:
            raise KeyboardInterrupt

    def _too_early(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:
            _leave("stopped before it began")


def _say_nothing(ended: threading.ExceptHookArgs) -> None:
    """What ends a thread, such as one that feeds a worker, is the stopping itself."""


def _leave_quietly(code: int) -> NoReturn:
    for child in sys.modules["multiprocessing"].active_children() if "multiprocessing" in sys.modules else ():
        child.terminate()
    _drop_unprinted()
    os._exit(code)


def _leave(text: str) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
    os._exit(INTERRUPTED)


_interrupts = _Interrupts()


def was_interrupted() -> bool:
    """Whether Ctrl-C came, and something that stops in order was told."""
    return _interrupts.came


def hear_early(package: str) -> None:
    """Let Ctrl-C end a command of `package` in one line, also while it still imports torch, which takes seconds.

    Args:
        package: that is imported, by `python -m package.command` or by anybody else, who is left alone.
    """
    asked = sys.orig_argv
    is_command = sys.argv[:1] == ["-m"] and "-m" in asked  # what sys.argv begins with while Python looks for it
    if is_command and asked[asked.index("-m") + 1].split(".")[0] == package:
        _interrupts.hear_early()


def go_on() -> None:
    """Ctrl-C was answered by something else than the end: the next one is the first again."""
    _interrupts.forget()
