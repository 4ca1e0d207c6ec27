"""Which trials are stopped: AWS's median rule against numpy, and halving without waiting."""

from __future__ import annotations

import numpy as np
import pytest

from dogbreed.sweeps.halving import Halving
from launch.process.stopping import Hyperband, is_below_median


@pytest.mark.parametrize("sign", [1, -1])
def test_median__is_numpys(sign: int) -> None:
    rng = np.random.default_rng(0)
    stopped = 0
    for _ in range(200):
        earlier = rng.normal(size=(rng.integers(1, 6), 8))
        curve = rng.normal(size=rng.integers(1, 9))
        median = np.median(earlier[:, : len(curve)].mean(axis=1))
        expected = bool(sign * curve[-1] < sign * median)
        assert is_below_median(list(curve), [list(one) for one in earlier], sign) == expected
        stopped += expected
    assert 50 < stopped < 150


def test_median__takes_nan_for_the_worst_and_learns_nothing_from_it() -> None:
    assert is_below_median([float("nan")], [[0.1]], 1)
    assert not is_below_median([0.2], [[0.1], [float("nan")]], 1)
    assert not is_below_median([0.2], [], 1)
    assert not is_below_median([], [[0.1]], 1)


def test_hyperband__has_the_rungs_of_a_local_sweep() -> None:
    assert Hyperband(2, 40, 1).rungs_of(0) == Halving(first=2, factor=3).cuts(40)


@pytest.mark.parametrize("sign", [1, -1])
def test_hyperband__lets_the_best_third_of_a_rung_go_on(sign: int) -> None:
    rule = Hyperband(2, 4, sign)
    values = [0.5, 0.4, 0.6, 0.3, 0.9, 0.7]
    behind = [rule.is_behind(trial, [0.0, sign * value]) for trial, value in enumerate(values)]
    # Two come before there is anything to compare; of six two may be as good as 0.7.
    assert behind == [False, False, False, True, False, False]
    assert not rule.is_behind(6, [-sign * 9.0]), "no rung before the least"


def test_hyperband__of_one_length_stops_nobody() -> None:
    assert not any(Hyperband(3, 3, 1).is_behind(trial, [float(-trial)] * 3) for trial in range(9))
