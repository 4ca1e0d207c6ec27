from __future__ import annotations

import math

import pytest

from dogbreed.health.findings import Status
from dogbreed.health.rules.losses import NOT_FALLEN, RISEN
from dogbreed.health.samples import Facts, Sample


def train(*losses: tuple[int, float]) -> Sample:
    return Sample(losses[-1][0], "TRAIN", losses=losses)


UPSTREAM = train((0, 0.30), (4, 0.33), (8, 0.31), (12, 0.30), (16, 0.28))


def test_loss__fires_at_12_only_on_upstreams_example(make):
    rule = make("LossNotDecreasing")
    rule.see(UPSTREAM)
    assert (rule.violations, rule.finding.step, rule.finding.clause) == (1, 12, NOT_FALLEN)


@pytest.mark.parametrize(("was", "now"), [(0, 12), (12, 24), (24, 36)])
def test_loss__is_compared_in_upstreams_pairs(make, was, now):
    rule = make("LossNotDecreasing")
    # Saved every third step; a fall everywhere but between the two.
    rule.see(train(*((step, 1 / (1 + step) if step != now else 1 / (1 + was)) for step in range(0, 39, 3))))
    assert rule.violations == 1
    assert f"at step {was} " in rule.finding.meaning
    assert f"at step {now}:" in rule.finding.meaning


def test_loss__does_not_care_how_the_losses_are_split_into_samples(make):
    whole, split = make("LossNotDecreasing"), make("LossNotDecreasing")
    whole.see(UPSTREAM)
    for entry in UPSTREAM.losses:
        split.see(train(entry))
    assert whole.outcome(Facts()) == split.outcome(Facts())


def test_loss__says_so_where_it_rises(make):
    rule = make("LossNotDecreasing")
    rule.see(train((0, 1.0), (10, 1.06)))
    assert rule.finding.clause == RISEN
    assert rule.finding.value == pytest.approx(6)


def test_loss__that_falls_is_quiet(make):
    rule = make("LossNotDecreasing")
    rule.see(train(*((step, 1 / (1 + step)) for step in range(100))))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_loss__of_eval_is_no_matter(make):
    rule = make("LossNotDecreasing")
    rule.see(Sample(0, "EVAL", losses=((0, 1.0), (20, 1.0))))
    assert rule.outcome(Facts()).reason == "no losses of TRAIN so far"


def test_loss__needs_two_that_are_apart(make):
    rule = make("LossNotDecreasing")
    rule.see(train((0, 1.0), (7, 1.0)))
    outcome = rule.outcome(Facts())
    assert outcome.status is Status.NOT_ENOUGH
    assert outcome.reason == "7 of 10 steps between two losses of TRAIN"


def test_loss__needs_enough_to_average(make):
    rule = make("LossNotDecreasing", smoothing=5)
    rule.see(train((0, 1.0), (1, 1.0)))
    assert rule.outcome(Facts()).reason == "2 of 5 losses of TRAIN to average"


def test_loss__that_is_nan_is_passed_over(make):
    rule = make("LossNotDecreasing")
    rule.see(train((0, 1.0), (5, math.nan), (10, 0.5)))
    assert (rule.datapoints, rule.violations) == (1, 0)


def test_loss__is_the_mean_of_the_newest(make):
    rule = make("LossNotDecreasing", smoothing=2, num_steps=2)
    rule.see(train((0, 1.0), (1, 3.0), (2, 1.0), (3, 2.9)))  # means 2, 2, 1.95
    assert (rule.datapoints, rule.violations) == (1, 0)


def test_loss__may_stay_where_it_has_fallen_enough(make):
    plateau = [(0, 1.0), *((step, 0.5) for step in range(1, 60))]
    content, strict = make("LossNotDecreasing", content_after_percent=10.0), make("LossNotDecreasing")
    content.see(train(*plateau))
    strict.see(train(*plateau))
    assert (content.finding, strict.violations) == (None, 4)


@pytest.mark.parametrize(
    ("losses", "rate", "remedy"),
    [
        ((1.0, 1.0), 1e-7, ("optimizer.lr=0.003",)),
        ((1.0, 2.0), 0.01, ("optimizer.lr=0.001",)),
        ((1.0, 1.0), 0.003, ()),
    ],
    ids=["far too low", "rises", "flat at the usual rate"],
)
def test_loss__remedy_moves_the_rate(make, losses, rate, remedy):
    rule = make("LossNotDecreasing")
    rule.see(train((0, losses[0]), (10, losses[1])))
    finding = rule.outcome(Facts(settings={"optimizer.lr": rate}, defaults={"optimizer.lr": 0.003})).finding
    assert finding.remedy == remedy
    assert finding.remedy or finding.advice


def test_loss__without_settings_has_advice_alone(make):
    rule = make("LossNotDecreasing")
    rule.see(UPSTREAM)
    finding = rule.outcome(Facts()).finding
    assert (finding.remedy, bool(finding.advice)) == ((), True)
