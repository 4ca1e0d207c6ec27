from __future__ import annotations

import numpy as np
import pytest
import torch

from dogbreed.health.findings import Status
from dogbreed.health.rules.updates import LARGE, SMALL
from dogbreed.health.samples import Facts, Measure, Sample


def walk(rule, measured, *values, collection="weights", name="w", losses=None):
    """Show the rule a tensor at steps 0, 1, ..."""
    for step, now in enumerate(values):
        last = {name: values[step - 1]} if step else None
        more = {} if losses is None else {"losses": ((step, losses[step]),)}
        rule.see(measured(step, {name: (collection, now)}, last, rule.measure(Measure()), **more))


@pytest.mark.parametrize("change", [0.0, 1e-9, 9e-9, 1.2e-8, 1e-6, 9e-6, 1.2e-5, 1e-3])
@pytest.mark.parametrize("size", [0.0, 1.0, 1000.0])
def test_unchanged__is_what_numpy_calls_close(make, measured, size, change):
    rule = make("UnchangedTensor")
    first = torch.full((3,), size, dtype=torch.float64)
    second, third = first.clone(), first.clone()
    third[1] += change * max(1.0, size)
    # summarise measures in float32, so the oracle compares what is left of the tensors there.
    walk(rule, measured, first, second, third)
    close = np.allclose(third.float().numpy(), second.float().numpy(), rtol=rule.rtol, atol=rule.atol)
    assert (rule.finding is not None) is close


def test_unchanged__counts_samples_in_a_row(make, measured):
    rule = make("UnchangedTensor", num_steps=4)
    still, moved = torch.ones(2), torch.zeros(2)
    walk(rule, measured, still, still, still, moved, moved, moved, moved)
    assert (rule.violations, rule.finding.step) == (1, 6)


def test_unchanged__is_quiet_while_tensors_move(make, measured):
    rule = make("UnchangedTensor")
    walk(rule, measured, *(torch.full((2,), float(step)) for step in range(5)))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_unchanged__needs_its_samples(make, measured):
    rule = make("UnchangedTensor")
    walk(rule, measured, torch.ones(2), torch.ones(2))
    assert rule.outcome(Facts()).reason == "2 of 3 samples of a tensor"


def test_unchanged__does_not_look_at_evaluations(make, measured):
    rule = make("UnchangedTensor")
    values = torch.ones(2)
    for step in range(5):
        rule.see(measured(step, {"w": ("weights", values)}, {"w": values}, mode="EVAL"))
    assert rule.datapoints == 0


def test_unchanged__names_weights_first(make, measured):
    rule = make("UnchangedTensor")
    tensors = {"gradient/w": ("gradients", torch.zeros(2)), "w": ("weights", torch.ones(2))}
    for step in range(3):
        rule.see(measured(step, tensors, {name: values for name, (_, values) in tensors.items()} if step else None))
    assert rule.finding.tensor == "w"
    assert rule.details(Facts()) == {"unchanged": ["w", "gradient/w"]}


def test_unchanged__by_default_means_to_the_last_bit(make, measured):
    rule = make("UnchangedTensor", "default")
    walk(rule, measured, *(torch.full((2,), 1 + step * 2**-22) for step in range(7)))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_unchanged__sets_a_rate_of_zero_to_the_usual_one(make, measured):
    rule = make("UnchangedTensor")
    walk(rule, measured, *[torch.ones(2)] * 3)
    facts = Facts(settings={"optimizer.lr": 0.0}, defaults={"optimizer.lr": 0.003})
    assert rule.outcome(facts).finding.remedy == ("optimizer.lr=0.003",)


def test_ratio__is_of_l2_norms(make, measured):
    rule = make("WeightUpdateRatio", large_threshold=2.0)
    before, after = torch.tensor([3.0, 4.0]), torch.tensor([-9.0, -1.0])
    walk(rule, measured, before, after)
    assert rule.finding.clause == LARGE
    assert rule.finding.value == pytest.approx(float(np.linalg.norm(after - before) / np.linalg.norm(before)))


def test_ratio__of_a_healthy_step_is_quiet(make, measured):
    rule = make("WeightUpdateRatio")
    walk(rule, measured, torch.ones(4), torch.full((4,), 1.01))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_ratio__names_small_updates(make, measured):
    rule = make("WeightUpdateRatio")
    walk(rule, measured, torch.ones(4), torch.ones(4))
    assert (rule.finding.clause, rule.finding.value) == (SMALL, 0)


def test_ratio__needs_two_samples(make, measured):
    rule = make("WeightUpdateRatio")
    walk(rule, measured, torch.ones(4))
    assert rule.outcome(Facts()).reason == "no weights at two steps so far"


def test_ratio__of_weights_that_were_zero_is_no_data(make, measured):
    rule = make("WeightUpdateRatio")
    walk(rule, measured, torch.zeros(4), torch.ones(4))
    assert rule.datapoints == 0


def test_ratio__does_not_look_at_evaluations(make):
    rule = make("WeightUpdateRatio")
    rule.see(Sample(3, "EVAL"))
    assert rule.datapoints == 0


@pytest.mark.parametrize(
    ("losses", "found"),
    [([2.0, 5.0, 5.0], True), ([2.0, 2.5, 5.0], True), ([2.0, 2.1, 1.0], False)],
    ids=["at once", "a little later", "never"],
)
def test_ratio__by_default_counts_only_where_the_loss_grows(make, measured, losses, found):
    rule = make("WeightUpdateRatio", "default")
    walk(rule, measured, torch.ones(4), torch.full((4,), 9.0), torch.full((4,), 9.1), losses=losses)
    assert (rule.finding is not None) is found
    assert rule.finding is None or rule.finding.step == 1


def test_ratio__forgets_a_large_update_that_did_no_harm(make, measured):
    rule = make("WeightUpdateRatio", "default")
    values = [torch.ones(4), *(torch.full((4,), 9 + step / 100) for step in range(20))]
    walk(rule, measured, *values, losses=[2.0] * 20 + [5.0])
    assert rule.violations == 0


def test_ratio__remedy_comes_from_what_was_measured(make, measured):
    rule = make("WeightUpdateRatio")
    walk(rule, measured, torch.ones(4), torch.full((4,), 21.0))  # a ratio of 20, where 0.01 is healthy
    assert rule.outcome(Facts(settings={"optimizer.lr": 3.0})).finding.remedy == ("optimizer.lr=0.002",)
