"""Which pictures come in which batch, on which process, and how they are loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from dogbreed.data.dataset import Batch, Key, PictureDataset, collate
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


class PictureLoader(DataLoader[Batch]):
    """A DataLoader over global batches that can continue in the middle of an epoch.

    Lightning saves `state_dict` with each checkpoint and loads it before the first batch.
    """

    def __init__(self, dataset: PictureDataset, batches: GlobalBatches, *, num_workers: int, pin_memory: bool) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # a Dataset of samples, collated to batches
            batch_sampler=batches,
            collate_fn=collate,
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


def default_workers(processes: int = 1) -> int:
    """Loader processes that keep this machine's device busy.

    With a GPU every core decodes; without one the backbone itself needs the cores, and decoding is a tenth
    of the work (measured: 4 to 11 %).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores if torch.cuda.is_available() else cores // 8
    return max(1, min(16, share) // processes)
