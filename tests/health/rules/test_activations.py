from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dogbreed.errors import ConfigError
from dogbreed.health.findings import Status
from dogbreed.health.rules.activations import ALIKE, INITIAL_LOSS, VARIANCE
from dogbreed.health.samples import Facts, Measure, Sample


def outputs(dead: int, alive: int) -> Tensor:
    """(100, dead + alive): what a ReLU gives; the living are active for half of the batch."""
    values = torch.zeros(100, dead + alive)
    values[:50, dead:] = 1
    return values


def test_dead__counts_the_units_that_are_never_active(make, measured):
    rule = make("DeadRelu")
    rule.see(measured(4, {"head.1_output_0": ("relu_outputs", outputs(6, 4))}))
    assert (rule.finding.tensor, rule.finding.step) == ("head.1_output_0", 4)
    assert rule.finding.value == pytest.approx(60)
    assert rule.details(Facts()) == {"inactive_percent": {"head.1_output_0": 60.0}}


def test_dead__is_quiet_where_half_of_the_layer_lives(make, measured):
    rule = make("DeadRelu")
    rule.see(measured(4, {"head.1_output_0": ("relu_outputs", outputs(5, 5))}))
    assert rule.outcome(Facts(activations=("relu",))).status is Status.NO_ISSUES


def test_dead__counts_channels_of_maps(make, measured):
    rule = make("DeadRelu")
    maps = outputs(6, 4)[:, :, None, None].expand(100, 10, 3, 3)
    rule.see(measured(0, {"act": ("relu_outputs", maps)}))
    assert rule.finding.value == pytest.approx(60)


def test_dead__has_no_data_before_the_first_sample(make):
    assert make("DeadRelu").outcome(Facts(activations=("relu",))).status is Status.NOT_ENOUGH


@pytest.mark.parametrize(
    ("activations", "status"),
    [((), Status.NOT_APPLICABLE), (("tanh",), Status.NOT_APPLICABLE), (None, Status.NOT_ENOUGH)],
    ids=["linear", "tanh", "not known"],
)
def test_dead__applies_to_relus_only(make, activations, status):
    assert make("DeadRelu").outcome(Facts(activations=activations)).status is status


@pytest.mark.parametrize(("layers", "found"), [("head", False), ("all", True)])
def test_dead__looks_at_the_backbone_only_where_asked(make, measured, layers, found):
    rule = make("DeadRelu", layers=layers)
    for name in ("Network_backbone.network.act1_output_0", "backbone.network.layer1.0.relu_output_0"):
        rule.see(measured(0, {name: ("relu_outputs", outputs(9, 1))}))
    assert (rule.finding is not None) is found


def test_dead__looks_at_every_layer_of_somebody_elses_job(make, measured):
    rule = make("DeadRelu")
    rule.see(measured(0, {"layer1.0.relu_relu_output_0": ("relu_outputs", outputs(9, 1))}))
    assert rule.finding is not None


def test_dead__leaves_nan_to_exploding_tensor(make, measured):
    rule = make("DeadRelu")
    rule.see(measured(0, {"act": ("relu_outputs", torch.full((4, 4), math.nan))}))
    assert rule.datapoints == 0


@pytest.mark.parametrize(
    ("step", "remedy", "advice"),
    [(0, (), "head=linear"), (40, ("optimizer.lr=0.003",), "")],
    ids=["from the first", "by training"],
)
def test_dead__remedy_depends_on_when_they_died(make, measured, step, remedy, advice):
    rule = make("DeadRelu")
    rule.see(measured(step, {"act": ("relu_outputs", outputs(9, 1))}))
    facts = Facts(settings={"optimizer.lr": 3.0, "head.hidden": 512}, defaults={"optimizer.lr": 0.003})
    finding = rule.outcome(facts).finding
    assert finding.remedy == remedy, "head=linear cannot stand behind a typed head.hidden=512"
    assert advice in finding.advice


def test_units__name_a_near_word(make):
    with pytest.raises(ConfigError, match="did you mean head"):
        make("DeadRelu", layers="heads")


@pytest.mark.parametrize(
    ("collection", "value", "found"),
    [
        ("tanh_inputs", 9.6, True),
        ("tanh_inputs", -9.6, True),
        ("tanh_inputs", 9.4, False),
        ("sigmoid_inputs", 17.1, True),
        ("sigmoid_inputs", -23.1, True),
        ("sigmoid_inputs", -22.9, False),
    ],
)
def test_saturated__means_beyond_the_bounds(make, measured, collection, value, found):
    rule = make("SaturatedActivation")
    rule.see(measured(1, {"act": (collection, torch.full((8, 3), value))}, measure=rule.measure(Measure())))
    assert (rule.finding is not None) is found


def test_saturated__has_no_data_before_the_first_sample(make):
    outcome = make("SaturatedActivation").outcome(Facts(activations=("sigmoid",)))
    assert outcome.reason == "no inputs of tanh or sigmoid layers so far"


def test_saturated__does_not_apply_to_a_resnet(make):
    outcome = make("SaturatedActivation").outcome(Facts(activations=("relu",)))
    assert outcome.status is Status.NOT_APPLICABLE


def test_poor__compares_the_variances_of_the_layers(make, measured):
    rule = make("PoorWeightInitialization")
    flat, steep = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), None
    steep = 4 * flat
    rule.see(measured(0, {"a": ("activation_inputs", flat), "b": ("activation_inputs", steep)}))
    assert (rule.finding.clause, rule.finding.tensor) == (VARIANCE, "a")
    assert rule.finding.value == pytest.approx(np.var(steep.numpy()) / np.var(flat.numpy()), rel=1e-4)


def test_poor__names_gradients_that_are_all_alike(make, measured):
    rule = make("PoorWeightInitialization")
    values = torch.linspace(0, 1e-4, 101)
    rule.see(measured(0, {"gradient/w": ("gradients", values)}))
    low, high = np.percentile(values.numpy(), [5, 95])
    assert rule.finding.clause == ALIKE
    assert rule.finding.value == pytest.approx(high - low, rel=1e-3)


def test_poor__names_a_loss_that_does_not_fall(make):
    rule = make("PoorWeightInitialization")
    rule.see(Sample(9, "TRAIN", losses=tuple(enumerate([2.0, 1.0, *[1.5] * 5]))))
    assert (rule.finding.clause, rule.finding.step) == (INITIAL_LOSS, 6)


def test_poor__is_quiet_for_a_good_beginning(make, measured):
    rule = make("PoorWeightInitialization")
    tensors = {
        "a": ("activation_inputs", torch.randn(50, 4)),
        "b": ("activation_inputs", torch.randn(50, 4)),
        "gradient/w": ("gradients", torch.linspace(-1, 1, 9)),
    }
    for step in range(10):
        rule.see(measured(step, tensors, losses=((step, 1 / (1 + step)),)))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_poor__does_not_look_at_later_steps(make, measured):
    rule = make("PoorWeightInitialization")
    rule.see(measured(10, {"gradient/w": ("gradients", torch.zeros(9))}, losses=((10, 1.0),)))
    assert rule.outcome(Facts()).reason == "no samples of the first steps so far"
