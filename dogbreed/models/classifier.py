"""BreedClassifier: a frozen backbone, a head, a loss and metrics, trained and tested alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassConfusionMatrix

from dogbreed.data.dataset import Batch
from dogbreed.errors import CheckpointError, ConfigError
from dogbreed.models.backbones import Backbone
from dogbreed.models.heads import Head
from dogbreed.models.metrics import loss_weight, make_metrics
from dogbreed.seeding import derive_seed

MakeOptimizer = Callable[..., Optimizer]
MakeScheduler = Callable[..., Any]


class Network(nn.Module):
    """A frozen backbone and the head that is trained, as one module: what a debugger's hook is registered on."""

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of uint8 pictures (B, 3, S, S), or of their features (B, D)."""
        features = inputs if inputs.ndim == 2 else self.backbone(inputs)
        # The backbone stays in float32 whatever precision the head is trained in.
        logits: Tensor = self.head(features.to(next(self.head.parameters()).dtype))
        return logits


class BreedClassifier(pl.LightningModule):
    """Trains `head` on the features of a frozen `backbone`.

    Checkpoints hold the head, the optimiser and where the run stands; the backbone, which does not change,
    is only recognised again by a fingerprint.

    Args:
        backbone: uint8 (B, 3, S, S) -> (B, D).
        head: (B, D) -> (B, C).
        class_names: the classes in their fixed order, length C.
        optimizer: makes an optimiser of the head's parameters; needed for training only.
        scheduler: makes a learning-rate schedule, stepped after each optimiser step, from the optimiser
            and `total_steps`; None keeps the rate.
        label_smoothing: share of the training target spread over all classes, in [0, 1).
        class_weights: the weight of each class in the training loss, length C; None for equal weights.
        seed: of every training step's chance (dropout).
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        class_names: Sequence[str],
        *,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(class_names) != head.num_classes:
            raise ConfigError(
                f"{len(class_names)} class names for a head of {head.num_classes} outputs",
                "one name for each output",
                "make the head with num_classes=len(class_names)",
            )
        if not isinstance(label_smoothing, int | float) or not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing={label_smoothing}", "in [0, 1)", "set label_smoothing")
        self.network = Network(backbone, head)
        self.class_names = tuple(class_names)
        self.seed = seed
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._configure_losses(label_smoothing, class_weights)
        self._configure_metrics(head.num_classes)

    def _configure_losses(self, label_smoothing: float, class_weights: Tensor | None) -> None:
        self.loss = nn.CrossEntropyLoss(weight=class_weights, label_smoothing=label_smoothing)
        self.plain_loss = nn.CrossEntropyLoss()  # val and test are measured alike, however a run was trained

    def _configure_metrics(self, num_classes: int) -> None:
        self.train_metrics = make_metrics(num_classes, "train")
        self.val_metrics = make_metrics(num_classes, "val")
        self.test_metrics = make_metrics(num_classes, "test")
        self.confusion = MulticlassConfusionMatrix(num_classes)

    def configure_optimizers(self) -> Any:
        """The head's optimiser, with its schedule if there is one."""
        if self._make_optimizer is None:
            raise ConfigError(
                "no optimizer", "one is needed for training", "BreedClassifier(..., optimizer=partial(SGD, lr=...))"
            )
        optimizer = self._make_optimizer(self.head.parameters())
        if self._make_scheduler is None:
            return optimizer
        scheduler = self._make_scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def backbone(self) -> Backbone:
        """Frozen: uint8 pictures (B, 3, S, S) -> features (B, D)."""
        return self.network.backbone

    @property
    def head(self) -> Head:
        """Trained: features (B, D) -> logits (B, C)."""
        return self.network.head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of uint8 pictures (B, 3, S, S), or of their features (B, D)."""
        logits: Tensor = self.network(inputs)
        return logits

    def _step(self, batch: Batch, split: str) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, scalar, and its logits (B, C)."""
        logits, metrics = self(batch.inputs), getattr(self, f"{split}_metrics")
        # Also where there is nothing to count: every process must take part when the counts are joined.
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=max(1, len(batch.targets)))
        if len(batch.targets) == 0:  # every picture was unreadable: nothing to learn
            return logits.sum(), logits
        measure = self.loss if split == "train" else self.plain_loss
        loss: Tensor = measure(logits, batch.targets)
        metrics.update(preds=logits, target=batch.targets, loss=loss, weight=loss_weight(measure, batch.targets))
        if split == "test":
            self.confusion.update(logits, batch.targets)
        return loss, logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's mean loss, scalar."""
        # Every step's chance comes from the seed and the step, so that a resumed run repeats it.
        torch.manual_seed(derive_seed(self.seed, "step", self.trainer.current_epoch, batch_idx, self.global_rank))
        loss, _ = self._step(batch, "train")
        self.log("loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The logits (B, C); counts the batch in val/*."""
        _, logits = self._step(batch, "val")
        return logits

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The logits (B, C); counts the batch in test/* and in the confusion matrix."""
        _, logits = self._step(batch, "test")
        return logits

    def on_test_epoch_end(self) -> None:
        """Count the confusions of all processes together: `confusion_matrix`, int64 (C, C), true by predicted."""
        self.confusion_matrix: Tensor = self.confusion.compute().cpu()
        self.confusion.reset()

    @cached_property
    def _fingerprint(self) -> str:
        """Taken once: it reads every weight, and checkpoints are written twice an epoch."""
        return self.backbone.fingerprint()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the backbone out, but for its fingerprint."""
        checkpoint["state_dict"] = {f"head.{name}": entry for name, entry in self.head.state_dict().items()}
        checkpoint["backbone"] = self._fingerprint
        checkpoint["class_names"] = list(self.class_names)
        checkpoint["head"] = {"kind": self.head.kind, **self.head.settings()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint belongs to this backbone, head and classes, and put the backbone back.

        Raises:
            CheckpointError: it does not.
        """
        for what, ours in (
            ("class_names", list(self.class_names)),
            ("backbone", self._fingerprint),
            ("head", {"kind": self.head.kind, **self.head.settings()}),
        ):
            if checkpoint.get(what) != ours:
                raise CheckpointError(
                    f"a checkpoint of another run: its {what.replace('_', ' ')} differ from this one's",
                    "a checkpoint of the same backbone, weights, head and classes",
                    "resume with the overrides of that run, or start a new one",
                )
        head = {f"network.{name}": entry for name, entry in checkpoint["state_dict"].items()}
        checkpoint["state_dict"] = {**self.state_dict(), **head}


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Class weights, length C, with which every class that has pictures has the same share in the loss.

    >>> balanced_weights([10, 30])
    tensor([2.0000, 0.6667])
    """
    pictures = torch.tensor(counts, dtype=torch.float32)
    return pictures.sum() / (len(counts) * pictures.clamp(min=1))
