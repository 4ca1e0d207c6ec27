"""Changes of JSON-like values, drawn by hypothesis: [[path, "set" or "drop", value], ...], which a seed can keep."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some

Change = tuple[list[str | int], str, Any]
_BATCH = 200

SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**70), 2**70),
    some.sampled_from([-1, 0, 1, 2**31, 2**63, 10**400]),
    some.floats(allow_nan=True, allow_infinity=True),
    some.text(max_size=12),
    some.sampled_from(
        ["", "\0", "../..", "/etc/passwd", "\ud800", "NaN", "os.system", "__class__", "x" * 5000, "%s{}"]
    ),
)
JSON = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_DRAWN = some.lists(
    some.tuples(some.integers(0, 2**16), some.sampled_from(["set", "set", "drop"]), JSON), min_size=1, max_size=3
)


@cache  # cases come in any order
def _batch(strategy: some.SearchStrategy[Any], number: int) -> list[Any]:
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=_BATCH,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: Any) -> None:
        found.append(example)

    keep()
    return found


def example(strategy: some.SearchStrategy[Any], number: int) -> Any:
    """The example of this number, from 0: the same each time; in batches, of which hypothesis makes the variety."""
    batch = _batch(strategy, number // _BATCH)
    return batch[number % _BATCH % len(batch)]


def draw_changes(value: Any, number: int) -> list[Change]:
    """One to three changes of `value`, at whatever depth."""
    places = list(_places(value, []))
    return [(places[where % len(places)], verb, new) for where, verb, new in example(_DRAWN, number)]


def change(value: Any, changes: list[Change]) -> Any:
    """A copy of `value` with these changes; one whose place is gone changes nothing.

    >>> change({"a": [1, 2]}, [(["a", 0], "set", None), (["b", "c"], "drop", None)])
    {'a': [None, 2]}
    """
    value = copy.deepcopy(value)
    for path, verb, new in changes:
        if not path:
            value = new
            continue
        parent = value
        try:
            for key in path[:-1]:
                parent = parent[key]
            if verb == "drop":
                del parent[path[-1]]
            else:
                parent[path[-1]] = new
        except (LookupError, TypeError):
            continue
    return value


def _places(value: Any, path: list[str | int]) -> Iterator[list[str | int]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from _places(inner, [*path, key])
