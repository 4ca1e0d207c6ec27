"""The way back after a kill."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.errors import CheckpointError

LAST = "last.ckpt"


class ResumableCheckpoint(ModelCheckpoint):
    """The best checkpoint by `monitor`, and one to continue from, which always exists.

    It is there before the first step, after every epoch, and, where SIGTERM stops the training in the middle
    of an epoch, after the last whole step.

    Args:
        dirpath: the folder of both.
        monitor: metric by which the best is chosen, on val.
        mode: "min" or "max".
    """

    def __init__(self, dirpath: str | Path, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            enable_version_counter=False,
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where the run begins, unless it continues."""
        super().on_train_start(trainer, pl_module)
        if trainer.global_step == 0:
            trainer.save_checkpoint(self._last)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the best epoch so far, then the one to continue from: Lightning's own save_last waits for a new best."""
        super().on_train_epoch_end(trainer, pl_module)
        trainer.save_checkpoint(self._last)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save where SIGTERM stopped the training; a stopped validation is done again with its epoch."""
        if isinstance(exception, SIGTERMException) and trainer.training:
            trainer.save_checkpoint(self._last)

    @property
    def _last(self) -> Path:
        assert self.dirpath is not None
        return Path(self.dirpath) / LAST


def check_checkpoint(path: Path) -> None:
    """Read a checkpoint once, so that a damaged one is an error here and not in the middle of a fit.

    Raises:
        CheckpointError: it is missing or damaged, or holds more than tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no checkpoint at {path}", "a run directory with checkpoints/last.ckpt", "start without resume=true"
        ) from error
    except Exception as error:  # torch raises whatever a broken file makes it stumble over
        raise _damaged(path, (str(error) or type(error).__name__).splitlines()[0]) from error
    if not isinstance(content, dict) or "state_dict" not in content or "pytorch-lightning_version" not in content:
        raise _damaged(path, f"it holds a {type(content).__name__} that describes no run")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        got=f"{path} is damaged: {reason}",
        allowed="a checkpoint as it was written",
        hint="remove it to start again, or continue from best.ckpt: copy that over it",
    )
