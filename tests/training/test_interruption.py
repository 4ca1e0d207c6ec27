from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import SGD

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.transforms import CropFlip
from dogbreed.errors import CheckpointError, OutputError
from dogbreed.models.backbones import make_backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import MLPHead, initialise
from dogbreed.models.schedules import cosine_with_warmup
from dogbreed.training.epochs import EpochLog
from dogbreed.training.interruption import (
    LAST,
    AtomicCheckpointIO,
    ResumableCheckpoint,
    ResumableEarlyStopping,
    check_checkpoint,
)

Step = tuple[int, int]


class Steps(pl.Callback):
    """Records every step's pictures and loss, and sends SIGTERM after one of them."""

    def __init__(self, stop_after: Step | None = None) -> None:
        self.seen: dict[Step, tuple[list[int], float]] = {}
        self.stop_after = stop_after

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = (trainer.current_epoch, batch_idx)
        assert step not in self.seen
        self.seen[step] = (batch.positions.tolist(), float(outputs["loss"]))
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)


class StopInValidation(pl.Callback):
    """Sends SIGTERM in the validation of the second epoch."""

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1 and not trainer.sanity_checking:
            os.kill(os.getpid(), signal.SIGTERM)


def fit(
    data: Path, out: Path, *callbacks: pl.Callback, epochs: int = 3, resume: bool = False, workers: int = 0
) -> dict[str, Tensor]:
    """The head after training with all that draws chance: dropout, augmentation, order; under a schedule."""
    torch.manual_seed(0)
    backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=32)
    head = MLPHead(backbone.num_features, 4, hidden=16, dropout=0.3)
    initialise(head, 1)
    module = BreedDataModule(
        data, backbone.transform, batch_size=8, augmentation=CropFlip((0.4, 1), (0.75, 1.33)), num_workers=workers
    )
    model = BreedClassifier(
        backbone,
        head,
        module.class_names,
        optimizer=partial(SGD, lr=0.5, momentum=0.9),
        scheduler=partial(cosine_with_warmup, warmup=0.1),
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*callbacks, EpochLog(out / "metrics.csv"), ResumableCheckpoint(out, "val/acc", "max")],
    )
    trainer.fit(model, module, ckpt_path=out / LAST if resume else None, weights_only=True)
    return head.state_dict()


@pytest.fixture(scope="module")
def whole(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Steps, str]:
    """A run that nothing interrupts."""
    out, steps = tmp_path_factory.mktemp("whole"), Steps()
    head = fit(shared_folder, out, steps)
    return head, steps, (out / "metrics.csv").read_text()


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm__in_mid_epoch_continues_to_the_same_weights(
    shared_folder: Path, tmp_path: Path, whole: Any, workers: int
) -> None:
    head, steps, _ = whole
    before, after = Steps(stop_after=(1, 1)), Steps()
    with pytest.raises(SystemExit):
        fit(shared_folder, tmp_path, before, workers=workers)
    assert_equal(fit(shared_folder, tmp_path, after, resume=True, workers=workers), head)
    assert before.seen | after.seen == steps.seen
    assert not before.seen.keys() & after.seen.keys()


def test_sigterm__after_the_last_step_of_an_epoch(shared_folder: Path, tmp_path: Path, whole: Any) -> None:
    with pytest.raises(SystemExit):
        fit(shared_folder, tmp_path, Steps(stop_after=(0, 3)))
    assert_equal(fit(shared_folder, tmp_path, resume=True), whole[0])


def test_sigterm__in_validation_repeats_the_epoch(shared_folder: Path, tmp_path: Path, whole: Any) -> None:
    with pytest.raises(SystemExit):
        fit(shared_folder, tmp_path, StopInValidation())
    again = Steps()
    assert_equal(fit(shared_folder, tmp_path, again, resume=True), whole[0])
    assert min(again.seen) == (1, 0)
    assert (tmp_path / "metrics.csv").read_text() == whole[2]


def test_crash__anywhere_leaves_the_last_epoch(shared_folder: Path, tmp_path: Path, whole: Any) -> None:
    class Crash(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if (trainer.current_epoch, batch_idx) == (2, 2):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(shared_folder, tmp_path, Crash())
    assert_equal(fit(shared_folder, tmp_path, resume=True), whole[0])
    assert (tmp_path / "metrics.csv").read_text() == whole[2]


def test_checkpoint__is_there_before_the_first_step(shared_folder: Path, tmp_path: Path, whole: Any) -> None:
    class Crash(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(shared_folder, tmp_path, Crash())
    assert_equal(fit(shared_folder, tmp_path, resume=True), whole[0])


def test_checkpoint__last_is_the_last_epoch_also_when_another_was_best(shared_folder: Path, tmp_path: Path) -> None:
    fit(shared_folder, tmp_path, epochs=3)
    assert torch.load(tmp_path / LAST, weights_only=True)["epoch"] == 2


def test_check_checkpoint__missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*last\.ckpt"):
        check_checkpoint(tmp_path / LAST)


@pytest.mark.parametrize("kept", [0, 10, 1000])
def test_check_checkpoint__cut_short(trained_run: Path, tmp_path: Path, kept: int) -> None:
    content = (trained_run / "checkpoints" / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match="is damaged"):
        check_checkpoint(tmp_path / LAST)


def test_moved_run__keeps_its_best(shared_folder: Path, tmp_path: Path) -> None:
    fit(shared_folder, tmp_path / "here", epochs=2)
    before = torch.load(tmp_path / "here" / LAST, weights_only=True)
    (tmp_path / "here").rename(tmp_path / "there")
    fit(shared_folder, tmp_path / "there", epochs=2, resume=True)
    callback = ResumableCheckpoint(tmp_path / "there", "val/acc", "max")
    callback.load_state_dict(next(state for name, state in before["callbacks"].items() if "Checkpoint" in name))
    assert callback.best_model_path == str(tmp_path / "there" / "best.ckpt")
    assert callback.best_model_score is not None


def test_early_stopping__holds_for_a_resumed_run(shared_folder: Path, tmp_path: Path) -> None:
    def stopping() -> ResumableEarlyStopping:
        return ResumableEarlyStopping("val/loss", mode="max", patience=1)  # a loss that falls never gets better so

    fit(shared_folder, tmp_path, stopping(), epochs=6)
    stopped = torch.load(tmp_path / LAST, weights_only=True)["epoch"]
    again = Steps()
    fit(shared_folder, tmp_path, stopping(), again, epochs=6, resume=True)
    assert stopped < 5
    assert again.seen == {}


def test_atomic_checkpoint__keeps_the_old_one_when_the_disk_is_full(tiny_disk: Path) -> None:
    (tiny_disk / "filler").write_bytes(bytes(20 * 1024))
    AtomicCheckpointIO().save_checkpoint({"small": torch.zeros(10)}, tiny_disk / LAST)
    with pytest.raises(OutputError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"large": torch.zeros(100_000)}, tiny_disk / LAST)
    assert list(torch.load(tiny_disk / LAST, weights_only=True)) == ["small"]
    assert sorted(path.name for path in tiny_disk.iterdir()) == ["filler", LAST]
