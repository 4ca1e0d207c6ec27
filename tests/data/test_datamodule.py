"""The splits of a real folder through a real Trainer: what is missing, unreadable or wrongly set is said, or listed."""

from __future__ import annotations

import csv
import itertools
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from dogbreed import BreedClassifier
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.folder import Skipped
from dogbreed.data.transforms import CropFlip, TransformSpec
from dogbreed.errors import ConfigError, DataError
from dogbreed.models.heads import LinearHead
from dogbreed.runs import write_skipped

SPEC = TransformSpec(size=16, resize=16, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
NAMES = ("001.Breed_A", "002.Breed_B", "003.Breed_C", "004.Breed_D")
FOLDERS = {"train": "train", "val": "valid", "test": "test"}


class Witness(pl.LightningModule):
    """Learns nothing, and remembers which pictures it was shown."""

    def __init__(self, asks_for_steps: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.asks_for_steps = asks_for_steps
        self.seen: dict[str, list[tuple[int, list[int]]]] = {"train": [], "val": [], "test": []}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.asks_for_steps:  # as a schedule does; the loader is then made before a checkpoint is read
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, batch_idx):
        self.seen["train"].append((self.current_epoch, batch.positions.tolist()))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append((self.current_epoch, batch.positions.tolist()))

    def test_step(self, batch, batch_idx):
        self.seen["test"].append((self.current_epoch, batch.positions.tolist()))

    def positions(self, split: str) -> list[int]:
        """All pictures of a split that were shown, sorted."""
        return sorted(itertools.chain(*(positions for _, positions in self.seen[split])))


def make_trainer(**options) -> pl.Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return pl.Trainer(accelerator="cpu", **{"max_epochs": 1, "num_sanity_val_steps": 0, **quiet, **options})


def make_data(root: Path, **options) -> BreedDataModule:
    return BreedDataModule(root, SPEC, **{"batch_size": 5, "num_workers": 0, **options})


def run(split: str, data: BreedDataModule, module: pl.LightningModule | None = None) -> None:
    """Read a split as the Trainer does."""
    entry = {"train": "fit", "val": "validate", "test": "test"}[split]
    getattr(make_trainer(), entry)(module or Witness(), datamodule=data)


def truncate(path: str) -> str:
    """Cut the last of the pixels off."""
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) * 9 // 10)
    return path


# Splits


def test_breed_data_module__takes_class_names_from_train(shared_folder):
    data = make_data(shared_folder)
    assert data.class_names == NAMES
    assert data.num_classes == 4


@pytest.mark.parametrize(("split", "size"), [("train", 32), ("val", 16), ("test", 16)])
def test_breed_data_module__trainer_sees_every_picture_once(shared_folder, split, size):
    witness = Witness()
    run(split, make_data(shared_folder), witness)
    assert witness.positions(split) == list(range(size))


def test_breed_data_module__trains_in_another_order_each_epoch(shared_folder):
    witness = Witness()
    make_trainer(max_epochs=2).fit(witness, datamodule=make_data(shared_folder))
    orders = [
        list(itertools.chain(*(found for epoch, found in witness.seen["train"] if epoch == wanted)))
        for wanted in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_breed_data_module__validates_in_the_splits_order(shared_folder):
    witness = Witness()
    run("val", make_data(shared_folder), witness)
    assert list(itertools.chain(*(found for _, found in witness.seen["val"]))) == list(range(16))


def test_breed_data_module__only_training_is_augmented(shared_folder):
    augmented = make_data(shared_folder, augmentation=CropFlip(scale=(0.1, 0.2), ratio=(1.0, 1.0)))
    clean = make_data(shared_folder)
    for name, same in (("val", True), ("test", True), ("train", True)):
        ours, theirs = next(iter(augmented.loader(name))), next(iter(clean.loader(name)))
        assert torch.equal(ours.inputs, theirs.inputs) is same
    ours, theirs = next(iter(augmented.train_dataloader())), next(iter(clean.train_dataloader()))
    assert ours.positions.tolist() == theirs.positions.tolist()
    assert not torch.equal(ours.inputs, theirs.inputs)


@pytest.mark.parametrize(("stage", "missing"), [("fit", "test"), ("validate", "test"), ("test", "val")])
def test_setup__asks_only_for_what_the_stage_reads(folder, stage, missing):
    shutil.rmtree(folder / FOLDERS[missing])
    make_data(folder).setup(stage)


@pytest.mark.parametrize(("stage", "missing"), [("fit", "val"), ("validate", "val"), ("test", "test"), (None, "test")])
def test_setup__missing_split_names_the_fraction(folder, stage, missing):
    shutil.rmtree(folder / FOLDERS[missing])
    with pytest.raises(DataError) as caught:
        make_data(folder).setup(stage)
    assert f"data.{missing}_fraction=0.1" in caught.value.hint


def test_setup__missing_train_of_a_fraction(folder):
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "valid")
    with pytest.raises(DataError, match="no train/ in"):
        make_data(folder, val_fraction=0.25).setup("validate")


def test_setup__missing_root(tmp_path):
    with pytest.raises(DataError, match="no data set at"):
        make_data(tmp_path / "gone").setup("fit")


def test_setup__empty_root(tmp_path):
    with pytest.raises(DataError, match="which holds nothing"):
        make_data(tmp_path).setup("fit")


def test_setup__single_class(folder):
    for name in NAMES[1:]:
        shutil.rmtree(folder / "train" / name)
    with pytest.raises(DataError, match="1 class in"):
        make_data(folder).setup("fit")


@pytest.mark.parametrize("split", ["val", "test"])
def test_setup__unknown_class_in_another_split(folder, split):
    (folder / FOLDERS[split] / "005.Breed_E").mkdir()
    with pytest.raises(DataError, match=r"005\.Breed_E is none of the 4 classes"):
        make_data(folder).setup()


def test_setup__valid_and_val_at_once(folder):
    shutil.copytree(folder / "valid", folder / "val")
    with pytest.raises(DataError, match="both"):
        make_data(folder).setup("fit")


# Splits that are split off


@pytest.mark.parametrize("split", ["val", "test"])
def test_fraction__is_split_off_train(folder, split):
    shutil.rmtree(folder / FOLDERS[split])
    data = make_data(folder, **{f"{split}_fraction": 0.25})
    data.setup()
    assert data.split(split).counts(4) == [2, 2, 2, 2]
    assert data.split("train").counts(4) == [6, 6, 6, 6]
    assert not set(data.split(split).paths) & set(data.split("train").paths)


def test_fraction__of_val_and_test_are_shares_of_the_whole(folder):
    for split in ("valid", "test"):
        shutil.rmtree(folder / split)
    data = make_data(folder, val_fraction=0.25, test_fraction=0.25)
    data.setup()
    parts = [data.split(name) for name in ("train", "val", "test")]
    assert [part.counts(4)[0] for part in parts] == [4, 2, 2]
    assert len(set(itertools.chain(*(part.paths for part in parts)))) == 32


@pytest.mark.parametrize("order", list(itertools.permutations(("train", "val", "test"))), ids="-".join)
def test_fraction__does_not_depend_on_which_split_is_asked_for_first(folder, order):
    for split in ("valid", "test"):
        shutil.rmtree(folder / split)
    expected, data = (make_data(folder, val_fraction=0.25, test_fraction=0.125) for _ in range(2))
    expected.setup()
    found = {name: data.split(name).paths for name in order}
    assert found == {name: expected.split(name).paths for name in order}


def test_fraction__is_left_alone_where_the_folder_is_there(shared_folder):
    data = make_data(shared_folder, val_fraction=0.5, test_fraction=0.5)
    data.setup()
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [32, 16, 16]


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.25])
def test_fraction__out_of_range(folder, fraction):
    with pytest.raises(
        ConfigError, match=f"data.val_fraction={fraction}\n  allowed: a number between 0 and 1, or null"
    ):
        make_data(folder, val_fraction=fraction)


def test_fraction__too_large_together_names_what_was_set(folder):
    for split in ("valid", "test"):
        shutil.rmtree(folder / split)
    with pytest.raises(DataError, match="too few to split off test") as caught:
        make_data(folder, val_fraction=0.5, test_fraction=0.75).setup()
    assert "(now 0.75)" in caught.value.hint


def test_fraction__that_failed_fails_again(folder):
    shutil.rmtree(folder / "valid")
    data = make_data(folder, val_fraction=0.99)
    for split in ("val", "train", "val"):
        with pytest.raises(DataError, match="too few"):
            data.split(split)


def test_fraction__trainer_trains_on_the_rest(folder):
    shutil.rmtree(folder / "valid")
    witness = Witness()
    run("train", make_data(folder, val_fraction=0.25), witness)
    assert witness.positions("train") == list(range(24))
    assert witness.positions("val") == list(range(8))


# Unreadable pictures


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_on_error__raise_names_the_file_and_the_way_out(folder, split):
    data = make_data(folder)
    bad = truncate(data.split(split).paths[6])
    with pytest.raises(DataError) as caught:
        run(split, data)
    assert bad in caught.value.got
    assert "truncated" in caught.value.got
    assert "data.on_error=skip" in caught.value.hint


def test_on_error__raise_from_a_worker(folder):
    data = make_data(folder, num_workers=1)
    bad = truncate(data.split("val").paths[6])
    with pytest.raises(DataError) as caught:
        run("val", data)
    assert bad in caught.value.got


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_on_error__skip_reads_all_the_others(folder, split):
    data, witness = make_data(folder, on_error="skip"), Witness()
    truncate(data.split(split).paths[6])
    size = len(data.split(split))
    run(split, data, witness)
    assert witness.positions(split) == [position for position in range(size) if position != 6]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_on_error__skip_lists_the_file_once_with_its_split_and_reason(folder, split):
    data = make_data(folder, on_error="skip")
    bad = truncate(data.split(split).paths[6])
    for _ in range(2):
        run(split, data)
    assert [(entry.split, entry.path) for entry in data.skipped] == [(split, bad)]
    assert data.skipped[0].reason.startswith(f"unreadable: {bad} cannot be read: image file is truncated")


@pytest.mark.parametrize("damage", ["text", "missing", "dangling link", "huge"])
def test_on_error__skip_takes_every_kind_of_damage(folder, damage):
    data = make_data(folder, on_error="skip")
    data.setup("validate")
    path = Path(data.split("val").paths[3])
    path.unlink()
    if damage == "text":
        path.write_text("no picture")
    elif damage == "dangling link":
        path.symlink_to(folder / "gone.jpg")
    elif damage == "huge":
        path.write_bytes(b"P6 30000 30000 255\n")
    run("val", data)
    assert [entry.path for entry in data.skipped] == [str(path)]


def test_on_error__skip_of_a_picture_that_was_split_off(folder):
    shutil.rmtree(folder / "valid")
    data = make_data(folder, on_error="skip", val_fraction=0.25)
    bad = truncate(data.split("val").paths[0])
    run("val", data)
    assert [(entry.split, entry.path) for entry in data.skipped] == [("val", bad)]


def test_on_error__classifier_goes_on_where_a_whole_batch_is_unreadable(folder, backbone):
    data = BreedDataModule(folder, backbone.transform, batch_size=8, num_workers=0, on_error="skip")
    data.setup("fit")
    bad = [truncate(path) for path in data.split("val").paths[:8]]  # the first batch
    head = LinearHead(backbone.num_features, data.num_classes)
    classifier = BreedClassifier(backbone, head, data.class_names, optimizer=partial(torch.optim.SGD, lr=0.1))
    trainer = make_trainer()
    trainer.fit(classifier, datamodule=data)
    assert [entry.path for entry in data.skipped] == bad
    assert 0 < trainer.callback_metrics["val/loss"] < float("inf")


def test_skipped__lists_what_scanning_left_out(folder):
    (folder / "train" / NAMES[0] / "notes.txt").write_text("x")
    (folder / "valid" / NAMES[0] / "empty.jpg").touch()
    (folder / "test" / ".ipynb_checkpoints").mkdir()
    data = make_data(folder)
    data.setup()
    assert data.skipped == [
        Skipped("test", str(folder / "test/.ipynb_checkpoints"), "hidden"),
        Skipped("train", str(folder / "train/001.Breed_A/notes.txt"), "not a picture"),
        Skipped("val", str(folder / "valid/001.Breed_A/empty.jpg"), "empty"),
    ]


def test_skipped__is_empty_where_nothing_is_wrong(shared_folder):
    data = make_data(shared_folder)
    run("train", data)
    assert data.skipped == []


def test_skipped__file_name_that_is_no_utf8_can_be_written_down(folder, tmp_path):
    bad = os.fsencode(folder / "valid" / NAMES[0]) + b"/caf\xe9.jpg"
    with open(bad, "wb") as file:
        file.write(b"no picture")
    data = make_data(folder, on_error="skip")
    run("val", data)
    write_skipped(tmp_path, data.skipped)
    with open(tmp_path / "skipped.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"{folder}/valid/001.Breed_A/caf\\udce9.jpg"]


# Settings


@pytest.mark.parametrize("value", [0, -1, 2.5, "32", None, True])
def test_breed_data_module__bad_batch_size(tmp_path, value):
    with pytest.raises(ConfigError, match=f"data.batch_size={value!r}"):
        make_data(tmp_path, batch_size=value)


@pytest.mark.parametrize("value", [-1, 1.5, "4", False])
def test_breed_data_module__bad_num_workers(tmp_path, value):
    with pytest.raises(ConfigError, match=f"data.num_workers={value!r}"):
        make_data(tmp_path, num_workers=value)


@pytest.mark.parametrize("value", ["ignore", "Skip", None, True])
def test_breed_data_module__bad_on_error(tmp_path, value):
    with pytest.raises(ConfigError, match=f"data.on_error={value!r}") as caught:
        make_data(tmp_path, on_error=value)
    assert caught.value.allowed == "raise or skip"


@pytest.mark.parametrize("value", ["valid", "", None])
def test_breed_data_module__bad_test_split(tmp_path, value):
    with pytest.raises(ConfigError, match=f"split={value!r}") as caught:
        make_data(tmp_path, test_split=value)
    assert caught.value.allowed == "train, val or test"


def test_breed_data_module__without_transform(shared_folder):
    data = BreedDataModule(shared_folder, batch_size=5)
    data.setup("fit")  # the folders can be checked without
    with pytest.raises(ConfigError, match="no transform"):
        data.train_dataloader()


@pytest.mark.parametrize("num_workers", [None, 0, 1])
def test_breed_data_module__workers_change_no_picture(shared_folder, num_workers):
    crop = CropFlip(scale=(0.3, 1.0), ratio=(1.0, 1.0))
    ours = next(iter(make_data(shared_folder, augmentation=crop, num_workers=num_workers).train_dataloader()))
    theirs = next(iter(make_data(shared_folder, augmentation=crop).train_dataloader()))
    assert torch.equal(ours.inputs, theirs.inputs)


# Class names of an artifact


def test_class_names__given_with_only_a_test_split(folder):
    for split in ("train", "valid"):
        shutil.rmtree(folder / split)
    witness = Witness()
    run("test", make_data(folder, class_names=list(NAMES)), witness)
    assert witness.positions("test") == list(range(16))


def test_class_names__given_decide_the_index(folder):
    names = ("zebra", *reversed(NAMES))
    data = make_data(folder, class_names=names)
    assert data.class_names == names
    assert data.split("test").counts(5) == [0, 4, 4, 4, 4]
    assert all(names[t] in path for path, t in zip(data.split("test").paths, data.split("test").targets, strict=True))


def test_class_names__missing_one_is_an_error(shared_folder):
    with pytest.raises(DataError, match=r"004\.Breed_D is none of the 3 classes"):
        make_data(shared_folder, class_names=NAMES[:3]).setup("test")


@pytest.mark.parametrize(("split", "size"), [("val", 16), ("train", 32)])
def test_test_split__is_what_the_trainer_tests(shared_folder, split, size):
    data, witness = make_data(shared_folder, test_split=split), Witness()
    run("test", data, witness)
    assert witness.positions("test") == list(range(size))
    assert next(iter(data.test_dataloader())).positions.tolist() == [0, 1, 2, 3, 4]


def test_test_split__is_the_only_one_that_must_be_there(folder):
    for split in ("train", "test"):
        shutil.rmtree(folder / split)
    witness = Witness()
    run("test", make_data(folder, class_names=NAMES, test_split="val"), witness)
    assert witness.positions("test") == list(range(16))


# Resuming


class Saver(pl.Callback):
    """Saves a checkpoint after so many steps, as SIGTERM makes a run do."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("asks_for_steps", [False, True])
@pytest.mark.parametrize("steps", [3, 9], ids=["first epoch", "second epoch"])
def test_resume__shows_the_very_batches_that_were_left(shared_folder, tmp_path, steps, asks_for_steps):
    whole, rest, path = Witness(asks_for_steps), Witness(asks_for_steps), tmp_path / "saved.ckpt"
    make_trainer(max_epochs=3, callbacks=[Saver(path, steps)]).fit(whole, datamodule=make_data(shared_folder))
    make_trainer(max_epochs=3).fit(rest, datamodule=make_data(shared_folder), ckpt_path=path)
    assert rest.seen["train"] == whole.seen["train"][steps:]


@pytest.mark.parametrize("asks_for_steps", [False, True])
@pytest.mark.parametrize("limit", [1.0, 2], ids=["whole epochs", "epochs cut short"])
def test_resume__after_an_epoch_begins_with_the_next(shared_folder, tmp_path, limit, asks_for_steps):
    whole, first, rest = (Witness(asks_for_steps) for _ in range(3))
    make_trainer(max_epochs=3, limit_train_batches=limit).fit(whole, datamodule=make_data(shared_folder))
    stopped = make_trainer(max_epochs=1, limit_train_batches=limit)
    stopped.fit(first, datamodule=make_data(shared_folder))
    stopped.save_checkpoint(tmp_path / "stopped.ckpt")
    again = make_trainer(max_epochs=3, limit_train_batches=limit)
    again.fit(rest, datamodule=make_data(shared_folder), ckpt_path=tmp_path / "stopped.ckpt")
    assert first.seen["train"] + rest.seen["train"] == whole.seen["train"]
