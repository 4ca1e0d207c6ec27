"""Tables on a terminal, and in whatever a command is piped into."""

from __future__ import annotations

import sys
from typing import Literal

from rich.console import Console
from rich.table import Table

from dogbreed.streams import takes_styles


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Say what happened; rich would end the program as if it had failed."""
        raise  # rich calls this while it handles the error


def print_table(table: Table) -> None:
    """Print it as wide as the terminal, and without a limit where there is none: a line of text stays one line."""
    width = None if sys.stdout.isatty() else 10_000
    colours: Literal["auto"] | None = "auto" if takes_styles(sys.stdout) else None
    _Console(width=width, color_system=colours, highlight=False, markup=False, emoji=False).print(table)
