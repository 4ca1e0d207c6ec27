"""A trial trained in a stack is the same trial trained alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from dogbreed.features.datamodule import FeatureDataModule
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import LinearHead, MLPHead, initialise
from dogbreed.models.schedules import cosine_with_warmup
from dogbreed.seeding import derive_seed
from dogbreed.sweeps.grouping import make_stacks
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stack import Stack, TrialState
from tests.sweeps.alone import difference, train_alone

CLASSES, FEATURES = 7, 12


def draw_views(seed: int, pictures: int, views: int = 1, unreadable: tuple[int, ...] = ()) -> FeatureViews:
    """Features that tell the classes apart about half of the time."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, CLASSES, pictures)
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    arrays = [(centres[targets] + rng.normal(size=(pictures, FEATURES))).astype(np.float32) for _ in range(views)]
    rows = np.tile(np.arange(pictures), (views, 1))
    rows[:, [position for position in unreadable if position < pictures]] = -1
    return FeatureViews(arrays, rows, torch.from_numpy(targets))


def train_stacked(
    recipes: list[Recipe], train: FeatureViews, val: FeatureViews, dtype: torch.dtype = torch.float64
) -> tuple[dict[int, dict[str, Tensor]], dict[int, list[dict[str, float]]]]:
    """The heads and the curves of all trials, in the stacks that a fleet makes."""
    trials = {number: TrialState(recipe) for number, recipe in enumerate(recipes)}
    heads, curves = {}, {number: [] for number in trials}  # type: ignore[var-annotated]
    for members in make_stacks(trials):
        stack = Stack(members, train, val, CLASSES, dtype=dtype)
        while stack.numbers:
            for number, row in stack.run_epoch().items():
                curves[number].append(row)
            finished = [number for number in stack.numbers if recipes[number].epochs == stack.epoch]
            heads |= {number: stack.head(number) for number in finished}
            stack.leave(finished)
    return heads, curves


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any trial that a fleet can train; few batch sizes and shapes, so that stacks have several trials."""
    rates = st.floats(1e-4, 0.3)
    if draw(st.booleans()):
        momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
        decay = draw(st.sampled_from([0.0, 1e-3, 0.1]))
        optimizer: Any = partial(SGD, lr=draw(rates), momentum=momentum, weight_decay=decay)
    else:
        betas = draw(st.sampled_from([(0.9, 0.999), (0.8, 0.95)]))
        decay = draw(st.sampled_from([0.0, 0.01, 0.3]))
        eps = draw(st.sampled_from([1e-8, 1e-4]))
        optimizer = partial(AdamW, lr=draw(st.floats(1e-5, 0.03)), betas=betas, weight_decay=decay, eps=eps)
    schedules = [
        None,
        partial(cosine_with_warmup, warmup=draw(st.sampled_from([0.0, 0.3]))),
        partial(OneCycleLR, max_lr=draw(st.floats(1e-3, 0.1))),
        _anneal,
    ]
    head: Any = LinearHead
    if draw(st.booleans()):
        head = partial(MLPHead, hidden=draw(st.sampled_from([3, 8])), dropout=draw(st.sampled_from([0.0, 0.2, 0.5])))
    scheduler = draw(st.sampled_from(schedules))
    if isinstance(scheduler, partial) and scheduler.func is OneCycleLR and optimizer.keywords.get("momentum") == 0.0:
        scheduler = partial(scheduler, cycle_momentum=False)  # torch refuses it otherwise
    return Recipe(
        make_head=head,
        make_optimizer=optimizer,
        make_scheduler=scheduler,
        batch_size=draw(st.sampled_from([1, 8, 64])),
        epochs=draw(st.integers(1, 4)),
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 0.6])),
        seed=draw(st.integers(0, 3)),
        order_seed=draw(st.integers(0, 1)),
    )


def _anneal(optimizer: torch.optim.Optimizer, *, total_steps: int) -> CosineAnnealingLR:
    """A schedule of the user's own."""
    return CosineAnnealingLR(optimizer, T_max=total_steps // 2 + 1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    space=st.lists(recipes(), min_size=1, max_size=10),
    pictures=st.integers(3, 30),
    views=st.integers(1, 3),
    unreadable=st.sampled_from([(), (0,), (1, 2, 5, 30)]),
)
def test_stack__equals_every_trial_alone(
    space: list[Recipe], pictures: int, views: int, unreadable: tuple[int, ...]
) -> None:
    train, val = draw_views(1, pictures, views, unreadable), draw_views(2, 25, unreadable=unreadable)
    heads, curves = train_stacked(space, train, val)
    for number, recipe in enumerate(space):
        alone = train_alone(recipe, train, val, CLASSES)
        assert difference(heads[number], alone.head.state_dict()) < 1e-8, recipe
        ours = recipe.make_head(num_features=FEATURES, num_classes=CLASSES).double().eval()
        ours.load_state_dict(heads[number])
        with torch.no_grad():
            logits = ours(val.take(0, val.readable.nonzero()[:, 0]).double())
        assert torch.equal(logits.argmax(dim=1), alone.logits.argmax(dim=1))
        assert [row.keys() for row in curves[number]] == [row.keys() for row in alone.curve]
        for row, expected in zip(curves[number], alone.curve, strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)


def train_by_lightning(
    recipe: Recipe, train: FeatureViews, val: FeatureViews, backbone: Backbone
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """The head and the val metrics of a run of `dogbreed.train` on features: its module, its batches, its trainer."""
    head = recipe.make_head(num_features=FEATURES, num_classes=CLASSES)
    initialise(head, derive_seed(recipe.seed, "head"))
    model = BreedClassifier(
        backbone,
        head,
        [f"breed {number}" for number in range(CLASSES)],
        optimizer=recipe.make_optimizer,
        scheduler=recipe.make_scheduler,
        label_smoothing=recipe.label_smoothing,
        seed=recipe.seed,
    )
    history = _History()
    trainer = pl.Trainer(
        precision="64-true",
        accelerator="cpu",
        max_epochs=recipe.epochs,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[history],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    views = {"train": train, "val": val}
    trainer.fit(model, FeatureDataModule(views, batch_size=recipe.batch_size, seed=recipe.order_seed))
    return model.head.state_dict(), history.rows


class _History(pl.Callback):
    """The metrics after each epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
        self.rows.append({"epoch": float(trainer.current_epoch), **metrics})


def test_stack__equals_every_trial_of_the_real_module_and_trainer(backbone: Backbone) -> None:
    mlp = partial(MLPHead, hidden=8, dropout=0.4)
    cosine = partial(cosine_with_warmup, warmup=0.2)
    space = [
        Recipe(LinearHead, partial(SGD, lr=0.1, momentum=0.9), cosine, 8, 3, 0.0, 0, 3),
        Recipe(LinearHead, partial(SGD, lr=0.02, weight_decay=0.1), None, 8, 2, 0.2, 1, 3),
        Recipe(mlp, partial(SGD, lr=0.1, momentum=0.5), partial(OneCycleLR, max_lr=0.1), 8, 3, 0.0, 2, 3),
        Recipe(mlp, partial(AdamW, lr=0.01), cosine, 8, 3, 0.1, 3, 3),
        Recipe(LinearHead, partial(AdamW, lr=0.01), partial(OneCycleLR, max_lr=0.1), 8, 2, 0.0, 4, 3),
    ]
    train, val = draw_views(1, 45, views=2, unreadable=(0, 7)), draw_views(2, 20, unreadable=(3,))
    heads, curves = train_stacked(space, train, val)
    for number, recipe in enumerate(space):
        weights, rows = train_by_lightning(recipe, train, val, backbone)
        assert difference(heads[number], weights) < 1e-8, recipe
        assert len(curves[number]) == len(rows) == recipe.epochs
        for row, expected in zip(curves[number], rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("head", [LinearHead, partial(MLPHead, hidden=8, dropout=0.3)])
@pytest.mark.parametrize("optimizer", [partial(SGD, lr=0.05, momentum=0.9), partial(AdamW, lr=0.003)])
def test_stack__in_float32_equals_every_trial_for_twenty_steps(head: Any, optimizer: Any) -> None:
    train, val = draw_views(1, 160), draw_views(2, 30)
    recipe = partial(Recipe, head, optimizer, None, 16, 2, 0.1, order_seed=0)
    space = [recipe(seed=seed) for seed in range(5)]
    heads, _ = train_stacked(space, train, val, torch.float32)
    for number, each in enumerate(space):
        alone = train_alone(each, train, val, CLASSES, dtype=torch.float32)
        assert difference(heads[number], alone.head.state_dict()) < 1e-4


def test_stack__goes_on_where_it_was_paused() -> None:
    train, val = draw_views(1, 60, views=2), draw_views(2, 30)
    optimizers: list[Any] = [partial(SGD, lr=0.05, momentum=0.9), partial(AdamW, lr=0.01)]
    for optimizer in optimizers:
        cosine = partial(cosine_with_warmup, warmup=0.2)
        mlp = partial(MLPHead, hidden=8, dropout=0.3)
        trials = {seed: TrialState(Recipe(mlp, optimizer, cosine, 16, 4, 0.0, seed, 0)) for seed in range(3)}
        whole = Stack(trials, train, val, CLASSES)
        for _ in range(4):
            whole.run_epoch()
        part = Stack(trials, train, val, CLASSES)
        part.run_epoch(), part.run_epoch()
        paused = part.pause()
        for number in trials:
            rest = Stack({number: paused[number]}, train, val, CLASSES)
            rest.run_epoch(), rest.run_epoch()
            assert difference(rest.head(number), whole.head(number)) < 1e-5
