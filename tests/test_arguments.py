"""A mistyped option, command or choice is answered with what is near to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("module", "typed", "told"),
    [
        ("dogbreed.predict", "--artefact a b", "there is no --artefact (did you mean --artifact?)"),
        ("dogbreed.predict", "--artefact=a b", "there is no --artefact (did you mean --artifact?)"),
        ("dogbreed.predict", "--artifact a --format tabel b", "(did you mean table?)"),
        ("dogbreed.serve", "--artifact a --prot 3", "there is no --prot (did you mean --port?)"),
        ("dogbreed.features.__main__", "lst", "(did you mean list?)"),
        ("dogbreed.data.__main__", "sumary a", "(did you mean summary?)"),
        ("dogbreed.data.__main__", "audit a limits.min_sdie=3", "(did you mean limits.min_side,"),
        ("launch.jobs", "lsit", "(did you mean list?)"),
        ("launch.jobs", "list --satus x", "there is no --satus\n"),  # and nothing is near
        ("launch.jobs", "list --limt 3", "there is no --limt (did you mean --limit?)"),
    ],
)
def test_command__names_what_is_near(module: str, typed: str, told: str, command: Callable[..., Any]) -> None:
    ended = command(importlib.import_module(module).main, *typed.split())
    assert ended.code in (1, 2)
    assert told in ended.err


def test_command__takes_an_option_cut_short_for_no_mistake(command: Callable[..., Any]) -> None:
    ended = command(importlib.import_module("dogbreed.features.__main__").main, "prune", "--unus", "x")
    assert "is not a number of days" in ended.err
    assert "there is no" not in ended.err
