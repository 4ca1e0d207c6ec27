"""The guard that frozen means frozen."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor

from dogbreed.errors import FrozenError
from dogbreed.models.classifier import BreedClassifier


class FrozenGuard(pl.Callback):
    """Fails the run when any parameter or buffer of the backbone changes.

    Every entry is compared with a copy made before the first step: after each epoch, and before the weights
    are used for anything.
    """

    def __init__(self) -> None:
        self._copies: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy every entry."""
        self._copies = {name: entry.detach().clone() for name, entry in _entries(pl_module).items()}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare, at the first epoch with what the sanity check left, later with what the last one did."""
        self._compare(pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare what an epoch of training left, before it is measured and saved."""
        self._compare(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare a last time, and let go of the copies."""
        self._compare(pl_module)
        self._copies = {}

    def _compare(self, pl_module: pl.LightningModule) -> None:
        entries = _entries(pl_module)
        moved = [name for name, copy in self._copies.items() if not torch.equal(entries[name], copy)]
        if moved:
            raise FrozenError(
                got=f"{len(moved)} of {len(entries)} entries of the frozen backbone changed, first {moved[0]}",
                allowed="none: the features of every epoch must be the same",
                hint="find what writes to the backbone: a callback, a hook, or a call of backbone.network.train()",
            )


def _entries(pl_module: pl.LightningModule) -> dict[str, Tensor]:
    assert isinstance(pl_module, BreedClassifier)
    return pl_module.backbone.network.state_dict()
