"""What was said of each picture of test, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch.distributed
from torch import Tensor

from dogbreed.data.dataset import Batch

COLUMNS = ("path", "true", "predicted", "probability", "probability_of_true")


class Prediction(NamedTuple):
    """The answer to one picture.

    Attributes:
        position: which picture of the split it is.
        target: its class index.
        predicted: the class index with the largest probability.
        probability: of `predicted`, in [0, 1].
        probability_of_true: of `target`, in [0, 1].
    """

    position: int
    target: int
    predicted: int
    probability: float
    probability_of_true: float


class TestPredictions(pl.Callback):
    """Collects the answers of `trainer.test`, of all processes: `predictions`, by position."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier test."""
        self.predictions = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the logits that the test step returned."""
        probs: Tensor = outputs.float().softmax(dim=1)
        best = probs.max(dim=1)
        of_true = probs.gather(1, batch.targets[:, None])[:, 0]
        columns = (batch.positions, batch.targets, best.indices, best.values, of_true)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self.predictions += [Prediction(*row) for row in rows]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join what the processes have, in the split's order."""
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, self.predictions)
            self.predictions = [prediction for share in shares for prediction in share]
        self.predictions.sort()


def answers(
    predictions: Sequence[Prediction], paths: Sequence[str], class_names: Sequence[str]
) -> list[dict[str, str]]:
    """Rows of COLUMNS, one for each prediction.

    Args:
        predictions: of some pictures.
        paths: the file of each picture, by position.
        class_names: length C.
    """
    return [
        {
            "path": paths[one.position],
            "true": class_names[one.target],
            "predicted": class_names[one.predicted],
            "probability": f"{one.probability:.4f}",
            "probability_of_true": f"{one.probability_of_true:.4f}",
        }
        for one in predictions
    ]
