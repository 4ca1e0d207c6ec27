"""Trials that are trained side by side: every step of all of them is one step of the stack.

What makes it exact: the same initial weights, batches, dropout masks, settings and formulas as a trial alone has in
`dogbreed.train`. What makes it fast: the pictures of a batch are read once for all, a few large matrix products take
the place of many small ones, and the gradient of softmax and cross entropy is written down instead of derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dogbreed.data.loading import GlobalBatches
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import Head, initialise
from dogbreed.seeding import derive_seed
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stacked_heads import stack_heads
from dogbreed.sweeps.stacked_loss import StackedLoss
from dogbreed.sweeps.stacked_optimizers import Settings, stack_optimizer
from dogbreed.sweeps.tally import Tally

_BLOCK_BYTES = 16 * 2**20  # of features that are gathered at a time


@dataclass
class TrialState:
    """A recipe and how far it has come.

    Attributes:
        recipe: how it is trained.
        epoch: epochs done.
        tensors: the head's parameters and what the optimiser remembers, as arrays; empty before the first epoch.
    """

    recipe: Recipe
    epoch: int = 0
    tensors: list[Tensor] = field(default_factory=list)


class Stack:
    """Trials of one kinship that have come equally far.

    Args:
        trials: by number.
        train: the features to learn from.
        val: the features to measure on.
        num_classes: C.
        dtype: of weights and arithmetic.
        device: of weights and arithmetic.
    """

    def __init__(
        self,
        trials: Mapping[int, TrialState],
        train: FeatureViews,
        val: FeatureViews,
        num_classes: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.numbers = list(trials)
        self._recipes = [trial.recipe for trial in trials.values()]
        self._train, self._val, self._num_classes = train, val, num_classes
        self._dtype, self._device = dtype, torch.device(device)
        first = next(iter(trials.values()))
        self.epoch = first.epoch
        self._batches = GlobalBatches(len(train), first.recipe.batch_size, shuffle=True, seed=first.recipe.order_seed)
        heads = [self._make_head(recipe) for recipe in self._recipes]
        self._names = list(heads[0].state_dict())
        self._head = stack_heads(heads, dtype, self._device)
        self._kind = type(first.recipe.try_optimizer())
        self._optimizer = stack_optimizer(self._kind, self._head.parameters)
        self._go_on(list(trials.values()))

    def _make_head(self, recipe: Recipe) -> Head:
        with torch.random.fork_rng(devices=[]):
            head = recipe.make_head(num_features=self._train.shape[2], num_classes=self._num_classes)
        initialise(head, derive_seed(recipe.seed, "head"))
        return head

    def _go_on(self, trials: Sequence[TrialState]) -> None:
        steps = len(self._batches)
        self._settings = [Settings(trial.recipe, steps * trial.recipe.epochs) for trial in trials]
        if self.epoch == 0:
            return
        for place, trial in enumerate(trials):
            self._settings[place].next(self._optimizer.names, steps * self.epoch)
            tensors = [*self._head.parameters, *self._optimizer.states]
            for tensor, value in zip(tensors, trial.tensors, strict=True):
                tensor[place].copy_(value)

    def run_epoch(self) -> dict[int, dict[str, float]]:
        """Train all trials for an epoch, and measure them on val: the row of each trial's curve."""
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            metrics = self._train_epoch()
        metrics |= self._validate()
        self.epoch += 1
        return {
            number: {"epoch": float(self.epoch - 1), **{name: values[place] for name, values in metrics.items()}}
            for place, number in enumerate(self.numbers)
        }

    def pause(self) -> dict[int, TrialState]:
        """Where each trial stands, to be stacked again later."""
        tensors = [*self._head.parameters, *self._optimizer.states]
        return {
            number: TrialState(recipe, self.epoch, [tensor[place].cpu().clone() for tensor in tensors])
            for place, (number, recipe) in enumerate(zip(self.numbers, self._recipes, strict=True))
        }

    def head(self, number: int) -> dict[str, Tensor]:
        """The state dict of a trial's head."""
        place = self.numbers.index(number)
        return {name: value[place].clone() for name, value in zip(self._names, self._head.parameters, strict=True)}

    def leave(self, numbers: Sequence[int]) -> None:
        """Go on without these trials."""
        staying = [place for place, number in enumerate(self.numbers) if number not in numbers]
        self.numbers = [self.numbers[place] for place in staying]
        self._recipes = [self._recipes[place] for place in staying]
        self._settings = [self._settings[place] for place in staying]
        self._head.leave(staying)
        states = [state[staying] for state in self._optimizer.states]
        self._optimizer = stack_optimizer(self._kind, self._head.parameters, states)

    def _train_epoch(self) -> dict[str, list[float]]:
        steps, names = len(self._batches), self._optimizer.names
        settings = torch.tensor([each.next(names, steps) for each in self._settings], dtype=torch.float64)
        self._optimizer.plan(settings.transpose(0, 1), self.epoch * steps)
        smoothing = [recipe.label_smoothing for recipe in self._recipes]
        loss = StackedLoss(smoothing, self._num_classes, self._batches.batch_size, self._dtype, self._device)
        with torch.inference_mode():
            for step, (features, targets) in enumerate(self._read_batches()):
                keep = self._optimizer.begin(step)
                self._head.logits(features, loss.logits[: len(targets)], self._dropout_seeds(step))
                slope = loss.slope(targets)
                gradients, scale = self._optimizer.gradients, 1 / max(1, len(targets))
                self._head.add_gradients(features, slope, gradients, keep, scale)
                self._optimizer.finish(step)
        return loss.compute()

    def _dropout_seeds(self, step: int) -> list[int]:
        if not self._head.chance:
            return []
        return [derive_seed(recipe.seed, "step", self.epoch, step, 0) for recipe in self._recipes]

    def _read_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The features (n, D) and targets (n,) of each batch of this epoch; n may be 0."""
        self._batches.set_epoch(self.epoch)
        batches = [torch.tensor([index for _, index in batch]) for batch in self._batches]
        batches = [positions[self._train.readable[positions]] for positions in batches]
        together = self._block // self._batches.batch_size + 1  # gathered at once: quicker than batch by batch
        for start in range(0, len(batches), together):
            block = batches[start : start + together]
            features, targets = self._take(self._train, self.epoch, torch.cat(block))
            sizes = [len(positions) for positions in block]
            yield from zip(features.split(sizes), targets.split(sizes), strict=True)

    def _validate(self) -> dict[str, list[float]]:
        tally = Tally(len(self.numbers), self._num_classes, self._device)
        with torch.inference_mode():
            for positions in self._val.readable.nonzero()[:, 0].split(1024):
                features, targets = self._take(self._val, 0, positions)
                logits = features.new_empty(len(targets), len(self.numbers), self._num_classes)
                self._head.logits(features, logits)
                tally.update(logits, targets)
        return tally.compute()

    @property
    def _block(self) -> int:
        """How many pictures' features are gathered at a time."""
        return _BLOCK_BYTES // (self._train.shape[2] * 4)

    def _take(self, views: FeatureViews, epoch: int, positions: Tensor) -> tuple[Tensor, Tensor]:
        features = views.take(epoch, positions).to(self._device, self._dtype)
        return features, views.targets[positions].to(self._device)
