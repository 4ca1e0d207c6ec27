"""What is measured, split by split."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score


class MeanLoss(Metric):
    """The loss of a whole split, as if it had been one batch.

    The same to 1e-6 whatever the batch size, also on devices without float64: what each addition rounds off
    is kept and added up too (Kahan, Further remarks on reducing truncation errors, 1965).
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    rounded_off: Tensor
    weight: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("total", "rounded_off", "weight"):
            self.add_state(name, default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss: Tensor, weight: Tensor) -> None:
        """Add a batch: its mean loss, scalar, and the weight of its pictures, scalar."""
        added = (loss.detach() * weight).float() - self.rounded_off
        total = self.total + added
        self.rounded_off = (total - self.total) - added
        self.total = total
        self.weight = self.weight + weight

    def compute(self) -> Tensor:
        """The weighted mean, scalar; NaN where there was no picture."""
        return (self.total - self.rounded_off) / self.weight


def make_metrics(num_classes: int, split: str) -> MetricCollection:
    """The metrics of a split, per picture: {split}/loss, /acc, /acc_top5, /f1_macro; train has the first two.

    Update it with preds (B, C) logits, target (B,) class indices, loss and weight (scalars).
    """
    metrics: dict[str, Metric | MetricCollection] = {
        "loss": MeanLoss(),
        "acc": MulticlassAccuracy(num_classes, average="micro"),
    }
    if split != "train":
        metrics["acc_top5"] = MulticlassAccuracy(num_classes, average="micro", top_k=min(5, num_classes))
        metrics["f1_macro"] = MulticlassF1Score(num_classes, average="macro")
    # No compute groups: they are guessed from the states after one batch, and top-5 was taken for F1 (measured).
    return MetricCollection(metrics, prefix=f"{split}/", compute_groups=False)


def loss_weight(loss: nn.CrossEntropyLoss, targets: Tensor) -> Tensor:
    """The weight of a batch's mean loss: its pictures, each counted by its class weight; scalar."""
    if loss.weight is None:
        return torch.tensor(float(len(targets)), device=targets.device)
    return loss.weight[targets].sum()
