"""What one key of the config may be in a sweep, and how Hydra's grammar writes it. Pure: no torch, no files."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException

#: What an override can set in a sweep.
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Choice:
    """One of `values`, which have no order."""

    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def __str__(self) -> str:
        # Hydra's choice() takes no null, its plain form does.
        values = ",".join(render(value) for value in self.values)
        return values if None in self.values else f"choice({values})"


@dataclass(frozen=True)
class Range:
    """The numbers from `start` in steps of `step`, without `stop`."""

    start: int | float
    stop: int | float
    step: int | float

    @property
    def values(self) -> tuple[Value, ...]:
        """The same numbers that Hydra's own grid runs."""
        return tuple(RangeSweep(start=self.start, stop=self.stop, step=self.step).range())

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def __str__(self) -> str:
        return f"range({self.start},{self.stop},{self.step})"


@dataclass(frozen=True)
class Interval:
    """A number from `low` to `high`.

    Args:
        low: the least.
        high: the largest; a whole number may reach it.
        log: spread evenly over the orders of magnitude.
        whole: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def size(self) -> int | None:
        """How many values there are; None for as many as there are numbers."""
        return int(self.high) - int(self.low) + 1 if self.whole else None

    @property
    def values(self) -> tuple[Value, ...] | None:
        """The whole numbers; None where they cannot be counted."""
        return tuple(range(int(self.low), int(self.high) + 1)) if self.whole else None

    def __str__(self) -> str:
        low, high = (int(self.low), int(self.high)) if self.whole else (self.low, self.high)
        text = f"interval({low},{high})"
        text = f"int({text})" if self.whole else text
        return f"tag(log,{text})" if self.log else text


Dimension = Choice | Range | Interval


def override_line(key: str, value: Value) -> str:
    """The override that sets `key` to `value`, typed: Hydra reads the same value back.

    >>> override_line("data.batch_size", 16), override_line("head", "16"), override_line("scheduler", None)
    ('data.batch_size=16', "head='16'", 'scheduler=null')
    """
    return f"{key}={render(value)}"


def render(value: Value) -> str:
    """`value` in Hydra's grammar, in quotes only where it would be read as something else without."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    quoted = QuotedString(value, Quote.single).with_quotes()
    if not value or value != value.strip() or "\\" in value:
        return quoted
    try:
        override = OverridesParser.create().parse_override(f"key=choice({value})")
    except HydraException:
        return quoted
    sweep = override.value()
    alone = isinstance(sweep, ChoiceSweep) and sweep.list == [value]
    return value if alone else quoted
