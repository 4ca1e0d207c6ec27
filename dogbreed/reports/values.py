"""Takes a value out of a file for what it should be, or says what it is: a parser's first look at JSON and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """Names and values.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"it holds {_shown(value)} where names and values should be")
    return value


def entries(value: Any) -> list[Any]:
    """A list.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, list):
        raise TypeError(f"it holds {_shown(value)} where a list should be")
    return value


def text(value: Any) -> str:
    """A text.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"it holds {_shown(value)} where a text should be")
    return value


def text_or_none(value: Any) -> str | None:
    """A text, or None for null.

    Raises:
        TypeError: it is something else.
    """
    return None if value is None else text(value)


def finite(value: Any) -> float:
    """A number, also one that is written as a text.

    >>> finite("0.5"), finite(2)
    (0.5, 2.0)

    Raises:
        TypeError, ValueError: it is none, or not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"it holds {_shown(value)} where a finite number should be")
    return number


def finite_or_none(value: Any) -> float | None:
    """A number; None for null and for what is not finite, for which JSON has no word.

    Raises:
        TypeError, ValueError: it is none.
    """
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def share(value: Any) -> float:
    """A number in [0, 1].

    Raises:
        TypeError, ValueError: it is none, or lies outside.
    """
    number = finite(value)
    if not 0 <= number <= 1:
        raise ValueError(f"it holds {_shown(value)} where a share of 0 to 1 should be")
    return number


def whole(value: Any) -> int:
    """A number of things, from 0.

    Raises:
        TypeError, ValueError: it is none.
    """
    number = finite(value)
    if number < 0 or number != int(number):
        raise ValueError(f"it holds {_shown(value)} where a number of things should be")
    return int(number)


def metric(name: str, value: Any) -> float:
    """A metric by its name, such as "val/acc": NaN where there was nothing to measure, and no share outside of [0, 1].

    Raises:
        TypeError, ValueError: it is no such number.
    """
    number = float(value)
    is_share = "/" in name and name.rsplit("/", 1)[-1] in ("acc", "acc_top5", "f1_macro")
    return share(value) if is_share and not math.isnan(number) else number


def _shown(value: Any) -> str:
    found = repr(value)
    return found if len(found) <= 40 else type(value).__name__
