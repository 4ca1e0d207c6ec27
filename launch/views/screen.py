"""What a person looks at while a job runs: lines that stay, and on a terminal a block below them that changes."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence

_UP, _CLEAR_BELOW = "\x1b[{}A", "\x1b[J"


class Screen:
    """Prints lines, and on a terminal keeps a block under them that is rewritten in place.

    Args:
        say: prints a line that stays.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rows = 0
        # Of several that share a terminal, none may rewrite it: only the main thread's does.
        alone = threading.current_thread() is threading.main_thread()
        self.is_terminal = alone and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def line(self, text: str) -> None:
        """Print a line that stays; the block is gone until it is shown again."""
        self.clear()
        self._say(text)

    def show(self, block: Sequence[str]) -> None:
        """Put these lines, cut to the terminal's size, in the block's place; nothing where there is no terminal."""
        if not self.is_terminal:
            return
        size = shutil.get_terminal_size()
        # A line that fills its row, or one row too many, would scroll what has to be rewritten out of reach.
        lines = [line[: size.columns - 1] for line in block][-(size.lines - 1) :]
        self.clear()
        self._rows = len(lines)  # before they are there: Ctrl-C may come between
        sys.stdout.write("\n".join(lines))
        sys.stdout.flush()

    def clear(self) -> None:
        """Take the block away."""
        rows, self._rows = self._rows, 0
        if rows:
            sys.stdout.write("\r" + (_UP.format(rows - 1) if rows > 1 else "") + _CLEAR_BELOW)
            sys.stdout.flush()
