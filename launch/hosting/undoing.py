"""What has been made is taken back, in reverse, whatever ends the making: an error or a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from launch.errors import LaunchError

#: The last is that of a terminal which is closed; Windows has none.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP has come.

    Attributes:
        code: what a process that ends by it exits with, as shells count.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Undo:
    """Steps that can be taken back.

    Args:
        say: prints a line.
        word: what taking back a step is called.
    """

    def __init__(self, say: Callable[[str], None], word: str) -> None:
        self._print, self._word = say, word
        self._steps: list[tuple[str, Callable[[], object], str, bool]] = []
        self._signals = 0
        self.is_undoing = False

    def say(self, text: str) -> None:
        """Print a line, where anybody still reads: `| tee` ends by the same Ctrl-C, and must not end the undoing."""
        with suppress(OSError, ValueError):  # a broken pipe, a closed file
            self._print(text)

    def add(self, what: str, take_back: Callable[[], object], command: str, *, holds: bool = False) -> None:
        """Remember a step that is about to be made: it may be half made when it fails.

        Args:
            what: that is there then.
            take_back: removes it, or does nothing where it is not there.
            command: by which a person would remove it.
            holds: where it cannot be taken back, it still needs the steps before it: they stay.
        """
        self._steps.append((what, take_back, command, holds))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take back."""
        return not self._steps

    def keep(self) -> None:
        """Keep all that was made so far."""
        self._steps.clear()

    def run(self) -> list[str]:
        """Take everything back, the last first; what is left, with the command that removes it."""
        self.is_undoing = True
        left: list[str] = []
        while self._steps:
            what, take_back, command, holds = self._steps.pop()
            try:
                self.say(f"{self._word} {what}")
                take_back()
            except KeyboardInterrupt:
                left += [f"{what}\n    {command}", *self._leave()]
            except Exception as error:  # whatever it is, the others must still be removed
                reason = error.got if isinstance(error, LaunchError) else repr(error)
                left += [f"{what} ({reason})\n    {command}", *(self._leave() if holds else [])]
        return left

    def _leave(self) -> list[str]:
        """Forget the steps that are left; what they made, with the commands that remove it."""
        left = [f"{what}\n    {command}" for what, _, command, _ in reversed(self._steps)]
        self._steps.clear()
        return left

    def interrupt(self, number: int, frame: FrameType | None = None) -> None:
        """What a signal does: it ends the making; while things are removed, the first to come is held off."""
        self._signals += 1
        if self.is_undoing and self._signals <= 2:
            self._signals = 2
            self.say(f"still {self._word}; once more leaves the rest there")
            return
        self.is_undoing = True
        raise Interrupted(number)


@contextmanager
def undoing(say: Callable[[str], None], *, always: bool = False, word: str = "taking back") -> Iterator[Undo]:
    """Steps that are taken back where the block ends by an exception or a signal.

    Args:
        say: prints a line.
        always: take them back where it ends well, too.
        word: what taking back a step is called.

    Raises:
        LaunchError: at the end of a block that ended well, something could not be removed.
    """
    undo = Undo(say, word)
    with _interrupted_by(undo):
        try:
            yield undo
        except BaseException:
            _tell(undo.run(), undo.say)
            raise
        left = undo.run() if always else []
    if left:
        _tell(left, undo.say)
        raise LaunchError(f"{len(left)} could not be removed", "nothing left", "remove it by the lines above")


def _tell(left: list[str], say: Callable[[str], None]) -> None:
    if left:
        say("this may still be there, and cost:")
        for line in left:
            say(f"  {line}")


@contextmanager
def _interrupted_by(undo: Undo) -> Iterator[None]:
    """Let signals go to `undo`, where that is possible: Python allows it in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    before: dict[int, Any] = {number: signal.signal(number, undo.interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
