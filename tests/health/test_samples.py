"""Statistics of tensors, and events as JSON."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dogbreed.health.measuring import summarise
from dogbreed.health.samples import Event, Facts, MachineSample, Measure, PictureStats, Sample, from_json, to_json

MEASURE = Measure()


@pytest.fixture
def values() -> torch.Tensor:
    return torch.randn(20, 50, generator=torch.Generator().manual_seed(0))


def test_summarise__agrees_with_numpy(values: torch.Tensor) -> None:
    stats, array = summarise(values, "weights", measure=MEASURE, percentiles=True), values.numpy().astype(np.float64)
    expected = (array.mean(), np.abs(array).mean(), array.var(), np.linalg.norm(array))
    assert (stats.mean, stats.abs_mean, stats.variance, stats.l2) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert (stats.size, stats.zeros, stats.nans, stats.infs) == (1000, 0, 0, 0)
    low, high = np.percentile(array, (5, 95), method="nearest")
    assert (stats.p05, stats.p95) == pytest.approx((low, high))


def test_summarise__counts_what_is_not_finite_and_leaves_it_out(values: torch.Tensor) -> None:
    odd = values.clone()
    odd[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
    odd[1, 0] = 0
    stats = summarise(odd, "weights", measure=MEASURE)
    assert (stats.nans, stats.infs, stats.zeros) == (1, 2, 1)
    assert stats.mean == pytest.approx(float(odd[odd.isfinite()].mean()), abs=1e-6)


@pytest.mark.parametrize("rtol", [1e-5, 1e-3, 0.0])
@pytest.mark.parametrize("moved", [0.0, 1e-9, 3e-8, 2e-5, 1e-2])
def test_summarise__excess_decides_as_allclose_does(values: torch.Tensor, rtol: float, moved: float) -> None:
    now = values.clone()
    now[3, 7] += moved
    stats = summarise(now, "weights", measure=Measure(rtol=rtol), last=values)
    assert stats.excess is not None
    assert (stats.excess <= 1e-8) == torch.allclose(now, values, rtol=rtol, atol=1e-8)


def test_summarise__a_nan_is_a_change(values: torch.Tensor) -> None:
    odd = values.clone()
    odd[0, 0] = math.nan
    assert summarise(odd, "weights", measure=MEASURE, last=odd).excess == math.inf


def test_summarise__update_is_the_norm_of_the_difference(values: torch.Tensor) -> None:
    stats = summarise(values + 0.5, "weights", measure=MEASURE, last=values)
    assert stats.update_l2 == pytest.approx(0.5 * math.sqrt(1000), rel=1e-5)


def test_summarise__activity_is_by_unit_also_of_channels() -> None:
    outputs = torch.zeros(4, 3, 5, 5)
    outputs[:, 1] = 1
    outputs[:2, 2] = 1
    assert summarise(outputs, "relu_outputs", measure=MEASURE).active == (0.0, 1.0, 0.5)


def test_summarise__saturation_is_outside_the_bounds() -> None:
    inputs = torch.tensor([[0.0, 20.0], [1.0, -20.0]])
    assert summarise(inputs, "tanh_inputs", measure=MEASURE).active == (1.0, 0.0)


def test_summarise__of_nothing() -> None:
    stats = summarise(torch.empty(0, 3), "inputs", measure=MEASURE, percentiles=True)
    assert (stats.size, stats.mean, stats.p05) == (0, 0.0, None)


@pytest.mark.parametrize(
    "event",
    [
        Sample(3, "TRAIN", 1, 0.5, {"w": summarise(torch.ones(2, 2), "weights", measure=MEASURE)}, ((3, math.nan),)),
        Sample(3, "EVAL", losses=((0, math.inf), (1, -math.inf)), pairs=((0, 1, 5),), ends_epoch=True),
        PictureStats(5, 0.25),
        MachineSample(1.5, (3.0, 4.0), (), 0.5, (), (), 2, True),
        Facts({"optimizer.lr": 0.1, "x": None}, num_classes=3, class_names=("a", "b", "c"), activations=()),
        Measure(rtol=1e-3),
    ],
    ids=lambda event: type(event).__name__,
)
def test_json__gives_the_event_back(event: Event | Facts | Measure) -> None:
    text = to_json(event)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert repr(from_json(text)) == repr(event)
