"""The rules about the steps and about what they wait for, on series that can be checked by hand."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import yaml

from dogbreed.health.findings import Finding, Status
from dogbreed.health.rules.base import Rule
from dogbreed.health.rules.loader import FEATURES, TOO_FEW, TOO_MANY, Dataloader, median
from dogbreed.health.rules.steps import MaxInitializationTime, OverallFrameworkMetrics, StepOutlier
from dogbreed.health.samples import Facts, MachineSample, Sample

AWS = Path(__file__).parents[3] / "conf/health/aws.yaml"
PIXELS = Facts(cores=4, gpus=0, features=False, settings={"data.num_workers": 1, "data.batch_size": 32})
ON_FEATURES = Facts(features=True, settings={"data.batch_size": 32, "features.dtype": "float32"})
Made = TypeVar("Made", bound=Rule)


def aws(rule: type[Made], **changes: Any) -> Made:
    """The rule with AWS's values, but for some."""
    values = yaml.safe_load(AWS.read_text())["rules"][rule.__name__]
    return rule(**{key: value for key, value in {**values, **changes}.items() if key != "_target_"})


def steps(rule: Made, durations: list[float], waits: list[float] | None = None, every: int = 50) -> Made:
    """Feed the steps as the live run does, `every` of them in a sample."""
    waits = waits or [0.0] * len(durations)
    for first in range(0, len(durations), every):
        part = slice(first, first + every)
        rule.see(Sample(first, "TRAIN", durations=tuple(durations[part]), waits=tuple(waits[part])))
    return rule


def loaders(rule: Dataloader, counts: list[int], cores: int = 4) -> Dataloader:
    """Feed two samples of each second of training."""
    for second, count in enumerate(counts):
        for part in (0.0, 0.5):
            rule.see_machine(MachineSample(second + part, cores=(50.0,) * cores, loaders=count, training=True))
    return rule


def found(rule: Rule, facts: Facts = PIXELS) -> Finding:
    outcome = rule.outcome(facts)
    assert outcome.status is Status.ISSUES
    assert outcome.finding is not None
    assert outcome.reason == outcome.finding.meaning
    return outcome.finding


# -- StepOutlier ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outliers", "violations"), [(10, 0), (11, 1)])
def test_step_outlier__fires_at_more_than_ten(outliers: int, violations: int) -> None:
    durations = list(np.random.default_rng(0).normal(1, 0.01, 1000)) + [5.0] * outliers
    assert steps(aws(StepOutlier), durations, every=2000).violations == violations


def test_step_outlier__limit_is_mean_and_population_deviations() -> None:
    durations = [1.0] * 110 + [2.0] * 11
    limit = statistics.fmean(durations) + 3 * statistics.pstdev(durations)
    assert statistics.fmean(durations) + 3 * statistics.stdev(durations) > limit
    just_under, just_over = (aws(StepOutlier, stddev=3 * (2 - 12 / 11) / (limit - 12 / 11) * f) for f in (0.999, 1.001))
    assert steps(just_under, durations, every=200).violations == 1
    assert steps(just_over, durations, every=200).violations == 0


@pytest.mark.parametrize(("threshold", "violations"), [(20.0, 1), (22.0, 0)])
def test_step_outlier__must_cost_its_share_of_the_time(threshold: float, violations: int) -> None:
    durations = [1.0] * 389 + [11.0] * 11  # the mean is 1.275, the excess 11 x 9.725 of 510: 21 %
    assert steps(aws(StepOutlier, share_threshold=threshold), durations, every=500).violations == violations


def test_step_outlier__needs_101_steps() -> None:
    outcome = steps(aws(StepOutlier, stddev=2.0), [1.0] * 89 + [9.0] * 11).outcome(PIXELS)
    assert (outcome.status, outcome.reason) == (Status.NOT_ENOUGH, "100 of 101 steps of training")


def test_step_outlier__even_steps_are_no_issue() -> None:
    assert steps(aws(StepOutlier), [1.0] * 500).outcome(PIXELS).status is Status.NO_ISSUES


def test_step_outlier__evaluations_are_no_steps() -> None:
    rule = aws(StepOutlier)
    rule.see(Sample(0, "EVAL", durations=(1.0,) * 500))
    assert rule.outcome(PIXELS).status is Status.NOT_ENOUGH


def test_step_outlier__late_ones_are_seen_at_the_end_of_the_epoch() -> None:
    rule = steps(aws(StepOutlier), [1.0] * 10_000)
    rule.see(Sample(10_000, "TRAIN", durations=(9.0,) * 11, waits=(0.0,) * 11, ends_epoch=True))
    assert found(rule).step == 10_000


def test_step_outlier__that_waits_for_data_gets_workers() -> None:
    durations, waits = [1.0] * 300 + [9.0] * 11, [0.0] * 300 + [8.0] * 11
    assert found(steps(aws(StepOutlier), durations, waits)).remedy == ("data.num_workers=4",)
    assert found(steps(aws(StepOutlier), durations)).remedy == ()


# -- Dataloader -------------------------------------------------------------------------------------------------------


def test_median__is_that_of_the_values() -> None:
    values = np.random.default_rng(4).integers(0, 6, 101).tolist()
    assert median(Counter(values)) == statistics.median(values)
    assert median(Counter(values[:-1])) == statistics.median(values[:-1])


@pytest.mark.parametrize(("count", "clause"), [(2, TOO_FEW), (3, None), (8, None), (9, TOO_MANY)])
def test_dataloader__fires_below_70_and_above_200_percent_of_the_cores(count: int, clause: str | None) -> None:
    finding = loaders(aws(Dataloader), [count] * 5).outcome(PIXELS).finding
    assert (finding and finding.clause) == clause


def test_dataloader__takes_the_median_of_the_seconds() -> None:
    assert loaders(aws(Dataloader), [0, 4, 4, 4, 0]).finding is None, "they start, and end"
    assert found(loaders(aws(Dataloader), [0, 4, 0, 4, 0])).value == 0.0


def test_dataloader__asks_for_a_process_for_each_core() -> None:
    assert found(loaders(aws(Dataloader), [1] * 5)).remedy == ("data.num_workers=4",)
    assert found(loaders(aws(Dataloader), [9] * 5)).remedy == ("data.num_workers=4",)
    assert found(loaders(aws(Dataloader), [1] * 5, cores=40)).remedy == ("data.num_workers=28",), "70 % of 40"


def test_dataloader__wait_threshold_demands_that_training_waits() -> None:
    rule = steps(loaders(aws(Dataloader, wait_threshold=20.0), [1] * 5), [1.0] * 50, [0.1] * 50)
    assert rule.outcome(PIXELS).status is Status.NO_ISSUES
    finding = found(steps(rule, [1.0] * 50, [0.5] * 50))
    assert finding.clause == f"{TOO_FEW}, and training waits for data"
    assert "spent 30 % of its time waiting" in finding.meaning


def test_dataloader__first_step_waits_for_processes_to_start() -> None:
    rule = steps(loaders(aws(Dataloader, wait_threshold=20.0), [1] * 5), [100.0] + [1.0] * 50, [99.0] + [0.1] * 50)
    assert rule.waited == pytest.approx(10.0)


def test_dataloader__does_not_apply_to_features_which_are_there() -> None:
    outcome = steps(loaders(aws(Dataloader), [0] * 5), [1.0] * 50).outcome(ON_FEATURES)
    assert (outcome.status, outcome.finding, outcome.violations) == (Status.NOT_APPLICABLE, None, 0)


def test_dataloader__sees_that_training_waits_for_features() -> None:
    rule = steps(loaders(aws(Dataloader, wait_threshold=20.0), [0] * 5), [1.0] * 50, [0.5] * 50)
    finding = found(rule, ON_FEATURES)
    assert (finding.clause, finding.value, finding.threshold) == (FEATURES, pytest.approx(50.0), 20.0)
    assert finding.remedy == ("features.dtype=float16", "data.batch_size=64")


def test_dataloader__needs_a_second_of_training() -> None:
    rule = aws(Dataloader)
    rule.see_machine(MachineSample(1.0, cores=(50.0,), loaders=0, training=False))
    assert rule.outcome(PIXELS).reason == "no seconds of training so far"
    assert loaders(aws(Dataloader, wait_threshold=20.0), [1]).outcome(PIXELS).reason == "no steps of training so far"


# -- MaxInitializationTime and the table ------------------------------------------------------------------------------


def test_initialization__is_known_while_it_lasts_and_exact_at_the_first_step() -> None:
    rule = aws(MaxInitializationTime)
    for minute in range(22):
        rule.see_machine(MachineSample(60.0 * minute))
    assert found(rule).value == 21.0
    rule.see(Sample(0, "TRAIN", seconds=60 * 25.5))
    rule.see(Sample(50, "TRAIN", seconds=60 * 90.0))
    assert found(rule).value == 25.5
    assert found(rule).remedy == ("data.num_workers=4",)


def test_initialization__of_a_minute_is_no_issue() -> None:
    rule = aws(MaxInitializationTime)
    rule.see(Sample(0, "TRAIN", seconds=60.0))
    rule.see_machine(MachineSample(60 * 90.0))
    assert rule.outcome(PIXELS).status is Status.NO_ISSUES


def test_initialization__without_anything_has_no_data() -> None:
    assert aws(MaxInitializationTime).outcome(PIXELS).status is Status.NOT_ENOUGH


def test_framework_metrics__shares_add_up() -> None:
    rule = steps(aws(OverallFrameworkMetrics), [1.0] * 60, [0.25] * 60)
    rule.see(Sample(60, "TRAIN", seconds=100.0))
    outcome = rule.outcome(PIXELS)
    assert outcome.status is Status.NO_ISSUES
    assert outcome.details["shares"] == {"waiting for data": 15.0, "rest of the steps": 45.0, "no step": 40.0}
    assert outcome.details["seconds"]["p99"] == 1.0


def test_framework_metrics__without_steps_has_no_data() -> None:
    assert aws(OverallFrameworkMetrics).outcome(PIXELS).status is Status.NOT_ENOUGH
