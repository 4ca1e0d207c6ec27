from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from launch.pricing.assumptions import Assumptions, Span, peak_tflops
from launch.pricing.measured import Measured
from launch.pricing.minutes import UNKNOWN, Minutes, estimate_minutes

ASSUMED = Assumptions.load()
#: ResNet18 at 224 pixels: 1.81 G multiplications and additions, by torchvision's table.
RESNET18 = 3.6
RUN = Measured(
    Path("run"), set_up=30.0, backbone=600.0, heads=60.0, pictures=10_000, cores=2, gpu=None, on_features=True
)
G5 = {"gpus": "1", "gpu": "A10G", "vcpus": "4"}
M5 = {"gpus": "0", "gpu": "", "vcpus": "4"}


def estimate(measured: Measured | None = RUN, machine: dict[str, str] | None = G5, **more: float) -> Minutes:
    return estimate_minutes(machine=machine, assumptions=ASSUMED, measured=measured, **more)


def seconds(span: Span | None) -> Span:
    assert span is not None
    return 60 * span


def ends(span: Span | None) -> tuple[float, float]:
    assert span is not None
    return span.low, span.high


def test_minutes__gpu_is_bound_by_the_processors_that_decode() -> None:
    found = seconds(estimate(gflops=RESNET18).features)
    speed = ASSUMED.decoded_per_vcpu
    assert found.low == pytest.approx(10_000 / (4 * speed.high))
    assert found.high == pytest.approx(10_000 / (4 * speed.low))
    assert "bound by JPEG decoding by 4 vCPUs" in "".join(estimate(gflops=RESNET18).lines)


def test_minutes__gpu_is_bound_by_a_large_network() -> None:
    estimated = estimate(gflops=500.0)
    peak, efficiency = peak_tflops("A10G"), ASSUMED.gpu_efficiency
    assert peak is not None
    found = seconds(estimated.features)
    assert found.low == pytest.approx(10_000 * 500 / (peak * 1000 * efficiency.high))
    assert found.high == pytest.approx(10_000 * 500 / (peak * 1000 * efficiency.low))
    assert "bound by the network on the A10G" in "".join(estimated.lines)


def test_minutes__unknown_work_is_a_wider_range_around_the_known_one() -> None:
    # Measured on two cores that compute 75 GFLOP/s each: 40 GFLOP a picture, and 5 ms to decode it.
    slow = replace(RUN, backbone=10_000 * (40 / 75 + 0.005) / 2)
    known, derived = seconds(estimate(slow, gflops=40.0).features), seconds(estimate(slow).features)
    assert derived.low < known.low
    assert derived.high > known.high


def test_minutes__t4_reaches_what_it_was_measured_at() -> None:
    # timm's table: 428 pictures/s of ResNet50 (8.2 GFLOP) in fp32 on a T4; many processors, so that none waits.
    machine = {"gpus": "1", "gpu": "T4", "vcpus": "1000"}
    found = seconds(estimate(replace(RUN, pictures=428_000), machine, gflops=8.2).features)
    assert found.low < 1000 < found.high


def test_minutes__processors_alone_share_the_work() -> None:
    found = seconds(estimate(machine=M5).features)
    assert ends(found) == pytest.approx((600 * 2 / 4, 600 * 2 / 4 / ASSUMED.vcpu_share.low))


def test_minutes__gpu_here_is_scaled_by_the_peaks_and_cannot_be_faster_than_decoding() -> None:
    on_t4 = replace(RUN, gpu="Tesla T4", backbone=3600.0)
    found = seconds(estimate(on_t4).features)
    assert found.high == pytest.approx(3600 * 8.1 / 31.2)
    assert found.low == pytest.approx(10_000 / (4 * ASSUMED.decoded_per_vcpu.high))


def test_minutes__all_parts_and_the_start_are_billed() -> None:
    found = estimate(gflops=RESNET18)
    assert found.total is not None
    assert found.features is not None
    assert found.total.low == pytest.approx(ASSUMED.starting_minutes.low + 1.5 + found.features.low)
    assert found.total.high == pytest.approx(ASSUMED.starting_minutes.high + 1.5 + found.features.high)


def test_minutes__expected_ones_come_before_the_measured() -> None:
    found = estimate(expected_minutes=42.0)
    assert found.script == Span(42, 42)
    assert "42 min (sagemaker.expected_minutes)" in "".join(found.lines)


@pytest.mark.parametrize(
    ("measured", "machine", "reason"),
    [
        (None, G5, "minutes unknown"),
        (replace(RUN, backbone=None), G5, "came from the cache"),
        (RUN, None, "not known"),
        (RUN, {**G5, "gpu": "Z1"}, "gpus.csv has no Z1"),
        (replace(RUN, gpu="NVIDIA Z1"), G5, "gpus.csv has no NVIDIA Z1"),
        (replace(RUN, gpu="Tesla T4"), M5, "has no GPU"),
    ],
)
def test_minutes__what_cannot_be_told_is_unknown_with_the_reason_and_the_remedy(
    measured: Measured | None, machine: dict[str, str] | None, reason: str
) -> None:
    found = estimate(measured, machine)
    assert found.total is None
    assert reason in "".join(found.lines)
    assert UNKNOWN in found.lines
