from __future__ import annotations

from dataclasses import asdict

import pytest

from launch.pricing.assumptions import Assumed, Assumptions, Span, peak_tflops


def test_assumptions__are_ranges_with_a_source() -> None:
    assumptions = Assumptions.load()
    for name in asdict(assumptions):
        assumed: Assumed = getattr(assumptions, name)
        assert 0 < assumed.low <= assumed.high, name
        assert assumed.source, name
        assert assumed.unit, name


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
    ],
)
def test_peak_tflops__knows_a_gpu_by_what_cuda_calls_it(name: str, gpu: str) -> None:
    assert peak_tflops(name) == peak_tflops(gpu)
    assert peak_tflops(gpu) is not None


def test_span__product_has_the_products_of_the_ends() -> None:
    assert Span(1, 2).times(Span(3, 5)) == Span(3, 10)
