"""The callback that prints the epoch lines and keeps metrics.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from dogbreed.directions import DIRECTIONS
from dogbreed.files import write_csv
from dogbreed.training.epoch_line import epoch_line


class EpochLog(pl.Callback):
    """Prints one parseable line after each epoch, and keeps all of them in a CSV file.

    The lines so far travel in the checkpoint, so that a resumed run continues its file.

    Args:
        path: the CSV file; None to print only.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print and keep the epoch's metrics, once training and validation have been counted."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, **_ordered(metrics)}
        self.rows = [kept for kept in self.rows if kept["epoch"] < row["epoch"]] + [row]
        if trainer.is_global_zero:
            print(epoch_line(row), flush=True)
            if self.path is not None:
                write_csv(self.path, self.rows, list(dict.fromkeys(key for kept in self.rows for key in kept)))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the rows of the checkpoint."""
        self.rows = list(state_dict["rows"])


def _ordered(metrics: dict[str, float]) -> dict[str, float]:
    """Train before val, each in the order of its declaration; any other behind."""
    splits, names = ["train", "val"], list(DIRECTIONS)

    def rank(key: str) -> tuple[int, int]:
        split, name = key.split("/", 1)
        return (
            splits.index(split) if split in splits else len(splits),
            names.index(name) if name in names else len(names),
        )

    return {key: metrics[key] for key in sorted(metrics, key=rank)}
