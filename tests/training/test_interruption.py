from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import zipfile
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
    PREVIOUS,
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
        plugins=[AtomicCheckpointIO()],
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


@pytest.fixture
def last(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a real run's last.ckpt, for one test to damage as it likes."""
    return Path(shutil.copy(trained_run / "checkpoints" / LAST, tmp_path / LAST))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def is_refused(path: Path, expected: Any) -> bool:
    """Whether the checkpoint is refused; where it is not, it is what was saved."""
    try:
        found = AtomicCheckpointIO().load_checkpoint(path)
    except CheckpointError:
        return True
    assert is_same(found, expected)
    return False


@pytest.mark.parametrize("where", ["anywhere", "tables"])
def test_load_checkpoint__a_flipped_bit_is_found_or_harmless(last: Path, where: str) -> None:
    whole, rng = last.read_bytes(), random.Random(0)
    expected = AtomicCheckpointIO().load_checkpoint(last)
    begin = whole.index(b"PK\x01\x02") if where == "tables" else 0  # the archive's own, which no checksum covers
    refused = 0
    for bit in (rng.randrange(8 * begin, 8 * len(whole)) for _ in range(200)):
        last.write_bytes(whole)
        flip(last, bit)
        refused += is_refused(last, expected)
    assert refused > 50


def test_load_checkpoint__a_flipped_bit_of_a_weight_is_found(last: Path) -> None:
    weight = next(iter(AtomicCheckpointIO().load_checkpoint(last)["state_dict"].values()))
    flip(last, 8 * last.read_bytes().index(weight.numpy().tobytes()))
    with pytest.raises(CheckpointError, match=r"the checksum of .*/data/\d+ is not that of its content"):
        AtomicCheckpointIO().load_checkpoint(last)


def test_load_checkpoint__one_bit_turns_a_member_into_a_folder(last: Path) -> None:
    attributes = last.read_bytes().index(b"PK\x01\x02") + 38  # torch would leave the tensor's memory as it was
    flip(last, 8 * attributes + 4)
    with pytest.raises(CheckpointError, match="its members have attributes"):
        AtomicCheckpointIO().load_checkpoint(last)


def test_load_checkpoint__cut_short_anywhere(last: Path) -> None:
    whole, rng = last.read_bytes(), random.Random(0)
    for kept in [0, 10, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(50))]:
        last.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match="is damaged"):
            AtomicCheckpointIO().load_checkpoint(last)


def test_load_checkpoint__a_packed_one_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1_000_000)}}, tmp_path / "plain")
    with (
        zipfile.ZipFile(tmp_path / "plain") as plain,
        zipfile.ZipFile(tmp_path / LAST, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for member in plain.namelist():
            out.writestr(zipfile.ZipInfo(member), plain.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="its members are larger than the file"):
        check_checkpoint(tmp_path / LAST)


def test_load_checkpoint__never_runs_what_it_holds(last: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"state_dict": {}, "pytorch-lightning_version": "2", "more": Harm()}, last)
    with pytest.raises(CheckpointError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(last, weights_only=False)
    assert not (tmp_path / "harm").exists()


def test_damaged_last__its_error_names_the_way_on_from_the_one_before(
    shared_folder: Path, tmp_path: Path, whole: Any
) -> None:
    with pytest.raises(SystemExit):
        fit(shared_folder, tmp_path, Steps(stop_after=(2, 0)))
    for name in (LAST, PREVIOUS):  # after that step, and after the epoch before it
        assert torch.load(tmp_path / name, weights_only=True)["epoch"] == {LAST: 2, PREVIOUS: 1}[name]
    flip(tmp_path / LAST, 4_000)
    with pytest.raises(CheckpointError) as caught:
        fit(shared_folder, tmp_path, resume=True)
    copy = next(part for part in caught.value.hint.split(": ") if part.startswith("cp ")).split(", then")[0]
    subprocess.run(shlex.split(copy), check=True)

    again = Steps()
    assert_equal(fit(shared_folder, tmp_path, again, resume=True), whole[0])
    assert min(again.seen) == (2, 0), "the step is done again"
    assert (tmp_path / "metrics.csv").read_text() == whole[2]


@pytest.mark.parametrize("before", ["missing", "damaged"])
def test_damaged_last__without_a_good_one_before_it(last: Path, before: str) -> None:
    if before == "damaged":
        last.with_name(PREVIOUS).write_bytes(last.read_bytes()[:-1])
    flip(last, 4_000)
    with pytest.raises(CheckpointError) as caught:
        check_checkpoint(last)
    assert "train again in another place: hydra.run.dir=FOLDER" in caught.value.hint


def saved(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["number"])


@pytest.mark.parametrize("links", [True, False])
def test_save_checkpoint__keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    if not links:  # as vfat does
        monkeypatch.setattr(os, "link", refuse)
    for number in range(4):
        AtomicCheckpointIO().save_checkpoint({"number": number}, tmp_path / LAST)
    assert (saved(tmp_path / LAST), saved(tmp_path / PREVIOUS)) == (3, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_fit__removes_what_a_killed_one_left_half_written(shared_folder: Path, tmp_path: Path) -> None:
    (tmp_path / f".{LAST}.0123abcd").write_bytes(b"half")
    fit(shared_folder, tmp_path, epochs=1)
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["best.ckpt", LAST, "metrics.csv", PREVIOUS]


def test_save_checkpoint__after_a_kill_between_its_two_renames(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"number": 0}, tmp_path / LAST)
    os.link(tmp_path / LAST, tmp_path / PREVIOUS)  # the kill: one file, two names
    AtomicCheckpointIO().save_checkpoint({"number": 1}, tmp_path / LAST)
    assert (saved(tmp_path / LAST), saved(tmp_path / PREVIOUS)) == (1, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_save_checkpoint__last_is_there_until_the_new_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        AtomicCheckpointIO().save_checkpoint({"number": number}, tmp_path / LAST)
    replace = os.replace

    def refuse_last(source: Path, target: Path) -> None:
        if target.name == LAST:
            raise OSError("the disk is gone")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_last)
    with pytest.raises(OutputError, match="the disk is gone"):
        AtomicCheckpointIO().save_checkpoint({"number": 2}, tmp_path / LAST)
    assert saved(tmp_path / LAST) == 1


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system cannot be told to forget its pages")
def test_save_checkpoint__on_a_disk_that_keeps_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AtomicCheckpointIO().save_checkpoint({"number": 0}, tmp_path / LAST)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, *_: flip(Path(os.readlink(f"/proc/self/fd/{fd}")), 16_000))
    with pytest.raises(OutputError, match="does not read back as it was written"):
        AtomicCheckpointIO().save_checkpoint({"number": 1, "w": torch.zeros(1000)}, tmp_path / LAST)
    assert (saved(tmp_path / LAST), [path.name for path in tmp_path.iterdir()]) == (0, [LAST])


def test_save_checkpoint__refuses_what_could_not_be_loaded_again(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"number": 0}, tmp_path / LAST)
    with pytest.raises(OutputError, match=r"does not read back"):
        AtomicCheckpointIO().save_checkpoint({"number": 1, "callback": Steps()}, tmp_path / LAST)
    assert (saved(tmp_path / LAST), [path.name for path in tmp_path.iterdir()]) == (0, [LAST])


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
