"""What is let through, and what is refused with the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dogbreed.errors import ConfigError
from dogbreed.exports.judging import Judged, refuse_worse

SAME = Judged(
    pictures=200,
    unreadable=0,
    largest_difference=1e-5,
    largest_logit=10.0,
    agreement=1.0,
    labelled=200,
    accuracy_torch=0.8,
    accuracy=0.8,
)


@pytest.mark.parametrize(
    ("precision", "changed"),
    [
        ("fp32", {}),
        ("fp32", {"agreement": 0.995}),  # a tie that rounding decides
        ("int8", {"largest_difference": 1.0, "agreement": 0.95}),
        ("int8", {"accuracy": 0.79}),
        ("int8", {"accuracy": 0.9}),
        ("int8", {"accuracy": None, "accuracy_torch": None, "agreement": 0.99}),
    ],
)
def test_refuse_worse__lets_through(precision: str, changed: dict[str, Any]) -> None:
    refuse_worse(replace(SAME, **changed), precision)


@pytest.mark.parametrize(
    ("precision", "changed", "message"),
    [
        ("fp32", {"largest_difference": 0.002}, "2.0e-04 of the largest"),
        ("fp32", {"largest_difference": float("nan")}, "nan"),
        ("int8", {"accuracy": 0.785}, "78.50% right, and torch 80.00% .of 200 pictures"),
        ("int8", {"accuracy": None, "accuracy_torch": None, "agreement": 0.985}, "98.50% the label"),
        ("int8", {"largest_difference": float("nan")}, "int8"),
        ("int8", {"labelled": 99}, "100 pictures or more"),
    ],
)
def test_refuse_worse__refuses_with_the_numbers(precision: str, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_worse(replace(SAME, **changed), precision)
