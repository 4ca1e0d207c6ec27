"""A search space as SageMaker's parameter ranges, and its values back from SageMaker's. Pure: no torch, no SDK.

A value that a job shall get as it stands is a categorical one, written as launch.overrides writes it: as JSON, `16`,
`"16"`, `null`. The numbers that SageMaker draws itself are texts of numbers, which the job reads as JSON too. The one
thing that is lost there: a job that is told `1` for a continuous parameter has the whole number 1, not 1.0; Hydra reads
optimizer.lr=1 in the same way, and torch computes the same. `values_of` gives 1.0.

Source of the limits: ParameterRanges and its parts in the API reference of Amazon SageMaker.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Range, Value, override_line
from dogbreed.sweeps.space import SearchSpace
from launch.errors import LaunchError
from launch.names import CHANNEL_KEYS
from launch.overrides import FOREIGN, OURS, of_the_job

CONTINUOUS, INTEGER, CATEGORICAL = "ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges"
GRID, HYPERBAND = "Grid", "Hyperband"

ParameterRange = dict[str, str | list[str]]

_MOST_DIMENSIONS, _MOST_VALUES, _LONGEST = 30, 30, 256
_ALL = "choice(a,b), range(start,stop) of whole numbers, interval(low,high), int(interval(low,high)), tag(log,...)"
_COUNTED = f"with the strategy Grid, what can be counted, up to {_MOST_VALUES} values"
_EPOCHS = "trainer.max_epochs"
#: What one tuning job has one of.
_SHARED = ("monitor", "search_space", "paths.output_dir", *CHANNEL_KEYS.values())
#: Whole numbers beyond it have neighbours that a double, in which a tuner computes, takes for the same.
_EXACT = 2**53
#: How far outside of its interval a number may be that was drawn by its logarithm: what that rounds off, and no more.
_ROUNDING = 1e-9


class _Inexpressible(Exception):
    """Why a dimension is no range of SageMaker's, and what to write in its place, {key} standing for its key."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.instead = instead


def to_ranges(space: SearchSpace, strategy: str) -> dict[str, list[ParameterRange]]:
    """The ParameterRanges of a tuning job, each kind in the order of the space.

    Args:
        space: what varies.
        strategy: of the tuning job. Grid takes categorical ranges only, so that all that can be counted becomes one.

    >>> from dogbreed.sweeps.space import parse_space
    >>> space, _ = parse_space({"optimizer.lr": "tag(log,interval(0.001,0.1))", "data.batch_size": "16,32"}, [])
    >>> ranges = to_ranges(space, "Bayesian")
    >>> ranges["ContinuousParameterRanges"]
    [{'Name': 'optimizer.lr', 'MinValue': '0.001', 'MaxValue': '0.1', 'ScalingType': 'Logarithmic'}]
    >>> ranges["CategoricalParameterRanges"]
    [{'Name': 'data.batch_size', 'Values': ['16', '32']}]

    Raises:
        ConfigError: what SageMaker cannot express; it says what to write instead.
    """
    if len(space.dimensions) > _MOST_DIMENSIONS:
        raise ConfigError(
            f"a search space of {len(space.dimensions)} parameters",
            f"at most {_MOST_DIMENSIONS} in a tuning job",
            "vary fewer; or the whole sweep in one job: python -m launch.train hydra/sweeper=fleet",
        )
    ranges: dict[str, list[ParameterRange]] = {CONTINUOUS: [], INTEGER: [], CATEGORICAL: []}
    for key, dimension in space.dimensions.items():
        try:
            _check_key(key, strategy)
            kind, entry = _range_of(dimension, grid=strategy == GRID)
        except _Inexpressible as error:
            allowed = _COUNTED if strategy == GRID else _ALL
            raise ConfigError(f"{key}={dimension}: {error}", allowed, error.instead.format(key=key)) from None
        ranges[kind].append({"Name": key, **entry})
    return ranges


def values_of(space: SearchSpace, tuned: Mapping[str, str]) -> dict[str, Value]:
    """The typed values of a job, in the order of the space.

    Args:
        space: that `to_ranges` has expressed.
        tuned: the TunedHyperParameters that SageMaker returns, texts by name.

    >>> from dogbreed.sweeps.space import parse_space
    >>> space, _ = parse_space({"optimizer.lr": "interval(0,1)", "data.batch_size": "16,32", "head": "'16',mlp"}, [])
    >>> values_of(space, {"optimizer.lr": "1.0E-4", "data.batch_size": "16", "head": '"16"'})
    {'optimizer.lr': 0.0001, 'data.batch_size': 16, 'head': '16'}

    Raises:
        LaunchError: a parameter is missing or unknown, or its value is none of the space's.
    """
    ours = [key for key in tuned if not key.startswith(FOREIGN)]
    odd = [key for key in (*space.dimensions, *ours) if key not in tuned or key not in space.dimensions]
    if odd:
        what = "missing" if odd[0] in space.dimensions else "not in the search space"
        raise LaunchError(
            f"{odd[0]} is {what}: the job was tuned by another one",
            ", ".join(space.dimensions),
            "give the search space of this tuning job",
        )
    return {key: _value_of(key, dimension, tuned[key]) for key, dimension in space.dimensions.items()}


def best_overrides(space: SearchSpace, tuned: Mapping[str, str]) -> list[str]:
    """The overrides that set what a job was tuned to, typed: Hydra reads the same values back.

    >>> from dogbreed.sweeps.space import parse_space
    >>> space, _ = parse_space({"data.batch_size": "16,32", "head": "'16',mlp"}, [])
    >>> best_overrides(space, {"data.batch_size": "16", "head": '"16"'})
    ['data.batch_size=16', "head='16'"]

    Raises:
        LaunchError: as `values_of`.
    """
    return [override_line(key, value) for key, value in values_of(space, tuned).items()]


def _check_key(key: str, strategy: str) -> None:
    name = key.lstrip("+")
    if name in _SHARED or not of_the_job([f"{key}=1"], *OURS) or key.startswith(FOREIGN):
        raise _Inexpressible("all jobs of a tuning job share it", "choose one {key}")
    if strategy == HYPERBAND and name == _EPOCHS:
        # MaxResource is one number for all jobs, and what Hyperband shares out is epochs.
        instead = "set one {key}, its most; or sagemaker/tuner=bayesian"
        raise _Inexpressible("Hyperband itself gives out the epochs", instead)
    if len(key) > _LONGEST:
        raise _Inexpressible(f"its name has more than {_LONGEST} characters", "vary another key")


def _range_of(dimension: Dimension, *, grid: bool) -> tuple[str, ParameterRange]:
    if isinstance(dimension, Choice):
        return _categorical(dimension.values, "choose fewer values")
    if isinstance(dimension, Range):
        values = dimension.values
        # A range of one number is none for SageMaker, whose least has to be below its largest.
        if grid or len(values) == 1:
            return _categorical(values, "{key}=choice(...) of fewer values")
        return _integer_of(values)
    low, high = dimension.low, dimension.high
    if grid:
        instead = f"{{key}}={_three_of(dimension)}; or sagemaker/tuner=bayesian"
        if dimension.size is None:
            raise _Inexpressible("an interval cannot be counted", instead)
        return _categorical(range(int(low), int(high) + 1), instead)
    if not -math.inf < low < high < math.inf or (dimension.log and low <= 0):
        raise _Inexpressible("its bounds are none", "{key}=interval(low,high), low < high; with log also low > 0")
    if dimension.whole:
        return _integer(int(low), int(high), log=dimension.log)
    return CONTINUOUS, _bounds(repr(float(low)), repr(float(high)), log=dimension.log)


def _integer_of(values: Sequence[Value]) -> tuple[str, ParameterRange]:
    """The range of numbers in steps of one, upwards or downwards."""
    whole = [value for value in values if isinstance(value, int)]
    low, high = (min(whole), max(whole)) if whole else (0, 0)
    if len(whole) < len(values) or high - low + 1 != len(values):
        listed = [json.dumps(value) for value in values[:_MOST_VALUES]]
        reason = "SageMaker has no ranges but of whole numbers in steps of one"
        if len(values) <= _MOST_VALUES:
            raise _Inexpressible(reason, f"{{key}}=choice({','.join(listed)})")
        raise _Inexpressible(reason, f"{{key}}=choice(...) of at most {_MOST_VALUES} numbers, or interval(low,high)")
    return _integer(low, high, log=False)


def _integer(low: int, high: int, *, log: bool) -> tuple[str, ParameterRange]:
    if max(-low, high) > _EXACT:
        raise _Inexpressible("beyond 2**53 whole numbers are not told apart", "{key}=choice(...) of some of them")
    return INTEGER, _bounds(str(low), str(high), log=log)


def _bounds(low: str, high: str, *, log: bool) -> ParameterRange:
    return {"MinValue": low, "MaxValue": high, "ScalingType": "Logarithmic" if log else "Linear"}


def _categorical(values: Sequence[Value], instead: str) -> tuple[str, ParameterRange]:
    if len(values) > _MOST_VALUES:
        raise _Inexpressible(f"{len(values)} values", instead)
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise _Inexpressible(f"{value} is no JSON", "leave it out of {key}")
    texts: str | list[str] = [json.dumps(value) for value in values]
    if any(len(text) > _LONGEST for text in texts):
        raise _Inexpressible(f"a value of more than {_LONGEST} characters", "choose shorter values")
    return CATEGORICAL, {"Values": texts}


def _three_of(interval: Interval) -> str:
    """Its ends and its middle as a choice, for an example."""
    low, high = interval.low, interval.high
    middle = math.sqrt(low) * math.sqrt(high) if interval.log else low / 2 + high / 2
    three = [round(one) if interval.whole else float(f"{one:.3g}") for one in (low, middle, high)]
    return f"choice({','.join(map(json.dumps, dict.fromkeys(three)))})"


def _value_of(key: str, dimension: Dimension, text: str) -> Value:
    if isinstance(dimension, Choice):
        found = _chosen(dimension.values, text)
    elif isinstance(dimension, Range):
        number = _number(text)
        found = [value for value in dimension.values if value == number]
    else:
        found = _drawn(dimension, _number(text))
    if not found:
        raise LaunchError(f"{key}={text}", f"{key}={dimension}", "give the search space of this tuning job")
    return found[0]


def _chosen(values: Sequence[Value], text: str) -> list[Value]:
    """The value that `text` stands for, if any: as it was sent, else the same JSON, else the same but for quotes.

    At most one value fits in each way: no two values of a choice have the same JSON, and of two that differ in quotes
    only, 16 and '16', each is found in the first way.
    """
    texts = {json.dumps(value): value for value in values}
    if text in texts:
        return [texts[text]]
    read = _read(text)  # never null's None, which is found above
    same = [value for value in values if read is not None and type(value) is type(read) and value == read]
    return same or [value for sent, value in texts.items() if _bare(sent) == _bare(text)]


def _drawn(interval: Interval, number: float | None) -> list[Value]:
    """The number, if it lies in the interval; never moved, because it is the one that the job had."""
    if number is None or (interval.whole and number != int(number)):
        return []
    if interval.whole:
        return [int(number)] if int(interval.low) <= number <= int(interval.high) else []
    below = interval.low - abs(interval.low) * _ROUNDING
    above = interval.high + abs(interval.high) * _ROUNDING
    return [float(number)] if below <= number <= above else []


def _number(text: str) -> float | None:
    """The finite number that `text` is, whole where it is written so; else None."""
    read = _read(text)
    if isinstance(read, bool) or not isinstance(read, int | float):
        return None
    return read if isinstance(read, int) or math.isfinite(read) else None


def _bare(text: str) -> str:
    read = _read(text)
    return read if isinstance(read, str) else text


def _read(text: str) -> object:
    """What JSON makes of `text`, as the job itself does; None for a text that is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
