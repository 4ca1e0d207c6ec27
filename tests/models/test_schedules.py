"""Learning rates against their closed form."""

from __future__ import annotations

import math

import hydra
import pytest
import torch
from hydra.utils import instantiate
from torch.optim import SGD, Optimizer

from dogbreed.models.schedules import cosine_with_warmup

PEAK = 0.3


def make_optimizer() -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)


def rates_of(optimizer: Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """The learning rate of each step."""
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def cosine_rates(steps: int, warmup: float) -> list[float]:
    optimizer = make_optimizer()
    return rates_of(optimizer, cosine_with_warmup(optimizer, total_steps=steps, warmup=warmup), steps)


def test_cosine__is_half_a_cosine_without_warm_up() -> None:
    expected = [PEAK * math.cos(math.pi * step / 40 / 2) ** 2 for step in range(40)]  # (1 + cos x) / 2 = cos²(x / 2)

    assert cosine_rates(40, warmup=0.0) == pytest.approx(expected)


def test_cosine__rises_in_equal_steps_to_the_peak() -> None:
    rates = cosine_rates(40, warmup=0.25)

    assert rates[:11] == pytest.approx([PEAK * step / 11 for step in range(1, 12)])


def test_cosine__falls_from_the_peak_to_almost_nothing() -> None:
    falling = cosine_rates(40, warmup=0.25)[10:]

    assert falling == sorted(falling, reverse=True)
    assert 0 < falling[-1] < 0.01 * PEAK


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_cosine__trains_in_the_shortest_of_runs(steps: int) -> None:
    assert all(0 < rate <= PEAK for rate in cosine_rates(steps, warmup=0.1))


def test_onecycle__of_the_config_rises_to_the_optimizers_rate_and_falls() -> None:
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose("train", ["scheduler=onecycle", "optimizer.lr=0.5"])
        make_scheduler = instantiate(config.scheduler)
    optimizer = make_optimizer()
    rates = rates_of(optimizer, make_scheduler(optimizer, total_steps=50), 50)

    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5, rel=1e-3)
    assert rates == sorted(rates[:peak]) + sorted(rates[peak:], reverse=True)
