"""The rules about how the machine is used, on series that can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import yaml
from scipy.spatial.distance import jensenshannon

from dogbreed.health.findings import Finding, Status
from dogbreed.health.rules.balance import LoadBalancing, balance
from dogbreed.health.rules.base import Rule
from dogbreed.health.rules.bottlenecks import CPUBottleneck, IOBottleneck
from dogbreed.health.rules.machine import (
    FLUCTUATING,
    LOW,
    BatchSize,
    GPUMemoryIncrease,
    LowGPUUtilization,
    OverallSystemUsage,
)
from dogbreed.health.samples import Facts, MachineSample

AWS = Path(__file__).parents[3] / "conf/health/aws.yaml"
GPU_RULES = [LowGPUUtilization, BatchSize, CPUBottleneck, IOBottleneck, GPUMemoryIncrease, LoadBalancing]
TWO_GPUS = Facts(cores=8, gpus=2, features=False, settings={"data.batch_size": 33, "data.num_workers": 2})
Made = TypeVar("Made", bound=Rule)


def aws(rule: type[Made], **changes: Any) -> Made:
    """The rule with AWS's values, but for some."""
    values = yaml.safe_load(AWS.read_text())["rules"][rule.__name__]
    return rule(**{key: value for key, value in {**values, **changes}.items() if key != "_target_"})


def feed(rule: Made, samples: Iterable[dict[str, Any]]) -> Made:
    for number, fields in enumerate(samples):
        known = {"cores": (50.0, 50.0), "io_wait": (0.0, 0.0), "gpus": (90.0, 90.0), "gpu_memory": (80.0, 80.0)}
        rule.see_machine(MachineSample(seconds=number / 2, **{**known, **fields}))
    return rule


def found(rule: Rule, facts: Facts = TWO_GPUS) -> Finding:
    outcome = rule.outcome(facts)
    assert outcome.status is Status.ISSUES
    assert outcome.finding is not None
    return outcome.finding


@pytest.mark.parametrize("rule", GPU_RULES)
def test_gpu_rule__busy_machine_is_no_issue(rule: type[Rule]) -> None:
    outcome = feed(aws(rule), [{}] * 1000).outcome(TWO_GPUS)
    assert (outcome.status, outcome.datapoints) == (Status.NO_ISSUES, 1)


@pytest.mark.parametrize("rule", GPU_RULES)
def test_gpu_rule__says_how_many_samples_are_missing(rule: type[Rule]) -> None:
    outcome = feed(aws(rule), [{"gpus": (0.0, 50.0), "cores": (99.0,)}] * 120).outcome(TWO_GPUS)
    assert outcome.status is Status.NOT_ENOUGH
    assert outcome.reason == "120 of 1,000 samples (one every 0.5 s)"


@pytest.mark.parametrize("rule", GPU_RULES)
def test_gpu_rule__does_not_apply_without_a_gpu(rule: type[Rule]) -> None:
    outcome = feed(aws(rule), [{"gpus": (), "gpu_memory": ()}] * 3).outcome(Facts(gpus=0))
    assert (outcome.status, outcome.reason) == (Status.NOT_APPLICABLE, "this machine has no GPU")


def test_load_balancing__does_not_apply_to_one_gpu() -> None:
    outcome = feed(aws(LoadBalancing), [{"gpus": (5.0,)}] * 3).outcome(Facts(gpus=1))
    assert outcome.status is Status.NOT_APPLICABLE


def test_low_gpu__names_the_gpu_that_is_hardly_used() -> None:
    uses = np.random.default_rng(0).uniform(0, 72, 1000)
    finding = found(feed(aws(LowGPUUtilization), [{"gpus": (90.0, use)} for use in uses]))
    assert (finding.clause, finding.tensor, finding.threshold) == (LOW, "GPU 1", 70.0)
    assert finding.value == pytest.approx(np.percentile(uses[-500:], 95))
    assert finding.remedy == ("data.num_workers=8", "data.batch_size=66")


def test_low_gpu__fluctuates_where_a_twentieth_stands_still() -> None:
    uses = [0.0 if number % 16 == 0 else 95.0 for number in range(1000)]  # 1 of 16: 6 %
    finding = found(feed(aws(LowGPUUtilization), [{"gpus": (use,)} for use in uses]))
    assert (finding.clause, finding.value, finding.threshold) == (FLUCTUATING, 0.0, 10.0)


def test_low_gpu__tolerates_a_pause_of_a_thirtieth() -> None:
    uses = [0.0 if number % 30 == 0 else 95.0 for number in range(1000)]
    assert feed(aws(LowGPUUtilization), [{"gpus": (use,)} for use in uses]).violations == 0


def test_low_gpu__judges_the_last_window_alone() -> None:
    rule = feed(aws(LowGPUUtilization, patience=20, window=10), [{"gpus": (5.0,)}] * 10 + [{"gpus": (95.0,)}] * 10)
    assert (rule.datapoints, rule.violations) == (1, 0)


def test_low_gpu__on_features_advises_many_heads_and_no_workers() -> None:
    facts = Facts(cores=8, gpus=1, features=True, settings={"data.batch_size": 32})
    finding = found(feed(aws(LowGPUUtilization), [{"gpus": (5.0,)}] * 1000), facts)
    assert finding.remedy == ("data.batch_size=64",)
    assert "many at once" in finding.advice


def test_batch_size__fires_where_nothing_is_used_and_suggests_what_there_is_room_for() -> None:
    low = {"cores": (40.0, 60.0), "gpus": (17.0, 10.0), "gpu_memory": (9.0, 9.0)}
    finding = found(feed(aws(BatchSize), [low] * 1000))
    assert finding.value == 17.0
    assert "less than 50 %, the GPU by less than 17 % and its memory by less than 9 %" in finding.meaning
    assert finding.remedy == ("data.batch_size=132",), "70 / 17 is room for four times as much"


@pytest.mark.parametrize("used", [{"cores": (80.0, 80.0)}, {"gpus": (80.0, 10.0)}, {"gpu_memory": (9.0, 80.0)}])
def test_batch_size__one_that_is_used_is_enough(used: dict[str, Any]) -> None:
    low = {"cores": (40.0, 60.0), "gpus": (17.0, 10.0), "gpu_memory": (9.0, 9.0)}
    assert feed(aws(BatchSize), [{**low, **used}] * 1000).violations == 0


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        (CPUBottleneck, {"cores": (91.0, 5.0), "gpus": (9.0, 90.0)}),
        (IOBottleneck, {"io_wait": (51.0,), "gpus": (9.0,)}),
    ],
)
@pytest.mark.parametrize(("hits", "violations"), [(500, 0), (501, 1)])
def test_bottleneck__is_more_than_half_of_the_samples(
    rule: type[Rule], hit: dict[str, Any], hits: int, violations: int
) -> None:
    assert feed(aws(rule), [hit] * hits + [{}] * (1000 - hits)).violations == violations


@pytest.mark.parametrize(
    ("rule", "apart"),
    [(CPUBottleneck, [{"cores": (99.0,)}, {"gpus": (0.0,)}]), (IOBottleneck, [{"io_wait": (99.0,)}, {"gpus": (0.0,)}])],
)
def test_bottleneck__is_none_where_the_two_never_meet(rule: type[Rule], apart: list[dict[str, Any]]) -> None:
    assert feed(aws(rule), apart * 500).violations == 0


def test_cpu_bottleneck__asks_for_workers_then_for_the_cache() -> None:
    rule = feed(aws(CPUBottleneck), [{"cores": (99.0, 99.0), "gpus": (0.0,), "loaders": 2}] * 1000)
    assert found(rule).value == 100.0
    assert found(rule).remedy == ("data.num_workers=8",)
    small = Facts(cores=2, gpus=1, features=False, settings={"features.path": "pixels"})
    assert found(rule, small).remedy == ("features.path=cached",)


def test_io_bottleneck__asks_for_half_as_many_bytes() -> None:
    rule = feed(aws(IOBottleneck), [{"io_wait": (99.0,), "gpus": (0.0,)}] * 1000)
    facts = Facts(cores=2, gpus=1, features=True, settings={"features.dtype": "float32"})
    assert found(rule, facts).remedy == ("features.dtype=float16",)


def test_io_bottleneck__has_no_data_where_the_system_does_not_tell() -> None:
    outcome = feed(aws(IOBottleneck), [{"io_wait": (), "gpus": (0.0,)}] * 1000).outcome(TWO_GPUS)
    assert (outcome.status, outcome.reason) == (Status.NOT_ENOUGH, "0 of 1,000 samples")


@pytest.mark.parametrize(("memory", "violations"), [(45.0, 0), (45.1, 1)])
def test_gpu_memory__compares_two_windows_side_by_side(memory: float, violations: int) -> None:
    flat = [{"gpu_memory": (40.0, 40.0)}] * 990
    assert feed(aws(GPUMemoryIncrease), [*flat, *[{"gpu_memory": (40.0, memory)}] * 10]).violations == violations


def test_gpu_memory__says_which_gpu_and_from_where_to_where() -> None:
    leak = [{"gpu_memory": (40.0, number / 20)} for number in range(1100)]
    rule = feed(aws(GPUMemoryIncrease, increase=0.4), leak)
    assert found(rule).value == pytest.approx(0.5)  # 10 samples of 0.05 each
    assert (found(rule).tensor, rule.violations) == ("GPU 1", 101)


def test_gpu_memory__allocation_at_the_start_is_no_leak() -> None:
    allocated = [{"gpu_memory": (0.0,)}] * 500 + [{"gpu_memory": (60.0,)}] * 700
    assert feed(aws(GPUMemoryIncrease), allocated).violations == 0


def test_gpu_memory__needs_two_whole_windows() -> None:
    rule = feed(aws(GPUMemoryIncrease, window=500, patience=100), [{}] * 999)
    assert rule.outcome(TWO_GPUS).reason == "999 of 1,000 samples (one every 0.5 s)"


def test_balance__is_the_distance_of_scipy() -> None:
    counts = np.random.default_rng(1).integers(0, 5, (3, 50)).astype(float)
    expected = [[jensenshannon(one, other) for other in counts] for one in counts]
    np.testing.assert_allclose(balance(counts), expected, atol=1e-7)


def test_load_balancing__names_the_pair() -> None:
    uses = np.random.default_rng(2).uniform(0, 100, (1000, 3)).clip(max=[100, 100, 40])
    finding = found(feed(aws(LoadBalancing), [{"gpus": tuple(row)} for row in uses]))
    histograms = [np.histogram(uses[:, gpu], bins=np.arange(0, 101, 2))[0] for gpu in (0, 1, 2)]
    assert finding.value == pytest.approx(max(jensenshannon(histograms[gpu], histograms[2]) for gpu in (0, 1)))
    assert finding.tensor in ("GPU 0 and GPU 2", "GPU 1 and GPU 2")


def test_load_balancing__makes_the_batch_even() -> None:
    rule = feed(aws(LoadBalancing), [{"gpus": (95.0, 5.0)}] * 1000)
    assert found(rule).value == pytest.approx(np.sqrt(np.log(2)))
    assert found(rule).remedy == ("data.batch_size=34",)


def test_system_usage__is_numpys_table_and_never_a_finding() -> None:
    uses = np.random.default_rng(3).uniform(0, 100, (200, 2))
    outcome = feed(aws(OverallSystemUsage), [{"gpus": (use,), "cores": (use, core)} for use, core in uses]).outcome(
        TWO_GPUS
    )
    assert (outcome.status, outcome.datapoints) == (Status.NO_ISSUES, 200)
    assert outcome.details["gpus"][0]["p99"] == pytest.approx(np.percentile(uses[:, 0], 99), abs=1e-3)
    assert outcome.details["cores"]["p50"] == pytest.approx(np.percentile(uses.mean(axis=1), 50), abs=1e-3)


def test_system_usage__without_samples_has_none() -> None:
    assert aws(OverallSystemUsage).outcome(TWO_GPUS).status is Status.NOT_ENOUGH
