"""Which pictures come in which batch, on which process, and how they are loaded."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dogbreed.data.dataset import Batch, Key, collate
from dogbreed.errors import ConfigError
from dogbreed.seeding import derive_seed


class GlobalBatches(Sampler[list[Key]]):
    """This process's share of every global batch, as (epoch, index) keys.

    One global batch is the same set of pictures however many processes share it, so that training on
    several processes follows the trajectory of one. The order depends on the seed and the epoch alone.
    For training, what the processes cannot share evenly (fewer pictures than processes) is left out of
    that epoch; for evaluation every picture is counted exactly once.

    Args:
        size: pictures in the split.
        batch_size: pictures in a global batch.
        shuffle: a new order each epoch (training), or the split's own (evaluation).
        seed: of the order.
        rank: this process.
        world_size: processes that share a batch.
    """

    def __init__(
        self, size: int, batch_size: int, *, shuffle: bool, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if world_size > batch_size:
            raise ConfigError(
                f"a batch of {batch_size} for {world_size} processes",
                "at least one picture for each process",
                f"set data.batch_size={world_size} or more (it counts the pictures of all processes)",
            )
        self.size, self.batch_size, self.shuffle, self.seed = size, batch_size, shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._resume: Key | None = None  # (epoch, batch)

    @property
    def sampler(self) -> GlobalBatches:
        """Itself: Lightning looks here for the `set_epoch` to call."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on."""
        self.epoch = epoch

    def resume(self, epoch: int, batch: int) -> None:
        """Begin at this batch, if the next order to be read is that of this epoch."""
        self._resume = (epoch, batch)

    @property
    def first_batch(self) -> int:
        """The batch at which the next reading begins."""
        epoch, batch = self._resume or (self.epoch, 0)
        return batch % max(1, len(self)) if epoch == self.epoch else 0

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size)
        # An evaluation batch may be empty on some ranks; every rank counts it, so that none waits alone.
        keep_rest = rest >= self.world_size if self.shuffle else rest > 0
        return full + keep_rest

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, first, self._resume = self.epoch, self.first_batch, None
        order = self._order(epoch)
        for batch in range(first, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(epoch, index) for index in indices[self.rank :: self.world_size]]

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        return torch.randperm(self.size, generator=generator).tolist()


class BatchLoader(DataLoader[Batch]):
    """A DataLoader over global batches that can continue in the middle of an epoch.

    Lightning saves `state_dict` with each checkpoint and loads it before the first batch.

    Args:
        dataset: of samples by key, or, with `__getitems__`, of whole batches.
        batches: the keys.
        num_workers: loader processes.
        pin_memory: whether the batches go to a GPU.
        collate_fn: makes a batch of what `dataset` gives.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batches: GlobalBatches,
        *,
        num_workers: int,
        pin_memory: bool,
        collate_fn: Callable[[Any], Batch] = collate,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=collate_fn,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            prefetch_factor=4 if num_workers else None,
        )
        self._batches = batches
        self._epoch, self._given = batches.epoch, 0

    def __iter__(self) -> Any:
        """The batches from where the loaded state left off; from the start of the epoch the next time."""
        self._epoch, self._given = self._batches.epoch, self._batches.first_batch
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of which epoch have been given."""
        return {"epoch": self._epoch, "batches": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the batches that were given before, if it is their epoch that goes on.

        An epoch may have ended before its last batch (trainer.limit_train_batches); the next one is whole.
        """
        self._batches.resume(state["epoch"], state["batches"])


class SplitLoaders(pl.LightningDataModule, ABC):
    """The loaders of three splits, shared out between processes and resumable, whatever they read.

    Args:
        batch_size: pictures in a batch, over all processes together.
        seed: of the order.
        test_split: what `trainer.test` reads: "test", or another split to look into.
    """

    def __init__(self, *, batch_size: int, seed: int, test_split: str) -> None:
        super().__init__()
        self.batch_size, self.seed, self.test_split = batch_size, seed, test_split
        self._train_loader: BatchLoader | None = None
        self._resumed_from: dict[str, int] | None = None

    @property
    @abstractmethod
    def source(self) -> Any:
        """The BreedDataModule whose pictures these are; None where only their features are known."""

    @abstractmethod
    def load(self, name: str, batches: Callable[[int], GlobalBatches], *, train: bool) -> BatchLoader:
        """The loader of a split: as training reads it, or clean.

        Args:
            name: "train", "val" or "test".
            batches: what makes the batches of a number of pictures.
            train: whether an epoch is trained on them.
        """

    def train_dataloader(self) -> BatchLoader:
        """Shuffled by (seed, epoch), in the views that the epoch reads."""
        self._train_loader = self.loader("train", train=True)
        if self._resumed_from is not None:
            self._train_loader.load_state_dict(self._resumed_from)
            self._resumed_from = None
        return self._train_loader

    def val_dataloader(self) -> BatchLoader:
        """Clean views in the split's own order."""
        return self.loader("val")

    def test_dataloader(self) -> BatchLoader:
        """Clean views of `test_split`."""
        return self.loader(self.test_split)

    def loader(self, name: str, *, train: bool = False, shared: bool = True) -> BatchLoader:
        """Batches of a split: as training reads them, or clean and in order; shared between processes, or whole."""
        trainer = self.trainer

        def batches(size: int) -> GlobalBatches:
            made = GlobalBatches(
                size,
                self.batch_size,
                shuffle=train,
                seed=self.seed,
                rank=trainer.global_rank if trainer and shared else 0,
                world_size=trainer.world_size if trainer and shared else 1,
            )
            # Lightning makes the first iterator of a resumed fit before it calls set_epoch.
            made.set_epoch(trainer.current_epoch if trainer and train else 0)
            return made

        return self.load(name, batches, train=train)

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands: Lightning keeps it with each checkpoint."""
        return {"loader": self._train_loader.state_dict() if self._train_loader else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue in the middle of an epoch.

        Lightning gives a loader its own state back only if the loader is made after the checkpoint is read,
        and a schedule that asks for the number of steps has it made before.
        """
        self._resumed_from = state_dict["loader"]


def default_workers(processes: int = 1) -> int:
    """Loader processes that keep this machine's device busy.

    With a GPU every core decodes; without one the backbone itself needs the cores, and decoding is a tenth
    of the work (measured: 4 to 11 %).
    """
    cores = available_cores()
    share = cores if torch.cuda.is_available() else cores // 8
    return max(1, min(16, share) // processes)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
