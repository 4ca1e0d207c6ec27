"""The way back after a kill."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.errors import CheckpointError
from dogbreed.files import write_bytes

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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best so far, also where the run's directory has been moved or copied since."""
        old, new = str(state_dict["dirpath"]), str(self.dirpath)
        moved = dict(state_dict, dirpath=new)
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            moved[key] = _moved(state_dict[key], old, new)
        moved["best_k_models"] = {_moved(p, old, new): score for p, score in state_dict["best_k_models"].items()}
        super().load_state_dict(moved)

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
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        # Between two optimiser steps a checkpoint would lack the gradients gathered so far.
        whole = done % trainer.accumulate_grad_batches == 0
        if isinstance(exception, SIGTERMException) and trainer.training and whole:
            trainer.save_checkpoint(self._last)

    @property
    def _last(self) -> Path:
        assert self.dirpath is not None
        return Path(self.dirpath) / LAST


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that also holds for a run that is resumed after it had stopped early."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where the checkpoint says that it is time."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class StopTogether(pl.Callback):
    """SIGTERM to any of several processes stops all of them after the same batch; of one process Lightning takes care.

    Lightning 2.6 broadcasts from inside its signal handler. There the others may be at any collective, so that
    theirs and this one do not match, and all wait for ever. Here the handler only remembers, and after every batch,
    of training or evaluation, the processes ask each other. Lightning gives the handler back that was there before.
    """

    def __init__(self) -> None:
        self._asked = False

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the place of Lightning's handler, which is there since a moment ago, wherever a run begins."""
        if trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self._remember)

    on_train_start = on_validation_start = on_test_start = on_sanity_check_start

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Tell Lightning of SIGTERM on every process, where one had it: it stops where one process alone would.

        Not at the start of a batch: the loader has counted that one as given, and it would be missing afterwards.
        """
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            trainer._signal_connector.received_sigterm = True  # there is no public way to set it

    # Every process has the same number of batches, so that none asks alone: see GlobalBatches.
    on_validation_batch_end = on_test_batch_end = on_train_batch_end

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name in its own folder, then renames it.

    Lightning writes into the system's temporary folder; from another file system that is a copy, which a kill
    or a full disk would leave half done over the good checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, or leave what was there."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes(Path(path), content.getbuffer())


def _moved(path: str, old: str, new: str) -> str:
    return str(Path(new) / Path(path).relative_to(old)) if path else path


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
