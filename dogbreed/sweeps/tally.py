"""The metrics of K trials at once, as torchmetrics would count those of each."""

from __future__ import annotations

import torch
from torch import Tensor


class Tally:
    """Counts val's pictures: loss, accuracy, top-5 accuracy, macro F1.

    Args:
        trials: K.
        num_classes: C.
        device: where the logits are.
    """

    def __init__(self, trials: int, num_classes: int, device: torch.device) -> None:
        self._pictures = 0
        self._loss = torch.zeros(trials, dtype=torch.float64, device=device)
        self._top5 = torch.zeros(trials, dtype=torch.int64, device=device)
        self._hits, self._chosen, self._true = (
            torch.zeros(trials, num_classes, dtype=torch.int64, device=device) for _ in range(3)
        )

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add pictures: logits (n, K, C), targets int64 (n,)."""
        trials, num_classes = self._hits.shape
        wanted = targets[:, None].expand(-1, trials)
        preds = logits.argmax(dim=2)
        loss = torch.logsumexp(logits, dim=2) - logits.gather(2, wanted[:, :, None])[:, :, 0]
        self._pictures += len(targets)
        self._loss += loss.sum(dim=0, dtype=torch.float64)
        self._top5 += (logits.topk(min(5, num_classes)).indices == wanted[:, :, None]).sum(dim=(0, 2))
        offsets = num_classes * torch.arange(trials, device=logits.device)
        for counts, values in (
            (self._hits, (preds + offsets)[preds == wanted]),
            (self._chosen, preds + offsets),
            (self._true, wanted + offsets),
        ):
            counts += torch.bincount(values.reshape(-1), minlength=counts.numel()).view_as(counts)

    def compute(self) -> dict[str, list[float]]:
        """val/loss, val/acc, val/acc_top5, val/f1_macro of each trial; NaN where there was no picture."""
        both = self._chosen + self._true
        f1 = torch.where(both > 0, 2 * self._hits / both, 0.0).double().sum(dim=1)
        values = {
            "val/loss": self._loss / self._pictures,
            "val/acc": self._hits.sum(dim=1) / self._pictures,
            "val/acc_top5": self._top5 / self._pictures,
            "val/f1_macro": f1 / (both > 0).sum(dim=1),  # classes that neither occur nor are chosen do not count
        }
        return {name: value.tolist() for name, value in values.items()}
