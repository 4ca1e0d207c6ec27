"""Faults in the real training of a head: each is named first, by its rule, and the rest are its consequences."""

from __future__ import annotations

import math

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from dogbreed.health.findings import Status


def findings(outcomes):
    return [outcome for outcome in outcomes if outcome.status is Status.ISSUES]


@pytest.mark.parametrize("hidden", [0, 64], ids=["linear", "mlp"])
@pytest.mark.parametrize("rate", [0.003, 0.01, 0.03])
def test_healthy__has_no_finding_by_default(lesson, hidden, rate):
    healthy = lesson(hidden=hidden)
    healthy.rate = rate
    outcomes = healthy.give("default")
    assert findings(outcomes) == []
    assert not [outcome for outcome in outcomes if outcome.status is Status.ERROR]


def test_healthy__alarms_awss_values(lesson):
    found = {outcome.rule for outcome in findings(lesson().give("aws"))}
    assert {"Overfit", "Overtraining"} <= found


def high_rate(lesson):
    spoiled = lesson()
    spoiled.rate = 10.0
    return spoiled


def high_rate_mlp(lesson):
    spoiled = lesson(hidden=64)
    spoiled.rate = 10.0
    return spoiled


def zero_rate(lesson):
    spoiled = lesson()
    spoiled.rate = 0.0
    return spoiled


def dead_relu(lesson):
    spoiled = lesson(hidden=64)
    with torch.no_grad():
        spoiled.head[0].bias.fill_(-1000.0)
    return spoiled


def equal_labels(lesson):
    spoiled = lesson()
    spoiled.val = spoiled.val[0], torch.zeros_like(spoiled.val[1])
    return spoiled


def missing_class(lesson):
    spoiled = lesson()
    kept = spoiled.train[1] != 3
    spoiled.train = spoiled.train[0][kept], spoiled.train[1][kept]
    return spoiled


def few_pictures(lesson):
    spoiled = lesson(classes=4, pictures=5, noise=4.0)
    spoiled.epochs = 30
    return spoiled


def nan_picture(lesson):
    spoiled = lesson()
    spoiled.train[0][77] = math.nan
    return spoiled


FAULTS = {
    high_rate: "WeightUpdateRatio",
    high_rate_mlp: "WeightUpdateRatio",
    zero_rate: "UnchangedTensor",
    dead_relu: "DeadRelu",
    equal_labels: "ClassImbalance",
    missing_class: "ClassImbalance",
    few_pictures: "Overfit",
    nan_picture: "ExplodingTensor",
}


@pytest.mark.parametrize(("fault", "rule"), FAULTS.items(), ids=[fault.__name__ for fault in FAULTS])
def test_fault__is_ranked_first_and_explains_the_rest(lesson, fault, rule):
    first, *others = findings(fault(lesson).give("default"))
    assert (first.rule, first.consequence_of) == (rule, None)
    assert {outcome.rule: outcome.consequence_of for outcome in others} == dict.fromkeys((o.rule for o in others), rule)


@pytest.mark.parametrize("fault", [high_rate, high_rate_mlp, zero_rate], ids=lambda fault: fault.__name__)
def test_remedy__makes_the_finding_go_away(lesson, fault):
    spoiled = fault(lesson)
    hidden = 64 if len(spoiled.head) > 1 else 0
    (first, *_) = findings(spoiled.give("default"))
    (override,) = first.finding.remedy
    parsed, mended = OverridesParser.create().parse_override(override), lesson(hidden=hidden)
    assert parsed.key_or_group == "optimizer.lr"
    mended.rate = parsed.value()
    assert isinstance(mended.rate, float)
    assert findings(mended.give("default")) == []
