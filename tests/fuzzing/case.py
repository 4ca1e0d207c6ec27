"""What a kind of cases is, and how one of them ends."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any, NoReturn, Protocol

Case = dict[str, Any]  # plain values, which a seed's JSON holds


class Wrong(Exception):
    """A result that is not right. The first argument names the mistake, the second shows it."""


class Kind(Protocol):
    """One kind of things that come from outside.

    Args:
        bases: undamaged things, made once.
        work: a folder of this process alone.
    """

    def __init__(self, bases: Path, work: Path) -> None: ...

    def make(self, rng: random.Random, number: int) -> Case:
        """The case of this number: pure, so that it can be made again."""
        ...

    def check(self, case: Case) -> str:
        """ "right" or "refused"; raises whatever the code under test should not have raised, or Wrong."""
        ...


#: The share of each kind in a campaign. A module of its name holds it as `Cases`.
SHARES = {
    "pictures": 9,
    "bodies": 2,
    "archives": 3,
    "artifacts": 2,
    "checkpoints": 2,
    "caches": 2,
    "exports": 0.3,
    "results": 1.2,
    "journals": 0.8,
    "overrides": 5,
    "lists": 0.7,
}


def make_kind(name: str, bases: Path, work: Path) -> Kind:
    """The kind of this name."""
    module = importlib.import_module(f"tests.fuzzing.kinds.{name}")
    work.mkdir(parents=True, exist_ok=True)
    made: Kind = module.Cases(bases, work)
    return made


def rng_of(seed: int, name: str, number: int) -> random.Random:
    """Chance, the same for the same case on every machine."""
    return random.Random(f"{seed}/{name}/{number}")


def wrong(mistake: str, shown: object) -> NoReturn:
    """Raises Wrong."""
    raise Wrong(mistake, shown)
