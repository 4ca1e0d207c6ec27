"""The search space, against Hydra's own reading of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Choice, Interval, Range, Value, override_line
from dogbreed.sweeps.space import SearchSpace, parse_space

SPACES = sorted((Path(__file__).parents[2] / "conf" / "search_space").glob("*.yaml"))

TRICKY = [
    "null",
    "true",
    "1e3",
    "16",
    "inf",
    "a,b",
    "x=1",
    "choice(1)",
    "${a}",
    " a",
    "a b",
    "[1]",
    "'q'",
    '"',
    "\\",
    "",
]
VALUES = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.sampled_from(TRICKY),
)


def one(text: str) -> Any:
    return parse_space({}, [f"key={text}"])[0].dimensions["key"]


def grid_of_hydra(text: str) -> list[Any]:
    """What Hydra's basic sweeper would set, as it reads it back."""
    override = OverridesParser.create().parse_override(f"key={text}")
    lines = [f"key={value}" for value in override.sweep_string_iterator()]
    return [OverridesParser.create().parse_override(line).value() for line in lines]


@settings(max_examples=400, deadline=None)
@given(VALUES)
def test_override_line__is_read_back_by_hydra_with_its_type(value: Value) -> None:
    read = OverridesParser.create().parse_override(override_line("optimizer.lr", value)).value()
    assert type(read) is type(value)
    assert read == value


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=5, unique_by=lambda value: (str(type(value)), value)))
def test_describe__is_read_as_the_same_choice(values: list[Value]) -> None:
    space = SearchSpace({"key": Choice(tuple(values))})
    assert parse_space(space.describe(), [])[0] == space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("choice(16,32)", Choice((16, 32))),
        ("16,32", Choice((16, 32))),
        ("null,'16',x,true,1.5", Choice((None, "16", "x", True, 1.5))),
        ("sort(3,1,2)", Choice((1, 2, 3))),
        ("range(2,6)", Range(2, 6, 1)),
        ("range(0.1,0.5,0.1)", Range(0.1, 0.5, 0.1)),
        ("interval(0,1)", Interval(0.0, 1.0)),
        ("int(interval(1,8))", Interval(1, 8, whole=True)),
        ("tag(log,interval(0.001,0.1))", Interval(0.001, 0.1, log=True)),
        ("tag(log,int(interval(1,64)))", Interval(1, 64, log=True, whole=True)),
    ],
)
def test_parse_space__reads(text: str, expected: Any) -> None:
    assert one(text) == expected
    assert one(str(expected)) == expected


@pytest.mark.parametrize("text", ["choice(16,32)", "'16',a", "range(2,6)", "range(0.1,0.5,0.1)", "range(5,1,-2)"])
def test_values__are_those_of_hydras_grid(text: str) -> None:
    assert list(one(text).values) == grid_of_hydra(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("interval(2,1)", "not below"),
        ("interval(1,1)", "not below"),
        ("interval(1,inf)", "not below"),
        ("interval(nan,1)", "not below"),
        ("int(interval(0.1,0.9))", "not below"),
        ("tag(log,interval(0,1))", "no logarithm"),
        ("tag(log,interval(-1,1))", "no logarithm"),
        ("tag(steep,interval(0,1))", "tag steep"),
        ("tag(log,choice(1,2))", "tag log"),
        ("glob(*)", "glob"),
        ("shuffle(1,2)", "shuffle"),
        ("shuffle(range(1,4))", "shuffle"),
        ("choice(1,2,1)", "twice"),
        ("choice([1,2],3)", "no single value"),
        ("range(5,1)", "no value"),
        ("range(1,5,0)", "no value"),
        ("range(0,1000000000)", "more than"),
        ("choice()", "empty choice"),
        ("choice(1,null)", "plain form"),
    ],
)
def test_parse_space__refuses(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        one(text)
    assert reason in str(caught.value)
    assert "key=" in caught.value.got


def test_parse_space__refuses_to_delete_in_some_trials() -> None:
    with pytest.raises(ConfigError, match="deleted"):
        parse_space({}, ["~key=1,2"])


def test_parse_space__without_anything_that_varies() -> None:
    with pytest.raises(ConfigError, match="nothing varies"):
        parse_space({"seed": 1}, ["optimizer.lr=0.1"])


def test_parse_space__refuses_two_sweeps_over_a_key() -> None:
    with pytest.raises(ConfigError, match="two sweeps over optimizer"):
        parse_space({}, ["optimizer.lr=1,2", "optimizer.lr=3,4"])


def test_parse_space__the_last_word_on_a_key_counts() -> None:
    space, fixed = parse_space({}, ["seed=1", "head=mlp,linear", "seed=1,2", "head=mlp"])
    assert space.dimensions == {"seed": Choice((1, 2))}
    assert fixed == ["head=mlp"]


def test_parse_space__the_command_line_replaces_the_space() -> None:
    params = {"optimizer.lr": "interval(0,1)", "seed": "1,2", "trainer.max_epochs": 3}
    space, fixed = parse_space(params, ["optimizer.lr=0.1", "seed=4,5", "head=mlp"])
    assert space.dimensions == {"seed": Choice((4, 5))}
    assert fixed == ["optimizer.lr=0.1", "trainer.max_epochs=3", "head=mlp"]


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_search_spaces__stand_for_themselves(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    space, fixed = parse_space(content, [])
    assert list(space.dimensions) == list(content)
    assert not fixed
    assert f"search_space={path.stem}" in path.read_text(), "the header names the command"
