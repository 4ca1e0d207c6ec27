"""A search space as SageMaker's parameter ranges and back: against Hydra's reading, the job's, and botocore's model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Range, Value
from dogbreed.sweeps.space import SearchSpace, parse_space
from launch.errors import LaunchError
from launch.overrides import to_hyperparameters, to_overrides
from launch.search_space import best_overrides, to_ranges, values_of

SPACES = sorted((Path(__file__).parents[2] / "conf" / "search_space").glob("*.yaml"))
LOG = "Logarithmic"
KINDS = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(
    st.sampled_from(["null", "true", "16", "1e3", "a,b", "x=1", " a", '"', "'", "\\", "${a}", "1.0", "[1]", ""]),
    WORDS,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
CHOICES = st.lists(VALUES, min_size=1, max_size=6, unique_by=lambda value: (type(value), value)).map(
    lambda values: Choice((*values, "more") if len(values) == 1 and "more" not in values else tuple(values))
)
RANGES = st.builds(lambda low, count: Range(low, low + count, 1), st.integers(-99, 99), st.integers(1, 40))
BOUNDS = st.floats(-1e6, 1e6, allow_subnormal=False)
INTERVALS = st.one_of(
    st.tuples(BOUNDS, BOUNDS).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: Interval(*ends)),
    st.builds(lambda low, decades: Interval(low, low * 10**decades, log=True), st.floats(1e-9, 1), st.integers(1, 6)),
    st.builds(lambda low, count: Interval(low, low + count, whole=True), st.integers(-99, 99), st.integers(1, 999)),
    st.builds(
        lambda low, count: Interval(low, low + count, log=True, whole=True), st.integers(1, 99), st.integers(1, 999)
    ),
)
DIMENSIONS = st.dictionaries(
    st.sampled_from(["optimizer.lr", "data.batch_size", "head", "+new.key", "backbone@teacher", "trainer.max_epochs"]),
    st.one_of(CHOICES, RANGES, INTERVALS),
    min_size=1,
)


@pytest.fixture(scope="module")
def model() -> Any:
    """What botocore knows of ParameterRanges."""
    return botocore.session.Session().get_service_model("sagemaker").shape_for("ParameterRanges")


def space_of(*lines: str) -> SearchSpace:
    return parse_space({}, lines)[0]


def draw_value(draw: Callable[..., Any], dimension: Dimension) -> Value:
    """Any value that the dimension holds."""
    if isinstance(dimension, Interval) and not dimension.whole:
        return float(draw(st.floats(dimension.low, dimension.high)))
    if isinstance(dimension, Interval):
        return int(draw(st.integers(int(dimension.low), int(dimension.high))))
    return draw(st.sampled_from(dimension.values))


def spellings(value: Value) -> list[str]:
    """How SageMaker may write a number that it has drawn: as Python, as Java, without exponent, without a point."""
    assert isinstance(value, int | float)
    if isinstance(value, int):
        return [str(value)]
    digits, exponent = f"{value:.17e}".split("e")
    bare = [str(int(value))] if value.is_integer() else []
    return [repr(value), f"{digits}E{int(exponent)}", f"{Decimal(repr(value)):f}", *bare]


def sent_back(draw: Callable[..., Any], entry: dict[str, Any], value: Value) -> str:
    """What SageMaker returns for a job in which the parameter had this value."""
    if "Values" in entry:
        (text,) = [text for text in entry["Values"] if same(json.loads(text), value)]
        return str(text)
    return str(draw(st.sampled_from(spellings(value))))


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def parse(line: str) -> Any:
    return OverridesParser.create().parse_override(line)


@settings(max_examples=100, deadline=None)
@given(DIMENSIONS, st.sampled_from(["Bayesian", "Random"]), st.data())
def test_ranges__bring_back_the_typed_values(dimensions: dict[str, Dimension], strategy: str, data: Any) -> None:
    space, _ = parse_space(SearchSpace(dimensions).describe(), [])
    ranges = to_ranges(space, strategy)
    entries = {entry["Name"]: entry for kind in KINDS for entry in ranges[kind]}
    assert list(dimensions) == [key for key in space.dimensions if key in entries]
    wanted = {key: draw_value(data.draw, dimension) for key, dimension in space.dimensions.items()}
    tuned = {key: sent_back(data.draw, entries[key], value) for key, value in wanted.items()}

    read = [parse(line) for line in best_overrides(space, tuned)]
    assert [override.get_key_element() for override in read] == list(wanted)
    assert all(map(same, [override.value() for override in read], wanted.values()))

    told = to_overrides({**to_hyperparameters(["seed=1"]), **tuned, "_tuning_objective_metric": "val/acc"})
    decoded = {override.get_key_element(): override.value() for override in map(parse, told)}
    assert decoded.pop("seed") == 1
    assert decoded == wanted
    # The one thing that is lost: a float without a point is a whole number to the job.
    bare = {key for key, value in wanted.items() if isinstance(value, float) and re.fullmatch(r"-?\d+", tuned[key])}
    assert all(same(decoded[key], value) for key, value in wanted.items() if key not in bare)


@settings(max_examples=100, deadline=None)
@given(DIMENSIONS, st.sampled_from(["Bayesian", "Random"]))
def test_ranges__pass_botocores_model(model: Any, dimensions: dict[str, Dimension], strategy: str) -> None:
    ranges = to_ranges(SearchSpace(dimensions), strategy)
    assert not ParamValidator().validate(ranges, model).has_errors()
    for entry in [*ranges["ContinuousParameterRanges"], *ranges["IntegerParameterRanges"]]:
        assert float(str(entry["MinValue"])) < float(str(entry["MaxValue"]))


@settings(max_examples=100, deadline=None)
@given(DIMENSIONS)
def test_ranges__for_grid_are_categorical_or_refused(model: Any, dimensions: dict[str, Dimension]) -> None:
    space = SearchSpace(dimensions)
    if any(dimension.size is None or dimension.size > 30 for dimension in dimensions.values()):
        with pytest.raises(ConfigError):
            to_ranges(space, "Grid")
        return
    ranges = to_ranges(space, "Grid")
    assert not ParamValidator().validate(ranges, model).has_errors()
    sizes = [len(entry["Values"]) for entry in ranges["CategoricalParameterRanges"]]
    assert sizes == [dimension.size for dimension in dimensions.values()]
    assert not ranges["ContinuousParameterRanges"] + ranges["IntegerParameterRanges"]


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_ranges__of_every_search_space(path: Path) -> None:
    space, _ = parse_space(yaml.safe_load(path.read_text()), [])
    ranges = to_ranges(space, "Bayesian")
    assert sorted(str(entry["Name"]) for kind in KINDS for entry in ranges[kind]) == sorted(space.dimensions)
    for entry in ranges["ContinuousParameterRanges"]:
        dimension = space.dimensions[str(entry["Name"])]
        assert isinstance(dimension, Interval)
        assert (float(str(entry["MinValue"])), float(str(entry["MaxValue"]))) == (dimension.low, dimension.high)
        assert entry["ScalingType"] == (LOG if dimension.log else "Linear")


@pytest.mark.parametrize(
    ("line", "kind", "entry"),
    [
        ("k=interval(0,0.3)", KINDS[0], {"MinValue": "0.0", "MaxValue": "0.3", "ScalingType": "Linear"}),
        (
            "k=tag(log,interval(1e-5,1))",
            KINDS[0],
            {"MinValue": "1e-05", "MaxValue": "1.0", "ScalingType": LOG},
        ),
        ("k=int(interval(1,8))", KINDS[1], {"MinValue": "1", "MaxValue": "8", "ScalingType": "Linear"}),
        ("k=tag(log,int(interval(1,64)))", KINDS[1], {"MinValue": "1", "MaxValue": "64", "ScalingType": LOG}),
        ("k=range(2,6)", KINDS[1], {"MinValue": "2", "MaxValue": "5", "ScalingType": "Linear"}),
        ("k=range(5,1,-1)", KINDS[1], {"MinValue": "2", "MaxValue": "5", "ScalingType": "Linear"}),
        ("k=range(2,3)", KINDS[2], {"Values": ["2"]}),
        ("k=null,'16',16,x,true,1.5", KINDS[2], {"Values": ["null", '"16"', "16", '"x"', "true", "1.5"]}),
    ],
)
def test_ranges__are(line: str, kind: str, entry: dict[str, Any]) -> None:
    ranges = to_ranges(space_of(line), "Bayesian")
    assert ranges.pop(kind) == [{"Name": "k", **entry}]
    assert not any(ranges.values())


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("k=range(1,9,2)", ["1", "3", "5", "7"]),
        ("k=range(0.25,1,0.25)", ["0.25", "0.5", "0.75"]),
        ("k=int(interval(1,3))", ["1", "2", "3"]),
        ("k=a,b", ['"a"', '"b"']),
    ],
)
def test_ranges__for_grid_what_can_be_counted_is_categorical(line: str, values: list[str]) -> None:
    space = space_of(line)
    ranges = to_ranges(space, "Grid")
    assert ranges["CategoricalParameterRanges"] == [{"Name": "k", "Values": values}]
    wanted = space.dimensions["k"].values
    assert wanted is not None
    assert all(map(same, [values_of(space, {"k": text})["k"] for text in values], wanted))


@pytest.mark.parametrize(
    ("line", "strategy", "reason", "hint"),
    [
        ("k=range(0.25,1,0.25)", "Bayesian", "steps of one", "choice(0.25,0.5,0.75)"),
        ("k=range(1,9,2)", "Random", "steps of one", "choice(1,3,5,7)"),
        ("k=range(0,100,2)", "Random", "steps of one", "interval"),
        (f"k=choice({','.join(map(str, range(31)))})", "Bayesian", "31 values", "fewer"),
        (f"k=a,{'b' * 255}", "Bayesian", "more than 256 characters", "shorter"),
        ("k=1,inf", "Bayesian", "inf is no JSON", "leave it out"),
        ("k=1,nan", "Bayesian", "nan is no JSON", "leave it out"),
        ("k=int(interval(1,1e17))", "Bayesian", "2**53", "choice"),
        (f"{'k' * 257}=1,2", "Bayesian", "more than 256 characters", "another key"),
        ("k=interval(0,1)", "Grid", "cannot be counted", "k=choice(0.0,0.5,1.0)"),
        ("k=tag(log,interval(0.001,0.1))", "Grid", "cannot be counted", "k=choice(0.001,0.01,0.1)"),
        ("k=int(interval(1,1000000000000))", "Grid", "1000000000000 values", "k=choice(1,"),
        ("k=range(0,31)", "Grid", "31 values", "fewer"),
        ("trainer.max_epochs=2,4", "Hyperband", "gives out the epochs", "set one trainer.max_epochs"),
        ("sagemaker.instance_type=a,b", "Bayesian", "share it", "choose one"),
        ("hydra/launcher=a,b", "Bayesian", "share it", "choose one"),
        ("monitor=val/acc,val/loss", "Bayesian", "share it", "choose one"),
        ("data.root=a,b", "Bayesian", "share it", "choose one"),
        ("sagemaker_program=a,b", "Bayesian", "share it", "choose one"),
    ],
)
def test_ranges__refuse(line: str, strategy: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        to_ranges(space_of(line), strategy)
    assert caught.value.got.startswith(f"{line.split('=')[0]}=")
    assert reason in caught.value.got
    assert hint in caught.value.hint


@pytest.mark.parametrize("interval", [Interval(2, 1), Interval(0, 1, log=True), Interval(0, math.inf)])
def test_ranges__refuse_bounds_that_hold_nothing(interval: Interval) -> None:
    with pytest.raises(ConfigError, match="its bounds are none"):
        to_ranges(SearchSpace({"k": interval}), "Bayesian")


def test_ranges__refuse_more_parameters_than_a_tuning_job_takes() -> None:
    with pytest.raises(ConfigError, match="31 parameters"):
        to_ranges(space_of(*(f"k{number}=1,2" for number in range(31))), "Random")


@pytest.mark.parametrize(
    ("line", "text", "value"),
    [
        ("k=interval(0,1)", "1", 1.0),
        ("k=interval(0,1)", "1.0E-4", 0.0001),
        ("k=interval(0.001,1)", "0.0010000000000000002", 0.0010000000000000002),
        ("k=tag(log,interval(0.001,0.1))", "0.10000000000000002", 0.10000000000000002),
        ("k=int(interval(1,64))", "32", 32),
        ("k=int(interval(1,64))", "32.0", 32),
        ("k=range(2,6)", "3.2E1", None),
        ("k=range(2,60)", "3.2E1", 32),
        ("k=16,32", "16", 16),
        ("k=16,32", '"16"', 16),
        ("k='16','32'", '"16"', "16"),
        ("k='16','32'", "16", "16"),
        ("k=16,'16'", "16", 16),
        ("k=16,'16'", '"16"', "16"),
        ("k=1e-5,1e-4", "1.0E-5", 1e-5),
        ("k=resnet18,resnet50", "resnet18", "resnet18"),
        ("k=null,'null'", "null", None),
        ("k=true,1,'true'", "true", True),
    ],
)
def test_values__are_typed(line: str, text: str, value: Value) -> None:
    space = space_of(line)
    if value is None and "null" not in line:
        with pytest.raises(LaunchError):
            values_of(space, {"k": text})
    else:
        assert same(values_of(space, {"k": text})["k"], value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("k=interval(0,1)", "1.01"),
        ("k=interval(0,1)", "NaN"),
        ("k=interval(0,1)", "true"),
        ("k=interval(0,1)", "high"),
        ("k=int(interval(1,8))", "2.5"),
        ("k=int(interval(1,8))", "9"),
        ("k=range(2,6)", "6"),
        ("k=16,32", "64"),
        ("k=null,a", "b"),
        ("k=1,2", "true"),
    ],
)
def test_values__outside_of_the_space_are_an_error(line: str, text: str) -> None:
    with pytest.raises(LaunchError) as caught:
        values_of(space_of(line), {"k": text})
    assert caught.value.got == f"k={text}"


@pytest.mark.parametrize(("tuned", "named"), [({}, "k is missing"), ({"k": "1", "j": "1"}, "j is not in")])
def test_values__of_another_space_are_an_error(tuned: dict[str, str], named: str) -> None:
    with pytest.raises(LaunchError, match=named):
        values_of(space_of("k=1,2"), tuned)


def test_values__pass_over_what_sagemaker_adds() -> None:
    assert values_of(space_of("k=1,2"), {"k": "1", "_tuning_objective_metric": "val/acc"}) == {"k": 1}
