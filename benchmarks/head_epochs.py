"""An epoch of a linear head on ready features: by plain Lightning, by two plain loops, and by the fleet."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measuring import Stopwatch
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import LinearHead
from dogbreed.sweeps.fleet import Fleet
from dogbreed.sweeps.grouping import make_stacks
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stack import TrialState

Data = tuple[Tensor, Tensor, Tensor, Tensor]  # train features (N, D) and targets (N,), val features and targets
Times = tuple[float, float]  # seconds of wall time and of processor time, of a head and epoch
LR, MOMENTUM = 0.01, 0.9
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class PlainModule(pl.LightningModule):
    """The module that a tutorial would write."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """One step."""
        loss = nn.functional.cross_entropy(self.head(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """One batch of val."""
        self.log("val/acc", (self.head(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD."""
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)


class _Clock(pl.Callback):
    """Starts when the second epoch does: the first one pays for what is set up."""

    watch: Stopwatch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.watch = Stopwatch()


def by_lightning(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by the Trainer."""
    train, val = TensorDataset(*data[:2]), TensorDataset(*data[2:])
    clock = _Clock()
    trainer = pl.Trainer(
        max_epochs=epochs + 1,
        accelerator=DEVICE,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        PlainModule(data[0].shape[1], classes), DataLoader(train, batch_size, shuffle=True), DataLoader(val, batch_size)
    )
    return _each(clock.watch, epochs)


def by_loader(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by a loop over a DataLoader."""
    train = DataLoader(TensorDataset(*data[:2]), batch_size, shuffle=True)
    val = DataLoader(TensorDataset(*data[2:]), batch_size)

    def on_device(loader: Any) -> Any:
        return ((features.to(DEVICE), targets.to(DEVICE)) for features, targets in loader)

    return _by_loop(data, classes, epochs, lambda: on_device(train), lambda: on_device(val))


def by_index(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by a loop over shuffled indices."""
    x, y, val_x, val_y = (part.to(DEVICE) for part in data)

    def train() -> Any:
        return ((x[rows], y[rows]) for rows in torch.randperm(len(y), device=DEVICE).split(batch_size))

    return _by_loop(data, classes, epochs, train, lambda: [(val_x, val_y)])


def _by_loop(data: Data, classes: int, epochs: int, train: Callable[[], Any], val: Callable[[], Any]) -> Times:
    head = nn.Linear(data[0].shape[1], classes, device=DEVICE)
    optimizer = torch.optim.SGD(head.parameters(), lr=LR, momentum=MOMENTUM)
    for epoch in range(epochs + 1):
        if epoch == 1:
            watch = Stopwatch()
        for features, targets in train():
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features), targets).backward()
            optimizer.step()
        with torch.no_grad():
            sum(int((head(features).argmax(1) == targets).sum()) for features, targets in val())
    return _each(watch, epochs)


def by_fleet(data: Data, classes: int, batch_size: int, epochs: int, heads: int, workers: int) -> Times:
    """A head and epoch of a fleet of `heads` heads in `workers` processes."""
    train, val = as_views(data)
    with Fleet(train, val, classes, device=DEVICE, workers=workers) as fleet:
        fleet.train(draw_recipes(heads, batch_size, 1))
        watch = Stopwatch()
        fleet.train(draw_recipes(heads, batch_size, epochs))
        return _each(watch, epochs * heads)


def draw_recipes(heads: int, batch_size: int, epochs: int) -> dict[int, Recipe]:
    """Linear heads by SGD, rates log-uniform from 0.001 to 0.1."""
    chance = random.Random(0)
    return {i: make_recipe(10 ** chance.uniform(-3, -1), batch_size, epochs) for i in range(heads)}


def stack_size(heads: int, batch_size: int) -> int:
    """K: how many of a fleet of `heads` heads are side by side in one process."""
    states = {i: TrialState(recipe) for i, recipe in draw_recipes(heads, batch_size, 1).items()}
    return max(map(len, make_stacks(states)))


def _each(watch: Stopwatch, count: int) -> Times:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    wall, cpu = watch.read()
    return wall / count, cpu / count


def make_recipe(lr: float, batch_size: int, epochs: int) -> Recipe:
    """A linear head by SGD."""
    return Recipe(
        make_head=LinearHead,
        make_optimizer=partial(torch.optim.SGD, lr=lr, momentum=MOMENTUM),
        make_scheduler=None,
        batch_size=batch_size,
        epochs=epochs,
        label_smoothing=0.0,
        seed=0,
        order_seed=0,
    )


def as_views(data: Data) -> tuple[FeatureViews, FeatureViews]:
    """Train and val as the fleet reads them: one view."""
    return FeatureViews.of(data[0][None], data[1]), FeatureViews.of(data[2][None], data[3])
