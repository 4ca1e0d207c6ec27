"""Successive halving: hopeless trials free their place early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dogbreed.directions import direction
from dogbreed.errors import ConfigError


@dataclass(frozen=True)
class Halving:
    """After epochs first, first * factor, first * factor**2, ... the best 1/factor of the trials go on.

    Synchronous, so that who goes on depends on the results alone, never on which trial was trained first.
    Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016.

    Attributes:
        first: epochs before the first cut, >= 1.
        factor: the share that goes on is 1/factor, rounded up; >= 2.
    """

    first: int
    factor: int

    def __post_init__(self) -> None:
        if self.first < 1 or self.factor < 2:
            raise ConfigError(
                f"halving with first={self.first}, factor={self.factor}", "first >= 1, factor >= 2", "set halving"
            )

    def cuts(self, epochs: int) -> list[int]:
        """After how many epochs trials of up to `epochs` epochs are cut.

        >>> Halving(first=1, factor=3).cuts(10)
        [1, 3, 9]
        """
        cuts = []
        cut = self.first
        while cut < epochs:
            cuts.append(cut)
            cut *= self.factor
        return cuts

    def survivors(self, best: Mapping[int, float], monitor: str) -> list[int]:
        """The trials that go on, in the order of `best`.

        Args:
            best: the best value of `monitor` so far of each trial that has epochs left; NaN counts as the worst.
            monitor: a metric on val. Among equals those with the smaller number go on.

        >>> Halving(first=1, factor=2).survivors({0: 0.1, 1: 0.5, 2: 0.4}, "val/acc")
        [1, 2]
        """
        sign = 1 if direction(monitor) == "min" else -1

        def rank(trial: int) -> tuple[float, int]:
            value = best[trial]
            return math.inf if math.isnan(value) else sign * value, trial

        chosen = set(sorted(best, key=rank)[: math.ceil(len(best) / self.factor)])
        return [trial for trial in best if trial in chosen]
