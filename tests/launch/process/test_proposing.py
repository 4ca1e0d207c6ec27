"""Ranges as a search space of this library, and what earlier tuning jobs have taught."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dogbreed.errors import ConfigError
from dogbreed.sweeps.space import parse_space
from launch.process.proposing import learn, make_proposals, space_of
from launch.search_space import to_ranges, values_of

CONFIG: dict[str, Any] = {
    "Strategy": "Bayesian",
    "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "val/acc"},
    "ParameterRanges": {
        "ContinuousParameterRanges": [
            {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1.0", "ScalingType": "Logarithmic"}
        ],
        "CategoricalParameterRanges": [{"Name": "head", "Values": ['"linear"', '"mlp"']}],
    },
}


def earlier(count: int) -> list[dict[str, Any]]:
    """Summaries of trials that were best at rate=0.01, and of one that reached nothing."""
    rates = 10 ** np.random.default_rng(0).uniform(-4, 0, count)
    reached = [
        {
            "TunedHyperParameters": {"rate": repr(float(rate)), "head": '"mlp"'},
            "FinalHyperParameterTuningJobObjectiveMetric": {"Value": -((math.log10(rate) + 2) ** 2)},
        }
        for rate in rates
    ]
    return [*reached, {"TunedHyperParameters": {"rate": "0.5", "head": '"mlp"'}}]


def test_space__is_that_of_the_ranges() -> None:
    params = {
        "lr": "tag(log,interval(0.001,0.1))",
        "width": "int(interval(1,9))",
        "size": "16,'16',null",
        "drop": "0,1",
    }
    space, _ = parse_space(params, [])
    proposals = make_proposals(CONFIG | {"ParameterRanges": to_ranges(space, "Bayesian")})
    assert proposals.space.describe()["lr"] == space.describe()["lr"]
    assert proposals.space.describe()["width"] == space.describe()["width"]
    (setting,) = proposals.ask(1)
    texts = {key: value if isinstance(value, str) else repr(value) for key, value in setting.items()}
    assert values_of(space, texts)["width"] == setting["width"]


def test_space__refuses_a_scaling_that_nobody_draws_from() -> None:
    entry = {"Name": "keep", "MinValue": "0", "MaxValue": "0.9", "ScalingType": "ReverseLogarithmic"}
    with pytest.raises(ConfigError, match="keep with the scaling ReverseLogarithmic"):
        space_of({"ContinuousParameterRanges": [entry]})


def test_learn__turns_to_where_earlier_trials_were_good() -> None:
    def distance(taught: int) -> float:
        proposals, far = make_proposals(CONFIG), []
        assert learn(proposals, earlier(taught)) == taught
        for _ in range(8):
            (setting,) = proposals.ask(1)
            proposals.tell([None])
            far.append(abs(math.log10(float(str(setting["rate"]))) + 2))
        return float(np.mean(far))

    assert distance(40) < distance(0) / 2


def test_learn__leaves_out_what_lies_outside_of_the_space() -> None:
    proposals = make_proposals(CONFIG)
    reached = {"FinalHyperParameterTuningJobObjectiveMetric": {"Value": 1.0}}
    others: list[dict[str, str]] = [{"rate": "2.0", "head": '"mlp"'}, {"rate": "0.1", "head": '"svm"'}, {"rate": "0.1"}]
    assert learn(proposals, [{"TunedHyperParameters": tuned, **reached} for tuned in others]) == 0
