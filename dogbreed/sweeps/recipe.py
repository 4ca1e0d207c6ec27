"""How one trial is trained, as values that can be sent to another process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dogbreed.errors import ConfigError
from dogbreed.models.heads import Head, LinearHead, MLPHead

#: Settings of an optimiser that change its rule, and that stacks do not know.
_UNKNOWN = ("nesterov", "dampening", "maximize", "amsgrad")


@dataclass(frozen=True)
class Recipe:
    """How one trial is trained.

    The factories are those of a run of `dogbreed.train`; functions, classes and partials of them can be pickled.

    Attributes:
        make_head: (num_features=, num_classes=) -> a LinearHead or MLPHead.
        make_optimizer: (parameters) -> SGD or AdamW.
        make_scheduler: (optimizer, total_steps=) -> a learning-rate schedule, stepped after each step; None keeps
            the rate.
        batch_size: pictures in a step, >= 1.
        epochs: >= 1.
        label_smoothing: share of the training target spread over all classes, in [0, 1).
        seed: of the initial weights and of dropout.
        order_seed: of the order of the pictures.
    """

    make_head: Callable[..., Head]
    make_optimizer: Callable[..., Optimizer]
    make_scheduler: Callable[..., Any] | None
    batch_size: int
    epochs: int
    label_smoothing: float
    seed: int
    order_seed: int

    def obstacle(self) -> str | None:
        """Why this trial can only be trained alone, in a few words; None where a fleet can train it."""
        head, optimizer = self._try_head(), self.try_optimizer()
        if type(head) not in (LinearHead, MLPHead):
            return f"head {type(head).__name__}"
        if not all(parameter.requires_grad for parameter in head.parameters()):
            return "head with frozen parameters"
        if type(optimizer) not in (SGD, AdamW):
            return f"optimizer {type(optimizer).__name__}"
        if len(optimizer.param_groups) != 1:
            return f"optimizer with {len(optimizer.param_groups)} parameter groups"
        for name in _UNKNOWN:
            if value := optimizer.param_groups[0].get(name):
                return f"optimizer {name}={value}"
        if self.make_scheduler is not None:
            total = max(100, self.epochs)  # any number would do
            if isinstance(self.make_scheduler(optimizer, total_steps=total), ReduceLROnPlateau):
                return "scheduler ReduceLROnPlateau"
        return None

    def check_schedule(self, steps: int) -> None:
        """Make its schedule over the steps that it will have.

        Raises:
            ConfigError: it cannot be made.
        """
        if self.make_scheduler is None:
            return
        try:
            self.make_scheduler(self.try_optimizer(), total_steps=steps)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a schedule that fails over {steps} steps: {type(error).__name__}: {error}",
                "one that can be made for them",
                "set scheduler, or train for longer",
            ) from error

    def kinship(self) -> Hashable:
        """What two trials must have in common to be trained in one stack."""
        head = self._try_head()
        shapes = tuple(tuple(parameter.shape) for parameter in head.parameters())
        return self.batch_size, self.order_seed, type(head), shapes, type(self.try_optimizer())

    def weights(self, num_features: int, num_classes: int) -> int:
        """The parameters of its head."""
        return sum(parameter.numel() for parameter in self._try_head(num_features, num_classes).parameters())

    def try_optimizer(self) -> Optimizer:
        """The optimiser over one number, which holds the same settings as over a head."""
        return self.make_optimizer([nn.Parameter(torch.zeros(1))])

    def _try_head(self, num_features: int = 3, num_classes: int = 2) -> Head:
        with torch.device("meta"):  # draws no random number and takes no memory
            return self.make_head(num_features=num_features, num_classes=num_classes)
