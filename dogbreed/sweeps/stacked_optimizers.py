"""torch's SGD and AdamW over K heads at once, each with settings of its own.

The settings of every step are read off a real optimiser with a real schedule, so that whatever a schedule moves
(the rate, the momentum) moves here as in a run alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from dogbreed.sweeps.recipe import Recipe


class Settings:
    """What a trial's optimiser is set to at one step after the other.

    Args:
        recipe: of the trial.
        total_steps: steps in the whole training.
    """

    def __init__(self, recipe: Recipe, total_steps: int) -> None:
        self._optimizer = recipe.try_optimizer()
        self._scheduler = None
        if recipe.make_scheduler is not None:
            self._scheduler = recipe.make_scheduler(self._optimizer, total_steps=total_steps)
        self._optimizer.step()  # without a gradient nothing moves; a schedule warns where there was no step before it

    def next(self, names: Sequence[str], steps: int) -> list[list[float]]:
        """The values of the named settings at each of the next steps, (steps, settings)."""
        if self._scheduler is None:
            return [self._read(names)] * steps
        rows = []
        for _ in range(steps):
            rows.append(self._read(names))
            self._scheduler.step()
        return rows

    def _read(self, names: Sequence[str]) -> list[float]:
        group = self._optimizer.param_groups[0]
        return [float(group["betas"][int(name[-1]) - 1] if name.startswith("beta") else group[name]) for name in names]


class StackedOptimizer(ABC):
    """One rule for K heads.

    A step is `keep = begin(step)`, the heads' gradients into `gradients` with that `keep`, then `finish(step)`.

    Args:
        parameters: each (K, ...), changed in place.

    Attributes:
        gradients: where gradients are added, shaped as the parameters.
        states: what the rule remembers, each shaped as one of the parameters.
    """

    names: ClassVar[tuple[str, ...]]
    gradients: list[Tensor]
    states: list[Tensor]

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)

    def plan(self, settings: Tensor, first_step: int) -> None:
        """Prepare the steps of an epoch.

        Args:
            settings: float64 (steps, K, names).
            first_step: steps that were done before, in earlier epochs.
        """
        self._plan(dict(zip(self.names, settings.unbind(2), strict=True)), first_step)

    @abstractmethod
    def _plan(self, settings: dict[str, Tensor], first_step: int) -> None: ...

    @abstractmethod
    def begin(self, step: int) -> float:
        """What gradients must keep of what is in `gradients`; step counts from 0 in each epoch."""

    @abstractmethod
    def finish(self, step: int) -> None:
        """Move the parameters."""

    def _factor(self, values: Tensor) -> Tensor:
        """(steps, K) as factors of (K, out, in): (steps, K, 1, 1), in the parameters' type."""
        return values[:, :, None, None].to(self.parameters[0])


def _like(factor: Tensor, parameter: Tensor) -> Tensor:
    """A factor (K, 1, 1) as one of (K, ...)."""
    return factor if parameter.ndim == 3 else factor[:, 0]


class StackedSGD(StackedOptimizer):
    """p -= lr * m, where m = momentum * m + gradient + weight_decay * p."""

    names = ("lr", "momentum", "weight_decay")

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters)
        self.gradients = self.states = [torch.zeros_like(parameter) for parameter in parameters]

    def _plan(self, settings: dict[str, Tensor], first_step: int) -> None:
        self._rate = self._factor(-settings["lr"])
        momentum = settings["momentum"]
        # Where all trials share it, the matrix products multiply with it on their way.
        self._keep = momentum[:, 0].tolist() if bool((momentum == momentum[:, :1]).all()) else None
        self._momentum = self._factor(momentum)
        self._decay = self._factor(settings["weight_decay"]) if bool(settings["weight_decay"].any()) else None

    def begin(self, step: int) -> float:
        """The momentum; where it differs between the trials it is applied here."""
        if self._keep is not None:
            return self._keep[step]
        for state in self.states:
            state.mul_(_like(self._momentum[step], state))
        return 1.0

    def finish(self, step: int) -> None:
        """Add the weight decay, and move the parameters."""
        for parameter, state in zip(self.parameters, self.states, strict=True):
            if self._decay is not None:
                state.addcmul_(parameter, _like(self._decay[step], parameter))
            parameter.addcmul_(state, _like(self._rate[step], parameter))


class StackedAdamW(StackedOptimizer):
    """Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, with the details of torch's."""

    names = ("lr", "beta1", "beta2", "eps", "weight_decay")

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters)
        self.gradients = [torch.empty_like(parameter) for parameter in parameters]
        self.states = [torch.zeros_like(parameter) for parameter in [*parameters, *parameters]]

    def _plan(self, settings: dict[str, Tensor], first_step: int) -> None:
        lr, beta1, beta2 = settings["lr"], settings["beta1"], settings["beta2"]
        count = torch.arange(first_step + 1, first_step + 1 + len(lr))[:, None]
        second = (1 - beta2**count).sqrt()
        self._shrink = self._factor(1 - lr * settings["weight_decay"])
        self._first, self._second = self._factor(1 - beta1), self._factor(1 - beta2)
        self._rate = self._factor(-lr * second / (1 - beta1**count))
        self._eps = self._factor(settings["eps"] * second)

    def begin(self, step: int) -> float:
        """Gradients stand alone."""
        return 0.0

    def finish(self, step: int) -> None:
        """Move the averages, and with them the parameters; the gradients are used up."""
        count = len(self.parameters)
        for parameter, gradient, mean, square in zip(
            self.parameters, self.gradients, self.states[:count], self.states[count:], strict=True
        ):
            mean.lerp_(gradient, _like(self._first[step], mean))
            square.lerp_(gradient.mul_(gradient), _like(self._second[step], mean))
            size = torch.sqrt(square, out=gradient).add_(_like(self._eps[step], mean))
            parameter.mul_(_like(self._shrink[step], mean))
            parameter.addcmul_(torch.div(mean, size, out=gradient), _like(self._rate[step], mean))


def stack_optimizer(
    kind: type[Optimizer], parameters: Sequence[Tensor], states: Sequence[Tensor] | None = None
) -> StackedOptimizer:
    """The stacked form of torch's SGD or AdamW, which remembers `states` if it goes on."""
    stacked: StackedOptimizer = (StackedSGD if kind is SGD else StackedAdamW)(parameters)
    for state, value in zip(stacked.states, states or (), strict=states is not None):
        state.copy_(value)
    return stacked
