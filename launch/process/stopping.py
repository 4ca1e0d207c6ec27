"""Which trial is stopped before its end. Pure.

Both rules read the objective as SageMaker does: one value an epoch, in the order in which they stand in the log.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Curve = Sequence[float]

_FACTOR = 3  # of the trials at a rung one third goes on: the choice of the Hyperband paper


def is_below_median(curve: Curve, earlier: Sequence[Curve], sign: int) -> bool:
    """Whether a trial is worse than the median of what earlier ones had reached on average up to the same epoch.

    Source: "Stop Training Jobs Early" in the developer guide of Amazon SageMaker.

    Args:
        curve: its objective so far.
        earlier: those of the trials before it.
        sign: 1 where more is better, -1 where less is.

    >>> is_below_median([0.5, 0.5], [[0.4, 0.8], [0.6, 0.8], [0.7, 0.9]], 1)
    True
    >>> is_below_median([0.5, 0.7], [[0.4, 0.8], [0.6, 0.8], [0.7, 0.9]], 1)
    False
    """
    if not curve:
        return False
    averages = [statistics.fmean(one[: len(curve)]) for one in earlier if one]
    averages = [average for average in averages if math.isfinite(average)]
    if not averages:
        return False
    return math.isnan(curve[-1]) or sign * curve[-1] < sign * statistics.median(averages)


class Hyperband:
    """Successive halving without waiting: at each rung a trial is measured against those that came there before it.

    The brackets take turns: a trial of the second is first measured where those of the first are for the second
    time. Source: Li et al., Hyperband, 2018; without waiting: Li et al., A System for Massively Parallel Hyperparameter
    Tuning, 2020. How SageMaker shares its trials out over brackets is not documented.

    Args:
        least: epochs that no trial is stopped before; MinResource.
        most: epochs of a whole trial, which ends there by itself; MaxResource.
        sign: 1 where more is better, -1 where less is.
    """

    def __init__(self, least: int, most: int, sign: int) -> None:
        self._rungs = _rungs(least, most)
        self._sign = sign
        self._seen: dict[int, dict[int, float]] = {rung: {} for rung in self._rungs}

    def rungs_of(self, trial: int) -> list[int]:
        """The epochs after which a trial is measured.

        >>> [Hyperband(1, 10, 1).rungs_of(trial) for trial in range(4)]
        [[1, 3, 9], [3, 9], [9], [1, 3, 9]]
        """
        return self._rungs[trial % len(self._rungs) :] if self._rungs else []

    def is_behind(self, trial: int, curve: Curve) -> bool:
        """Whether a trial is not among the best third of those that came to one of its rungs.

        Args:
            trial: its number, from 0.
            curve: its objective so far.
        """
        reached = [rung for rung in self.rungs_of(trial) if rung <= len(curve)]
        return any(self._is_behind_at(rung, trial, curve[rung - 1]) for rung in reached)

    def _is_behind_at(self, rung: int, trial: int, value: float) -> bool:
        seen = self._seen[rung]
        seen[trial] = -math.inf if math.isnan(value) else self._sign * value
        better = sum(other > seen[trial] for other in seen.values())
        return len(seen) >= _FACTOR and better >= math.ceil(len(seen) / _FACTOR)


def _rungs(least: int, most: int) -> list[int]:
    """After how many epochs trials are measured; dogbreed.sweeps.halving has the same rungs, but imports torch.

    >>> _rungs(1, 10)
    [1, 3, 9]
    """
    rungs = []
    while least < most:
        rungs.append(least)
        least *= _FACTOR
    return rungs
