"""How a sweep is getting on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from dogbreed.directions import direction
from dogbreed.sweeps.journal import Journal, Record

_EVERY_S = 10.0  # between two plain lines


class Progress:
    """Counts trials, remembers the best, and says how long the rest will take.

    Use it in a with block, which leaves the bar as it stands.

    Args:
        total: trials of the sweep.
        journal: of what was done before.
        monitor: what the best is best in.
    """

    def __init__(self, total: int, journal: Journal, monitor: str) -> None:
        done = sum(map(journal.is_done, range(total)))
        self._total, self._before, self._done, self._monitor = total, done, done, monitor
        self._best: Record | None = None
        for record in journal.last.values():
            self._note(record)
        self._started = self._spoken = time.monotonic()
        self._computing = False
        self._bar = (
            tqdm(total=total, initial=done, desc="trials", unit="trial", dynamic_ncols=True)
            if sys.stdout.isatty()
            else None
        )

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """An epoch of a trial is done: the bar lives, also where a trial takes long."""
        if not self._computing:
            self._started, self._computing = time.monotonic(), True  # before, the features were computed, once for all
            if self._bar is not None:
                self._bar.unpause()
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._best_text()}, trial {number} epoch {int(row['epoch'])}")

    def add(self, record: Record) -> None:
        """A trial has ended."""
        self._done += 1
        self._note(record)
        if self._bar is not None:
            self._bar.set_postfix_str(self._best_text(), refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._spoken >= _EVERY_S or self._done == self._total or self._done == self._before + 1:
            self._spoken = now
            print(f"trials={self._done}/{self._total} {self._best_text()}{self._time_left(now)}", flush=True)

    def _note(self, record: Record) -> None:
        if record.value is not None and (self._best is None or self._is_better(record.value)):
            self._best = record

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        tqdm.write(text) if self._bar is not None else print(text, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _is_better(self, value: float) -> bool:
        assert self._best is not None
        assert self._best.value is not None
        return value > self._best.value if direction(self._monitor) == "max" else value < self._best.value

    def _best_text(self) -> str:
        if self._best is None:
            return "no result yet"
        return f"best {self._monitor}={self._best.value:.4f} (trial {self._best.number})"

    def _time_left(self, now: float) -> str:
        fresh, left = self._done - self._before, self._total - self._done
        if not left or not fresh:
            return ""
        minutes, seconds = divmod(round((now - self._started) / fresh * left), 60)
        return f", {minutes}:{seconds:02d} left"
