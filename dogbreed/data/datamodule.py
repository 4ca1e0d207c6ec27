"""BreedDataModule: any folder of class folders, as batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from dogbreed.data.dataset import Batch, PictureDataset, Unreadable
from dogbreed.data.exclusions import leave_out, read_exclusions
from dogbreed.data.folder import (
    SPLITS,
    Skipped,
    Split,
    find_split,
    list_class_names,
    require_split,
    scan_split,
    split_off,
)
from dogbreed.data.loading import BatchLoader, GlobalBatches, SplitLoaders, default_workers
from dogbreed.data.sample import draw_sample
from dogbreed.data.transforms import Augmentation, TransformSpec
from dogbreed.errors import ConfigError, DataError


class BreedDataModule(SplitLoaders):
    """Photographs in `root/{train,valid or val,test}/CLASS/`, read as uint8 batches.

    Args:
        root: the data set's folder.
        transform: the preprocessing of the backbone's weights (`backbone.transform`); it may be set later, since
            the folders can be checked without it.
        batch_size: pictures in a batch, over all processes together.
        augmentation: draws other views of the training pictures; None for the clean view.
        val_fraction: share of train to use where `root` has no validation split; None makes that an error.
        test_fraction: the same for test.
        exclude: the CSV of files to leave out that an audit writes; None for none.
        on_error: "raise" stops at a picture that cannot be decoded, "skip" leaves it out and lists it.
        num_workers: loader processes; None for what suits this machine.
        seed: of the order, the views and the fractions split off.
        class_names: the classes in their fixed order; None to take the sorted folder names of train.
        test_split: what `trainer.test` reads: "test", or another split to look into.
        views: how many views of a training picture the epochs read in turn, the clean one first; None for a
            fresh one each epoch.
        view_seed: of the augmented ones among `views`; of fresh ones it is `seed`.

    Attributes:
        fractions: for "val" and "test", the share of train to use; None for a folder of its own.
    """

    def __init__(
        self,
        root: str | Path,
        transform: TransformSpec | None = None,
        *,
        batch_size: int,
        augmentation: Augmentation | None = None,
        val_fraction: float | None = None,
        test_fraction: float | None = None,
        exclude: str | Path | None = None,
        on_error: str = "raise",
        num_workers: int | None = None,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        test_split: str = "test",
        views: int | None = None,
        view_seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, test_split=test_split)
        _check("data.batch_size", batch_size, isinstance(batch_size, int) and batch_size >= 1, "a whole number >= 1")
        _check("data.on_error", on_error, on_error in ("raise", "skip"), "raise or skip")
        _check("split", test_split, test_split in SPLITS, "train, val or test")
        workers_ok = num_workers is None or (isinstance(num_workers, int) and num_workers >= 0)
        _check("data.num_workers", num_workers, workers_ok, "a whole number >= 0, or null for what suits the machine")
        for name, fraction in (("val", val_fraction), ("test", test_fraction)):
            ok = fraction is None or (isinstance(fraction, int | float) and 0 < fraction < 1)
            _check(f"data.{name}_fraction", fraction, ok, "a number between 0 and 1, or null")
        exclude_ok = exclude is None or isinstance(exclude, str | Path)
        _check("data.exclude", exclude, exclude_ok, "the path of a list, or null")
        self.root = Path(root)
        self.exclude = exclude
        self.transform = transform
        self.augmentation = augmentation
        self.on_error = on_error
        self.num_workers = num_workers
        self.views = views
        self.view_seed = view_seed
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self._class_names = tuple(class_names) if class_names is not None else None
        self._splits: dict[str, Split] = {}
        self._unreadable: dict[str, str] = {}

    @property
    def source(self) -> BreedDataModule:
        """Itself."""
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in their one order."""
        if self._class_names is None:
            self._class_names = list_class_names(require_split(self.root, "train"))
        return self._class_names

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def skipped(self) -> list[Skipped]:
        """What was left out so far: while scanning, and (on_error="skip") while decoding."""
        found = {entry.path: entry for split in self._splits.values() for entry in split.skipped}
        for path, reason in self._unreadable.items():
            found[path] = Skipped(_split_of(path, self._splits), path, f"unreadable: {reason}")
        return sorted(found.values(), key=lambda entry: entry.path)

    def split(self, name: str) -> Split:
        """The pictures of "train", "val" or "test", scanned once.

        Raises:
            DataError: the split is missing and no fraction says to split it off, or it cannot be used.
        """
        if name not in self._splits:
            self._scan(name)
        return self._splits[name]

    def readable(self, name: str) -> str:
        """The first picture of a split that has not been found unreadable: one to try a classifier on."""
        paths = self.split(name).paths
        return next((path for path in paths if path not in self._unreadable), paths[0])

    def setup(self, stage: str | None = None) -> None:
        """Scan the folders that the stage reads; what is wrong with them is said now."""
        for name in {"fit": ("train", "val"), "validate": ("val",), "test": (self.test_split,)}.get(
            stage or "", SPLITS
        ):
            self.split(name)

    def load(self, name: str, batches: Callable[[int], GlobalBatches], *, train: bool) -> BatchLoader:
        """Pictures of a split, read by `num_workers` processes."""
        dataset = self.pictures(name, train=train)
        workers = self.num_workers
        if workers is None:
            workers = default_workers(self.trainer.num_devices if self.trainer else 1)
        return BatchLoader(dataset, batches(len(dataset)), num_workers=workers, pin_memory=torch.cuda.is_available())

    def pictures(self, name: str, *, train: bool = False) -> PictureDataset:
        """The pictures of a split: in the views that training reads, or clean."""
        if not train:
            return PictureDataset(self.split(name), self.spec)
        seed = self.seed if self.views is None else self.view_seed
        return PictureDataset(self.split(name), self.spec, self.augmentation, seed, self.views)

    @property
    def spec(self) -> TransformSpec:
        """The preprocessing.

        Raises:
            ConfigError: it has not been set.
        """
        if self.transform is None:
            raise ConfigError("no transform", "the one of the backbone", "datamodule.transform = backbone.transform")
        return self.transform

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """The batch, once its unreadable pictures have been dealt with as `on_error` says."""
        for picture in batch.unreadable:
            self.note_unreadable(picture)
        return batch

    def note_unreadable(self, picture: Unreadable) -> None:
        """Do with a picture that cannot be decoded as `on_error` says.

        Raises:
            DataError: it says "raise"; or the folder of the picture has vanished, with all that is in it.
        """
        if not (folder := Path(picture.path).parent).is_dir():
            raise DataError(
                got=f"{folder} is gone, while its pictures were read",
                allowed=f"{self.root} as it was when the command began",
                hint="bring it back (a disk may have to be mounted again), and run it again",
            )
        if self.on_error == "raise":
            raise DataError(
                got=picture.reason,
                allowed="pictures that can be decoded",
                hint="replace or remove it, or leave such files out and list them: data.on_error=skip",
            )
        self._unreadable[picture.path] = picture.reason

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands and what could not be read: Lightning keeps it with each checkpoint."""
        return {**super().state_dict(), "unreadable": dict(self._unreadable)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue in the middle of an epoch."""
        super().load_state_dict(state_dict)
        self._unreadable |= state_dict["unreadable"]

    def teardown(self, stage: str) -> None:
        """Let every process know what each of them could not decode."""
        if dist.is_available() and dist.is_initialized():
            everywhere: list[dict[str, str]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(everywhere, self._unreadable)
            self._unreadable = {path: reason for found in everywhere for path, reason in found.items()}

    @cached_property
    def _exclusions(self) -> dict[str, str]:
        return {} if self.exclude is None else read_exclusions(self.exclude, self.root)

    def _scan(self, name: str) -> None:
        folder = find_split(self.root, name)
        if folder is None and self.fractions.get(name) is None:
            require_split(self.root, name)
        if folder is None:
            self.split("train")  # what is split off comes out of train, so train is only known once both are
        else:
            found = scan_split(name, folder, self.class_names)
            if self._exclusions:
                found = leave_out(found, self.root, self._exclusions)
            self._splits[name] = self._split_off_missing(found) if name == "train" else found

    def _split_off_missing(self, train: Split) -> Split:
        rest, whole = train, len(train)
        for name in ("val", "test"):
            fraction = self.fractions[name]
            if fraction is not None and find_split(self.root, name) is None:
                # A fraction is a share of the whole, whichever is split off first.
                rest, self._splits[name] = split_off(rest, name, fraction, self.seed, whole)
        return rest


class SampleDataModule(BreedDataModule):
    """The drawn sample, made at `root` on first use."""

    def prepare_data(self) -> None:
        """Draw it, unless it is there."""
        draw_sample(self.root)


def _check(key: str, value: object, ok: bool, allowed: str) -> None:
    if not ok or isinstance(value, bool):
        raise ConfigError(f"{key}={value!r}", allowed, f"set {key} to {allowed}")


def _split_of(path: str, splits: dict[str, Split]) -> str:
    return next((split.name for split in splits.values() if path in split.paths), "")
