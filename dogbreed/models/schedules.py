"""Learning-rate schedules, each a factory `(optimizer, total_steps=...)`."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dogbreed.errors import ConfigError


def cosine_with_warmup(optimizer: Optimizer, *, total_steps: int, warmup: float) -> LambdaLR:
    """The learning rate rises linearly, then falls to zero along half a cosine.

    Source of the shape: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017,
    without the restarts.

    Args:
        optimizer: whose learning rate is the peak.
        total_steps: optimiser steps in the run.
        warmup: share of the steps in which it rises, in [0, 1).

    Raises:
        ConfigError: `warmup` is out of its range.
    """
    if not 0 <= warmup < 1:
        raise ConfigError(f"warmup={warmup}", "in [0, 1)", "set scheduler.warmup")
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total_steps - rising))))

    return LambdaLR(optimizer, factor)
