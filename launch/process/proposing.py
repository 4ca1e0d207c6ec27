"""What a tuning job tries next: the requested strategy, by this library's own proposals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Value
from dogbreed.sweeps.proposals import Proposals, Setting
from dogbreed.sweeps.space import SearchSpace

#: Strategy -> who draws. Hyperband's settings are drawn at random; what it adds is whom it stops.
SAMPLERS = {"Bayesian": "tpe", "Random": "random", "Grid": "grid", "Hyperband": "random"}
_SCALES = ("Auto", "Linear", "Logarithmic")


def make_proposals(config: Mapping[str, Any]) -> Proposals:
    """The proposals of a tuning job.

    Args:
        config: HyperParameterTuningJobConfig.

    Raises:
        ConfigError: ranges that cannot be rehearsed, or Optuna is missing.
    """
    kind = config["HyperParameterTuningJobObjective"]["Type"]
    space = space_of(config["ParameterRanges"])
    numbers = [key for key, dimension in space.dimensions.items() if not isinstance(dimension, Choice)]
    if config["Strategy"] == "Grid" and numbers:
        raise ConfigError(f"{numbers[0]} in a grid", "categorical ranges, as SageMaker takes them", "list its values")
    direction = "max" if kind == "Maximize" else "min"
    return Proposals(space, SAMPLERS[config["Strategy"]], seed=config.get("RandomSeed", 0), direction=direction)


def space_of(ranges: Mapping[str, Any]) -> SearchSpace:
    """ParameterRanges as a search space; categorical values are the texts that they are.

    >>> space_of({"IntegerParameterRanges": [{"Name": "width", "MinValue": "1", "MaxValue": "9"}]}).describe()
    {'width': 'int(interval(1,9))'}

    Raises:
        ConfigError: a scaling that there is no sampler for here.
    """
    dimensions: dict[str, Dimension] = {}
    for entry in ranges.get("ContinuousParameterRanges", []):
        dimensions[entry["Name"]] = _interval(entry, whole=False)
    for entry in ranges.get("IntegerParameterRanges", []):
        dimensions[entry["Name"]] = _interval(entry, whole=True)
    for entry in ranges.get("CategoricalParameterRanges", []):
        dimensions[entry["Name"]] = Choice(tuple(entry["Values"]))
    return SearchSpace(dimensions)


def texts_of(setting: Setting) -> dict[str, str]:
    """A setting as TunedHyperParameters: numbers as plain texts, categorical values verbatim.

    >>> texts_of({"lr": 0.01, "width": 3, "head": '"mlp"'})
    {'lr': '0.01', 'width': '3', 'head': '"mlp"'}
    """
    return {key: value if isinstance(value, str) else repr(value) for key, value in setting.items()}


def learn(proposals: Proposals, trials: Iterable[Mapping[str, Any]]) -> int:
    """Tell what the trials of an earlier tuning job have reached; how many of them lie in this space.

    Args:
        proposals: that are to learn.
        trials: their summaries.
    """
    known = 0
    for trial in trials:
        reached = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
        setting = _setting_of(proposals.space, trial["TunedHyperParameters"])
        if reached is not None and setting is not None:
            proposals.learn(setting, reached["Value"])
            known += 1
    return known


def _setting_of(space: SearchSpace, tuned: Mapping[str, str]) -> Setting | None:
    """The setting that these texts stand for; None for one outside of the space."""
    setting: Setting = {}
    for key, dimension in space.dimensions.items():
        if key not in tuned:
            return None
        value: Value = tuned[key]
        if isinstance(dimension, Interval):
            number = float(tuned[key])
            value = int(number) if dimension.whole else number
            if not dimension.low <= number <= dimension.high:
                return None
        elif isinstance(dimension, Choice) and value not in dimension.values:
            return None
        setting[key] = value
    return setting


def _interval(entry: Mapping[str, str], *, whole: bool) -> Interval:
    scale = entry.get("ScalingType", "Auto")
    if scale not in _SCALES:
        raise ConfigError(f"{entry['Name']} with the scaling {scale}", ", ".join(_SCALES), "or run it at AWS")
    return Interval(float(entry["MinValue"]), float(entry["MaxValue"]), scale == "Logarithmic", whole)
