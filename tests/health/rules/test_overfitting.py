from __future__ import annotations

import math

import pytest

from dogbreed.errors import ConfigError
from dogbreed.health.findings import Status
from dogbreed.health.rules.overfitting import (
    ABOVE_TRAIN_AND_RISING,
    BOTH_STOPPED,
    LITTLE_HOLDS,
    TRAIN_STOPPED,
    VAL_STOPPED,
    Passes,
)
from dogbreed.health.samples import Facts, Mode, Sample

SETTINGS = {"optimizer.lr": 0.003, "optimizer.weight_decay": 0.0}


def show(rule, train, val, batches=2):
    """An epoch for each pair of mean losses, in batches that differ."""
    for epoch, pair in enumerate(zip(train, val, strict=True)):
        modes: tuple[Mode, Mode] = ("TRAIN", "EVAL")
        for mode, loss in zip(modes, pair, strict=True):
            losses = tuple((10 * epoch + n, loss * (1 + (n - (batches - 1) / 2) / 10)) for n in range(batches))
            step = 10 * epoch + (9 if mode == "TRAIN" else 10)
            rule.see(Sample(step, mode, epoch, losses=losses, ends_epoch=True))


def test_passes__end_with_the_sample_that_says_so():
    passes = Passes()
    assert passes.add(Sample(0, "TRAIN", 0, losses=((0, 1.0),))) == []
    assert passes.add(Sample(1, "TRAIN", 0, losses=((1, 3.0),), ends_epoch=True)) == [(0, 2.0)]


def test_passes__end_with_the_next_epoch_where_nothing_says_so():
    passes = Passes()
    passes.add(Sample(0, "EVAL", 0, losses=((0, 1.0),)))
    assert passes.add(Sample(1, "EVAL", 1, losses=((1, 5.0),), ends_epoch=True)) == [(0, 1.0), (1, 5.0)]


def test_overfit__compares_the_means_since_the_last_evaluation(make):
    rule = make("Overfit")
    show(rule, [9.0, 1.0], [9.0, 1.2])
    assert rule.finding.step == 20
    assert rule.finding.value == pytest.approx(0.2)


def test_overfit__is_quiet_within_the_ratio(make):
    rule = make("Overfit")
    show(rule, [1.0, 0.5], [1.05, 0.54])
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_overfit__needs_both_losses(make):
    rule = make("Overfit")
    rule.see(Sample(9, "TRAIN", losses=((0, 1.0),), ends_epoch=True))
    assert rule.outcome(Facts()).reason == "no losses of TRAIN and EVAL so far"


def test_overfit__is_patient(make):
    rule = make("Overfit", patience=2)
    show(rule, [1, 1, 1, 1], [2, 1, 2, 2])
    assert (rule.violations, rule.finding.step) == (1, 40)


def test_overfit__begins_at_its_start_step(make):
    rule = make("Overfit", start_step=20)
    show(rule, [1, 1], [2, 2])
    assert (rule.datapoints, rule.finding.step) == (1, 20)


def test_overfit__of_a_healthy_probe_is_awss_alarm_alone(make):
    train, val = [2.0, 0.5, 0.1, 0.1], [1.5, 0.7, 0.6, 0.6]
    ours, awss = make("Overfit", "default"), make("Overfit")
    show(ours, train, val)
    show(awss, train, val)
    assert (ours.finding, awss.finding.step) == (None, 20)


def test_overfit__fires_by_default_where_val_rises(make):
    rule = make("Overfit", "default", patience=2)
    show(rule, [2.0, 0.5, 0.1, 0.1], [1.5, 0.7, 0.9, 1.2])
    finding = rule.outcome(Facts(settings=SETTINGS)).finding
    assert (finding.clause, finding.step) == (ABOVE_TRAIN_AND_RISING, 40)
    assert "0.7 in epoch 2" in finding.meaning
    assert "callbacks=early_stopping" in finding.remedy
    assert "optimizer.weight_decay=0.01" in finding.remedy


def test_overfit__by_default_forgives_a_jump_that_recovers(make):
    rule = make("Overfit", "default")
    show(rule, [2.0, 1.0, 0.8, 0.6, 0.5, 0.4], [1.5, 0.7, 1.2, 1.2, 1.2, 0.6])
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


@pytest.mark.parametrize(("val", "found"), [(2.0, True), (1.3, False)])
def test_overfit__fires_by_default_where_little_holds_on_val(make, val, found):
    rule = make("Overfit", "default", patience=1)
    rule.see(Sample(9, "TRAIN", losses=((0, 0.5),), ends_epoch=True))
    ten_classes = tuple((label, 0, 3) for label in range(10))  # guessing among them costs log(10) = 2.30
    rule.see(Sample(10, "EVAL", losses=((0, val),), pairs=ten_classes, ends_epoch=True))
    assert (rule.finding is not None) == found
    if found:
        assert rule.finding.clause == LITTLE_HOLDS
        assert rule.finding.value == pytest.approx((math.log(10) - 2.0) / (math.log(10) - 0.5))


def test_overfit__does_not_repeat_what_the_run_has(make):
    rule = make("Overfit")
    show(rule, [1.0], [2.0])
    had = {"callbacks.early_stopping.patience": 3, "augmentation._target_": "x", "optimizer.weight_decay": 0.01}
    assert rule.outcome(Facts(settings=had)).finding.remedy == ("optimizer.weight_decay=0.1",)


def test_overfit__passes_nan_over(make):
    rule = make("Overfit")
    show(rule, [math.nan, 1.0], [1.0, math.nan])
    assert rule.datapoints == 0


def test_overfit__on_a_loss_of_zero_is_infinite(make):
    rule = make("Overfit")
    show(rule, [0.0], [1.0])
    assert rule.finding.value == math.inf


def epochs(make, **changes):
    return make("Overtraining", unit="epochs", patience_train=2, patience_validation=3, delta=0.0, **changes)


def test_overtraining__counts_since_the_best_on_val(make):
    rule = epochs(make, sides="validation")
    show(rule, [5, 4, 3, 2, 1], [3, 2, 2.5, 2.4, 2.3])
    finding = rule.outcome(Facts(settings={**SETTINGS, "callbacks.early_stopping.patience": 3})).finding
    assert (finding.clause, finding.step, finding.value) == (VAL_STOPPED, 50, 3)
    assert finding.remedy == ("trainer.max_epochs=2",)


def test_overtraining__is_quiet_while_val_falls(make):
    rule = epochs(make, sides="validation")
    show(rule, [1, 1, 1, 1, 1], [5, 4, 3, 2, 1])
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_overtraining__may_look_at_train_too(make):
    rule = epochs(make, sides="either")
    show(rule, [1, 1, 1, 1, 1], [5, 4, 3, 2, 1])
    assert rule.finding.clause == TRAIN_STOPPED


@pytest.mark.parametrize(("val", "clause"), [([5, 4, 3, 2, 1], None), ([1, 1, 1, 1, 1], BOTH_STOPPED)])
def test_overtraining__may_ask_for_both(make, val, clause):
    rule = epochs(make, sides="both")
    show(rule, [1, 1, 1, 1, 1], val)
    assert (rule.finding and rule.finding.clause) == clause


def test_overtraining__needs_more_than_its_patience(make):
    rule = epochs(make, sides="validation")
    show(rule, [1, 1, 1], [1, 1, 1])
    outcome = rule.outcome(Facts())
    assert (outcome.status, outcome.reason) == (Status.NOT_ENOUGH, "3 of 4 evaluations of EVAL")


def test_overtraining__counts_batches_as_aws_does(make):
    rule = make("Overtraining")
    rule.see(Sample(6, "TRAIN", losses=tuple(enumerate([1.0, 0.995, 0.995, 0.995, 0.995, 0.995, 0.5]))))
    assert (rule.violations, rule.datapoints) == (1, 2)


def test_overtraining__names_a_near_word(make):
    with pytest.raises(ConfigError, match="did you mean epochs"):
        make("Overtraining", unit="epoch")
