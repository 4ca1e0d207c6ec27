from __future__ import annotations

import math

import pytest
import torch

from dogbreed.health.findings import Status
from dogbreed.health.rules.tensors import IN_INPUTS, IN_LOSS, IN_TENSOR
from dogbreed.health.samples import Facts, PictureStats, Sample

GRADIENT = "gradient/Network_head.linear.weight"


def test_vanishing__names_the_smallest_gradient(make, measured):
    rule = make("VanishingGradient")
    values = torch.full((4, 4), -1e-8)
    rule.see(measured(3, {GRADIENT: ("gradients", values), "gradient/other": ("gradients", torch.ones(3))}))
    assert (rule.finding.step, rule.finding.tensor) == (3, GRADIENT)
    assert rule.finding.value == pytest.approx(1e-8)


def test_vanishing__means_the_absolute_values(make, measured):
    rule = make("VanishingGradient")
    rule.see(measured(0, {GRADIENT: ("gradients", torch.tensor([1.0, -1.0]))}))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_vanishing__without_gradients_has_no_data(make, measured):
    rule = make("VanishingGradient")
    rule.see(measured(0, {"weight": ("weights", torch.zeros(3))}))
    assert rule.outcome(Facts()).reason == "no gradients so far"


def test_vanishing__takes_no_mean_of_nan(make, measured):
    rule = make("VanishingGradient")
    rule.see(measured(0, {GRADIENT: ("gradients", torch.full((3,), math.nan))}))
    assert rule.datapoints == 0


@pytest.mark.parametrize(("loss", "found"), [(2.0, True), (0.01, False)])
def test_vanishing__by_default_only_while_there_is_something_to_learn(make, measured, loss, found):
    rule = make("VanishingGradient", "default")
    rule.see(measured(5, {GRADIENT: ("gradients", torch.zeros(3))}, losses=((5, loss),)))
    assert (rule.finding is not None) is found


def test_exploding__counts_nan_and_inf(make, measured):
    rule = make("ExplodingTensor")
    rule.see(measured(2, {"w": ("weights", torch.tensor([1.0, math.nan, math.inf, -math.inf]))}))
    assert (rule.finding.clause, rule.finding.tensor, rule.finding.value) == (IN_TENSOR, "w", 3)


def test_exploding__may_look_for_nan_alone(make, measured):
    rule = make("ExplodingTensor", only_nan=True)
    rule.see(measured(2, {"w": ("weights", torch.tensor([1.0, math.inf]))}, losses=((2, math.inf),)))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_exploding__without_samples_has_no_data(make):
    rule = make("ExplodingTensor")
    rule.see_pictures(PictureStats(3, 0.0))
    assert rule.outcome(Facts()).status is Status.NOT_ENOUGH


def test_exploding__names_the_earliest_loss_before_a_later_tensor(make, measured):
    rule = make("ExplodingTensor")
    bad = torch.tensor([math.nan])
    rule.see(measured(50, {"w": ("weights", bad)}, losses=((48, 1.0), (49, math.nan), (50, math.nan))))
    assert (rule.finding.clause, rule.finding.step) == (IN_LOSS, 49)


def test_exploding__names_the_inputs_before_the_loss_of_the_same_step(make, measured):
    rule = make("ExplodingTensor")
    bad = torch.tensor([math.nan])
    rule.see(measured(7, {"w": ("weights", bad), "inputs of a.jpg": ("inputs", bad)}, losses=((6, 1.0), (7, math.nan))))
    finding = rule.outcome(Facts()).finding
    assert (finding.clause, finding.tensor) == (IN_INPUTS, "inputs of a.jpg")
    assert "a.jpg" in finding.advice


def test_exploding__of_eval_has_the_trainings_step(make):
    rule = make("ExplodingTensor")
    rule.see(Sample(40, "EVAL", losses=((3, math.inf),)))
    assert rule.finding.step == 40


def test_exploding__by_default_leaves_gradients_to_the_scaler(make, measured):
    sample = measured(0, {GRADIENT: ("gradients", torch.tensor([math.inf]))})
    ours, awss = make("ExplodingTensor", "default"), make("ExplodingTensor")
    ours.see(sample)
    awss.see(sample)
    assert (ours.violations, awss.violations) == (0, 1)


@pytest.mark.parametrize(
    ("before", "remedy"),
    [([2.0, 900.0], ("optimizer.lr=0.3", "trainer.gradient_clip_val=1.0")), ([2.0, 1.5], ())],
    ids=["after it grew", "out of the blue"],
)
def test_exploding__lowers_the_rate_only_where_the_loss_had_grown(make, before, remedy):
    rule = make("ExplodingTensor")
    rule.see(Sample(2, "TRAIN", losses=tuple(enumerate([*before, math.nan]))))
    finding = rule.outcome(Facts(settings={"optimizer.lr": 3.0})).finding
    assert finding.remedy == remedy


def test_zero__names_a_tensor_that_is_zero(make, measured):
    rule = make("AllZero")
    rule.see(measured(1, {"a": ("weights", torch.zeros(5)), "b": ("gradients", torch.ones(5))}))
    assert (rule.finding.tensor, rule.finding.value) == ("a", 100)


def test_zero__is_quiet_with_a_single_other_value(make, measured):
    rule = make("AllZero")
    rule.see(measured(1, {"a": ("weights", torch.tensor([0.0, 0.0, 1e-9]))}))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_zero__has_a_threshold(make, measured):
    rule = make("AllZero", threshold=60.0)
    rule.see(measured(1, {"a": ("weights", torch.tensor([0.0, 0.0, 1e-9]))}))
    assert rule.finding.value == pytest.approx(200 / 3)


@pytest.mark.parametrize(("before", "found"), [(0.0, False), (1.0, True)])
def test_zero__biases_may_begin_so_until_they_have_been_something(make, measured, before, found):
    rule = make("AllZero")
    for step, value in enumerate((before, 0.0)):
        rule.see(measured(step, {"bias": ("biases", torch.full((3,), value)), "a": ("weights", torch.ones(3))}))
    assert (rule.finding is not None) is found


def test_zero__without_tensors_has_no_data(make):
    rule = make("AllZero")
    rule.see(Sample(0, "TRAIN", losses=((0, 0.0),)))
    assert rule.outcome(Facts()).reason == "no tensors so far"


def test_stalled__fires_on_a_gap(make):
    rule = make("StalledTraining")
    for step, seconds in enumerate((0.0, 10.0, 1900.0)):
        rule.see(Sample(step, "TRAIN", seconds=seconds))
    assert (rule.finding.step, rule.finding.value) == (2, 1890)


def test_stalled__is_quiet_while_samples_come(make):
    rule = make("StalledTraining")
    for step in range(5):
        rule.see(Sample(step, "EVAL" if step % 2 else "TRAIN", seconds=1800.0 * step))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_stalled__needs_two_samples(make):
    rule = make("StalledTraining")
    rule.see(Sample(0, "TRAIN", seconds=5000.0))
    assert rule.outcome(Facts()).reason == "1 of 2 samples"
