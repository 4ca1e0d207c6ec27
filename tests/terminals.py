"""A terminal, as a person has it: what runs in it believes that somebody looks."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE_S = 120


class Terminal:
    """What a command shows, and a keyboard.

    Attributes:
        shown: so far.
    """

    def __init__(self, screen: int) -> None:
        self._screen = screen
        self.shown = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def read_until(self, text: str | None) -> str:
        """What is shown from now on, up to a text; to the command's end for None.

        Raises:
            AssertionError: it did not come.
        """
        begun, end = len(self.shown), time.monotonic() + _PATIENCE_S
        while text is None or text not in self.shown[begun:]:
            assert select.select([self._screen], [], [], max(0, end - time.monotonic()))[0], self.shown[begun:]
            try:
                read = os.read(self._screen, 65536)
            except OSError:  # so Linux says that nobody writes any more
                read = b""
            if not read:
                assert text is None, self.shown[begun:]
                break
            self.shown += read.decode(errors="replace")
        return self.shown[begun:]


@contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Terminal]:
    """A command in a terminal, hung up at the end."""
    child, screen = pty.fork()
    if not child:
        os.chdir(folder)
        os.execvpe(command[0], list(command), dict(environment))
    try:
        yield Terminal(screen)
    finally:
        os.close(screen)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
