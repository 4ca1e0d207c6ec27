"""Who goes on is decided by the results alone."""

from __future__ import annotations

import math

import pytest

from dogbreed.errors import ConfigError
from dogbreed.sweeps.halving import Halving


@pytest.mark.parametrize(("monitor", "expected"), [("val/acc", [0, 2]), ("val/loss", [1, 3])])
def test_halving__keeps_the_best_in_the_monitors_direction(monitor: str, expected: list[int]) -> None:
    assert Halving(1, 2).survivors({0: 0.9, 1: 0.1, 2: 0.8, 3: 0.2}, monitor) == expected


def test_halving__rounds_up() -> None:
    assert Halving(1, 3).survivors({n: float(n) for n in range(7)}, "val/acc") == [4, 5, 6]


def test_halving__lets_the_last_one_go_on() -> None:
    assert Halving(1, 4).survivors({5: 0.0}, "val/acc") == [5]


@pytest.mark.parametrize("monitor", ["val/acc", "val/loss"])
def test_halving__takes_nan_for_the_worst(monitor: str) -> None:
    assert Halving(1, 2).survivors({0: math.nan, 1: 0.5, 2: math.nan, 3: 0.1}, monitor) == [1, 3]


def test_halving__prefers_the_smaller_number_among_equals() -> None:
    assert Halving(1, 2).survivors({3: 0.5, 1: 0.5, 2: 0.5, 0: 0.5}, "val/acc") == [1, 0]


def test_halving__cuts_only_where_epochs_are_left() -> None:
    assert Halving(2, 3).cuts(18) == [2, 6]


@pytest.mark.parametrize(("first", "factor"), [(0, 2), (1, 1), (1, 0)])
def test_halving__refuses_what_never_ends(first: int, factor: int) -> None:
    with pytest.raises(ConfigError, match="halving"):
        Halving(first, factor)
