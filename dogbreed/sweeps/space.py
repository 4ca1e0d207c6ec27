"""One definition of what a sweep may vary, read from Hydra's own sweep grammar. Pure: no torch, no files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    ValueType,
)
from hydra.errors import HydraException

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Range, Value, render

GRAMMAR = "choice(a, b), range(start, stop, step), interval(low, high), int(interval(low, high)) and tag(log, ...)"
_LONGEST = 100_000  # values of a range


@dataclass(frozen=True)
class SearchSpace:
    """What a sweep varies.

    Args:
        dimensions: for each key of the config (or group), the values it may take.
    """

    dimensions: Mapping[str, Dimension]

    @property
    def size(self) -> int | None:
        """How many different settings there are; None where they cannot be counted."""
        sizes = [dimension.size for dimension in self.dimensions.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def without(self, key: str) -> SearchSpace:
        """The same space, where `key` does not vary."""
        return SearchSpace({name: dimension for name, dimension in self.dimensions.items() if name != key})

    def describe(self) -> dict[str, str]:
        """Each dimension in Hydra's grammar, from which it can be read again."""
        return {key: str(dimension) for key, dimension in self.dimensions.items()}


def parse_space(params: Mapping[str, object], overrides: Sequence[str]) -> tuple[SearchSpace, list[str]]:
    """The space, and the overrides that hold for every trial.

    Args:
        params: `hydra.sweeper.params`, key -> sweep in Hydra's grammar, or a plain value.
        overrides: the command line's, which may be sweeps too; they replace what `params` says of their key.

    >>> space, fixed = parse_space({"optimizer.lr": "interval(0.001,0.1)"}, ["data.batch_size=16,32", "seed=1"])
    >>> space.describe(), fixed
    ({'optimizer.lr': 'interval(0.001,0.1)', 'data.batch_size': 'choice(16,32)'}, ['seed=1'])

    Raises:
        ConfigError: nothing varies, or a sweep is not one that can be drawn from.
    """
    given: dict[str, Override] = {}
    for key, text in params.items():
        override = _parse(f"{key}={'null' if text is None else text}")
        given[override.get_key_element()] = override
    swept: set[str] = set()
    for line in overrides:  # as for Hydra, the last word on a key counts
        override = _parse(line)
        key = override.get_key_element()
        if override.is_sweep_override() and key in swept:
            raise ConfigError(f"two sweeps over {key}", "one", f"remove {given[key].input_line}, or {line}")
        swept |= {key} if override.is_sweep_override() else set()
        given[key] = override
    space = {key: _dimension(key, override) for key, override in given.items() if override.is_sweep_override()}
    fixed = [str(override.input_line) for override in given.values() if not override.is_sweep_override()]
    if not space:
        raise ConfigError(
            "a sweep in which nothing varies",
            f"one key at least with {GRAMMAR}",
            "choose a space, search_space=NAME, or vary a key: 'optimizer.lr=tag(log,interval(0.001,0.1))'",
        )
    return SearchSpace(space), fixed


def _parse(line: str) -> Override:
    try:
        return OverridesParser.create().parse_override(line)
    except HydraException as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{line}: {reason}", f"a value, or {GRAMMAR}", "correct it; null stands in the plain form only: key=null,1"
        ) from error


def _dimension(key: str, override: Override) -> Dimension:
    sweep = override.value()
    if override.is_delete():
        raise _refused(key, override, "nothing can be deleted in some trials only")
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        raise _refused(key, override, "glob(...) depends on what is installed", f"list the names: {key}=choice(a,b)")
    assert isinstance(sweep, ChoiceSweep | RangeSweep | IntervalSweep)
    if not isinstance(sweep, IntervalSweep) and sweep.shuffle:
        raise _refused(key, override, "shuffle(...) gives another order each time", "hydra.sweeper.sampler=random")
    log = "log" in sweep.tags
    unknown = sorted(sweep.tags - {"log"}) or (["log"] if log and not isinstance(sweep, IntervalSweep) else [])
    if unknown:
        raise _refused(key, override, f"the tag {', '.join(unknown)} means nothing here", "tag(log,interval(low,high))")
    if isinstance(sweep, IntervalSweep):
        return _interval(key, override, sweep, log)
    if isinstance(sweep, RangeSweep):
        return _range(key, override, sweep)
    return _choice(key, override, sweep)


def _choice(key: str, override: Override, sweep: ChoiceSweep) -> Choice:
    values: list[Value] = []
    for entry in sweep.list:
        if isinstance(entry, list | dict):
            raise _refused(key, override, f"{entry} is no single value", "vary its parts, each with a key of its own")
        values.append(entry.text if isinstance(entry, QuotedString) else entry)
    typed = [(type(value), value) for value in values]
    twice = [value for number, (kind, value) in enumerate(typed) if (kind, value) in typed[:number]]
    if twice:
        raise _refused(key, override, f"{render(twice[0])} stands there twice")
    return Choice(tuple(values))


def _range(key: str, override: Override, sweep: RangeSweep) -> Range:
    assert sweep.start is not None
    assert sweep.stop is not None
    finite = all(math.isfinite(part) for part in (sweep.start, sweep.stop, sweep.step))
    if not finite or sweep.step == 0 or (sweep.stop - sweep.start) / sweep.step <= 0:
        raise _refused(key, override, "it holds no value", "range(start, stop, step), which ends before stop")
    if (sweep.stop - sweep.start) / sweep.step > _LONGEST:
        raise _refused(key, override, f"it holds more than {_LONGEST} values", "interval(...) or int(interval(...))")
    return Range(sweep.start, sweep.stop, sweep.step)


def _interval(key: str, override: Override, sweep: IntervalSweep, log: bool) -> Interval:
    low, high = sweep.start, sweep.end
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise _refused(key, override, f"its low {low} is not below its high {high}", "interval(low, high), low < high")
    if log and low <= 0:
        raise _refused(key, override, f"its low {low} has no logarithm", "tag(log,interval(low, high)), low > 0")
    return Interval(low, high, log, whole=isinstance(low, int))


def _refused(key: str, override: Override, reason: str, hint: str = "") -> ConfigError:
    text = str(override.input_line)
    return ConfigError(f"{text}: {reason}", GRAMMAR, hint or f"correct {key}")
