"""What was said of each picture of test, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl

from dogbreed.data.dataset import Batch
from dogbreed.serving.answer import DIGITS
from dogbreed.training.calibration import probabilities
from dogbreed.training.joining import join

COLUMNS = ("path", "true", "predicted", "probability", "probability_of_true")


class Prediction(NamedTuple):
    """The answer to one picture.

    Attributes:
        position: which picture of the split it is.
        target: its class index.
        predicted: the class index with the largest probability.
        probability: of `predicted`, calibrated, in [0, 1].
        probability_of_true: of `target`, calibrated, in [0, 1].
    """

    position: int
    target: int
    predicted: int
    probability: float
    probability_of_true: float


class TestPredictions(pl.Callback):
    """Collects the answers of `trainer.test`, of all processes: `predictions`, by position.

    Args:
        temperature: what the logits are divided by, asked when the test begins.
    """

    __test__ = False  # no test class, whatever pytest thinks of its name

    def __init__(self, temperature: Callable[[], float] = lambda: 1.0) -> None:
        self._ask, self._temperature = temperature, 1.0
        self.predictions: list[Prediction] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier test."""
        self.predictions, self._temperature = [], self._ask()

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
        probs = probabilities(outputs, self._temperature)
        best = probs.max(dim=1)
        of_true = probs.gather(1, batch.targets[:, None])[:, 0]
        columns = (batch.positions, batch.targets, best.indices, best.values, of_true)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self.predictions += [Prediction(*row) for row in rows]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join what the processes have, in the split's order."""
        self.predictions = sorted(join(trainer, self.predictions))


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
            "probability": f"{one.probability:.{DIGITS}f}",
            "probability_of_true": f"{one.probability_of_true:.{DIGITS}f}",
        }
        for one in predictions
    ]
