"""Tables on a terminal, and in whatever a command is piped into."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Print it as wide as the terminal, and without a limit where there is none: a line of text stays one line."""
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)
