"""Named, nested timings that every room may open; the profile of a run reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Phase:
    """A part of a run.

    Attributes:
        name: what was done.
        seconds: how long, over all times that it was entered.
        count: how many times.
        parts: the phases inside it, in the order in which they were first entered.
    """

    name: str
    seconds: float = 0.0
    count: int = 0
    parts: list[Phase] = field(default_factory=list)

    def part(self, name: str) -> Phase:
        """The phase of this name inside, made on first use."""
        for known in self.parts:
            if known.name == name:
                return known
        self.parts.append(Phase(name))
        return self.parts[-1]


class Clock:
    """The phases of one run, by the wall clock.

    Attributes:
        root: the whole run.
        begun: when its first phase began, by time.monotonic(); None before.
    """

    def __init__(self) -> None:
        self.root = Phase("run")
        self.begun: float | None = None
        self._open = [self.root]

    @property
    def current(self) -> Phase:
        """The innermost phase that is open."""
        return self._open[-1]

    def begin(self) -> None:
        """The first phase begins now, if none has begun before."""
        if self.begun is None:
            self.begun = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what the block takes to `name`, inside whichever phase is open; also where it raises."""
        self.begin()
        entered = self.current.part(name)
        self._open.append(entered)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._open.pop()
            self.add(entered, time.perf_counter() - started)

    @staticmethod
    def add(entered: Phase, seconds: float, count: int = 1) -> None:
        """Count `seconds` that were measured elsewhere."""
        entered.seconds += seconds
        entered.count += count


_clock = Clock()


def clock() -> Clock:
    """The phases of what this process is doing now."""
    return _clock


def restart() -> Clock:
    """Begin anew: a sweep runs several trials in one process."""
    global _clock
    _clock = Clock()
    return _clock


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count what the block takes to the phase `name`, inside whichever is open."""
    with _clock.phase(name):
        yield
