"""Ctrl-C: the first ends a command in order; the second, while it does so, at once."""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType, TracebackType
from typing import NoReturn

from dogbreed.streams import drop_unprinted

#: Exit codes as shells count: this and the number of the signal.
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], object]

_A_MOMENT_S = 0.02


class CtrlC:
    """What Ctrl-C does in this process.

    Where somebody stops in order at SIGTERM (Lightning after the batch, a sweep), the first goes to them.

    Attributes:
        is_command: whether the process is a command of ours, and ends with it: `python -m dogbreed.train`, say.
    """

    def __init__(self) -> None:
        self._came, self._process, self.is_command = 0, os.getpid(), False
        self._again: threading.Timer | None = None

    @property
    def came(self) -> bool:
        """Whether there was one."""
        return self._came > 0

    def forget(self) -> None:
        """It was answered by something else than the end: the next one is the first again."""
        self._came = 0

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Answer it within the block, unless it is ignored (nohup, a script's &) or somebody else's."""
        ours = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGINT)
        if not ours or before not in (signal.default_int_handler, self._too_early):
            yield
            return
        self._came, self._process = 0, os.getpid()
        unraisable, uncaught = sys.unraisablehook, sys.excepthook
        signal.signal(signal.SIGINT, self._answer)
        sys.unraisablehook = partial(self._raise_again, unraisable)
        sys.excepthook = partial(self._tell, uncaught)
        try:
            yield
        finally:
            if self._again is not None:
                self._again.cancel()  # it came too late to stop anything
            sys.unraisablehook, sys.excepthook = unraisable, uncaught
            # Of a command nothing but its end is left, and all that it printed is out: nobody has to answer any more.
            signal.signal(signal.SIGINT, signal.SIG_DFL if before == self._too_early else before)

    def hear_early(self, package: str) -> None:
        """Let it end a command of `package` in one line, also while that still imports torch, which takes seconds.

        Args:
            package: that is imported, by `python -m package.command` or by anybody else, who is left alone.
        """
        looked_for = sys.argv[:1] == ["-m"]  # what it begins with while Python looks for the module
        if not looked_for or _module().split(".")[0] != package:
            return
        self.is_command = True
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._too_early)

    def leave_with(self, code: int) -> int:
        """End the process, if it is a command of ours, with this exit code before Python puts anything away.

        An exception that a signal raises in the middle of `multiprocessing.Queue.put` may leave its lock taken
        (https://bugs.python.org/issue29988), and Python would wait for that for ever.
        """
        if self.is_command and os.getpid() == self._process:
            atexit.register(_leave_quietly, code)  # what is registered last runs first
        return code

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

    def _raise_again(self, told: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs) -> None:
        """Where it came amid a `__del__`, what is called at a fork, or Cython: no exception gets out of there."""
        if not self._came or not isinstance(lost.exc_value, KeyboardInterrupt):
            told(lost)
            return
        self.forget()
        self._again = threading.Timer(_A_MOMENT_S, os.kill, (self._process, signal.SIGINT))
        self._again.daemon = True
        self._again.start()

    def _tell(self, told: ExceptHook, kind: type[BaseException], lost: BaseException, at: TracebackType | None) -> None:
        """Cython prints what cannot get out of a function (SciPy's Sobol numbers) before it is unraisable."""
        if not self._came or not isinstance(lost, KeyboardInterrupt):
            told(kind, lost, at)

    def _too_early(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:
            _leave("stopped before it began")


def _say_nothing(ended: threading.ExceptHookArgs) -> None:
    """What ends a thread, such as one that feeds a worker, is the stopping itself."""


def _leave_quietly(code: int) -> NoReturn:
    for child in sys.modules["multiprocessing"].active_children() if "multiprocessing" in sys.modules else ():
        child.terminate()
    drop_unprinted()
    os._exit(code)


def _leave(text: str) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
    os._exit(INTERRUPTED)


def _module() -> str:
    """What follows Python's own -m, which flags may stand before (-um) and the name behind (-mNAME); else nothing."""
    for at, word in enumerate(sys.orig_argv[1:], 2):
        found = re.fullmatch(r"-[bBdEiIOPqRsSuvx]*m(.*)", word)
        if found:
            return found[1] or "".join(sys.orig_argv[at : at + 1])
    return ""


ctrl_c = CtrlC()
