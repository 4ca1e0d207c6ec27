"""The oracle of the fleet: one trial trained by plain torch, without anything of dogbreed.sweeps but its recipe."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dogbreed.data.loading import GlobalBatches
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import Head, initialise
from dogbreed.models.metrics import make_metrics
from dogbreed.seeding import derive_seed
from dogbreed.sweeps.recipe import Recipe


@dataclass
class Alone:
    """A trial after its training: the head, its logits on val, and its curve."""

    head: Head
    logits: Tensor
    curve: list[dict[str, float]]


def train_alone(
    recipe: Recipe,
    train: FeatureViews,
    val: FeatureViews,
    num_classes: int,
    *,
    dtype: torch.dtype = torch.float64,
    max_steps: int | None = None,
) -> Alone:
    """Modules, autograd and torch.optim, one batch after the other."""
    head = recipe.make_head(num_features=train.shape[2], num_classes=num_classes)
    initialise(head, derive_seed(recipe.seed, "head"))
    head.to(dtype)
    optimizer = recipe.make_optimizer(head.parameters())
    batches = GlobalBatches(len(train), recipe.batch_size, shuffle=True, seed=recipe.order_seed)
    scheduler = None
    if recipe.make_scheduler is not None:
        scheduler = recipe.make_scheduler(optimizer, total_steps=recipe.epochs * len(batches))
    smoothed = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    curve, done = [], 0
    for epoch in range(recipe.epochs):
        head.train()
        batches.set_epoch(epoch)
        loss_sum, right, pictures = 0.0, 0, 0
        for step, keys in enumerate(batches):
            if done == max_steps:
                break
            positions = torch.tensor([index for _, index in keys if train.readable[index]], dtype=torch.int64)
            torch.manual_seed(derive_seed(recipe.seed, "step", epoch, step, 0))
            logits = head(train.take(epoch, positions).to(dtype))
            targets = train.targets[positions]
            loss = smoothed(logits, targets) if len(targets) else logits.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            loss_sum += float(loss.detach()) * len(targets)
            right += int((logits.argmax(dim=1) == targets).sum())
            pictures += len(targets)
            done += 1
        head.eval()
        positions = val.readable.nonzero()[:, 0]
        with torch.no_grad():
            logits = head(val.take(0, positions).to(dtype))
        targets = val.targets[positions]
        metrics = make_metrics(num_classes, "val")
        weight = torch.tensor(float(len(targets)))
        metrics.update(preds=logits, target=targets, loss=nn.functional.cross_entropy(logits, targets), weight=weight)
        row = {"epoch": float(epoch), "train/loss": loss_sum / max(1, pictures), "train/acc": right / max(1, pictures)}
        curve.append(row | {name: float(value) for name, value in metrics.compute().items()})
    return Alone(head, logits, curve)


def difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Norm of the difference of all weights, over their norm."""
    assert ours.keys() == theirs.keys()
    apart = torch.cat([(ours[name] - theirs[name]).flatten().double() for name in theirs])
    whole = torch.cat([theirs[name].flatten().double() for name in theirs])
    return float(apart.norm() / whole.norm())
