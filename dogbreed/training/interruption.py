"""The way back after a kill."""

from __future__ import annotations

import io
import os
import shlex
import signal
import zipfile
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.errors import CheckpointError, OutputError
from dogbreed.files import clear_leftovers, new_file, write_synced

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


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
        folder = str(self.dirpath)
        moved = dict(state_dict, dirpath=folder)
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            moved[key] = _moved(state_dict[key], folder)
        moved["best_k_models"] = {_moved(path, folder): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(moved)
        self.current_score = state_dict["current_score"]  # which Lightning saves, and leaves out here

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where the run begins, unless it continues; what killed processes left half written is removed."""
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            clear_leftovers(self._last.parent)
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
    """Writes a checkpoint beside its place, reads it back, and only then lets it take that place.

    Lightning writes into the system's temporary folder; from another file system that is a copy, which a kill
    or a full disk would leave half done over the good checkpoint. The last one to continue from is kept as
    previous.ckpt: at every moment last.ckpt is there and whole, and from the second save on the one before it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, or leave what was there.

        Raises:
            OutputError: it cannot be written, or does not read back as it was written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path = Path(path)
        with new_file(path) as temporary:
            write_synced(temporary, content.getbuffer())
            _forget_pages(temporary)
            if reason := _damage(temporary):
                raise OutputError(
                    got=f"{path} does not read back as it was written: {reason}",
                    allowed="a disk that keeps what it is given; tensors and plain values in the checkpoint",
                    hint=f"the one before is as it was; check the disk, or the state of your callbacks: {path.parent}",
                )
            if path.name == LAST and path.exists():
                _keep(path, path.with_name(PREVIOUS))

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        """What was saved to `path`, every byte of it checked; tensors and plain values only, whatever is asked for.

        Raises:
            CheckpointError: it is missing or damaged, or holds more than tensors and plain values.
        """
        check_checkpoint(Path(path))
        return super().load_checkpoint(path, map_location, weights_only=True)


def check_checkpoint(path: Path) -> None:
    """Read every byte of a checkpoint, so that a damaged one is an error here and not in the middle of a fit.

    Raises:
        CheckpointError: it is missing or damaged, or holds more than tensors and plain values.
    """
    if not path.exists():
        raise CheckpointError(
            f"no checkpoint at {path}", "a run directory with checkpoints/last.ckpt", "start without resume=true"
        )
    if reason := _damage(path) or _stranger(path):
        raise CheckpointError(f"{path} is damaged: {reason}", "a checkpoint as it was written", _way_back(path))


def _damage(path: Path) -> str:
    """Why a file cannot be what torch.save wrote; empty where nothing is wrong with it.

    Torch does not look at the checksums that it writes, so that a flipped bit would pass as a weight. What they do
    not cover is the archive's own tables, which have to agree with each other and with the members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > path.stat().st_size:
                return "its members are larger than the file"  # packed, which torch never does: it could be a bomb
            # Torch writes none; of what is marked as a folder it reads nothing, and takes the memory as it is.
            if any(member.external_attr for member in members):
                return "its members have attributes"
            if wrong := archive.testzip():
                return f"the checksum of {wrong} is not that of its content"
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # zipfile and torch raise whatever a broken file makes them stumble over
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def _stranger(path: Path) -> str:
    """Why a whole file is no checkpoint of a run; empty where it is one."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, dict) or "state_dict" not in content or "pytorch-lightning_version" not in content:
        return f"it holds a {type(content).__name__} that describes no run"
    return ""


def _way_back(path: Path) -> str:
    """How to go on where the checkpoint at `path` is damaged: from the one before, which is checked here."""
    previous = path.with_name(PREVIOUS)
    if path.name != LAST or not previous.exists() or _damage(previous) or _stranger(previous):
        return "train again in another place: hydra.run.dir=FOLDER"
    copy = shlex.join(["cp", str(previous), str(path)])
    return f"go on from the checkpoint before it, an epoch earlier at most: {copy}, then the same command again"


def _keep(path: Path, previous: Path) -> None:
    """Give the file at `path` a second name, in the place of what had it; `path` is there all the while."""
    with new_file(previous) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            write_synced(temporary, path.read_bytes())


def _forget_pages(path: Path) -> None:
    """Let the next read of a synced file ask the file system, not memory, where the system can be told so.

    What the disk itself still holds in its own cache it may answer from there.
    """
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _moved(path: str, folder: str) -> str:
    """The file of this name in `folder`: where a checkpoint says that the best one is, it could name any file."""
    return str(Path(folder) / Path(path).name) if path else path
