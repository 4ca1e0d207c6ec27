"""The fast pass: decode, transform and backbone in one stream, with a process for each core."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dogbreed.data.dataset import PictureDataset, Unreadable
from dogbreed.data.images import decode_image, picture_digest
from dogbreed.data.loading import available_cores
from dogbreed.errors import ImageError
from dogbreed.features.engines import CPU_BATCH, GPU_BATCH, Engine, Forward

Tasks = NDArray[np.int64]  # (M, 3): data set, picture, view


class Extracted(NamedTuple):
    """The outcome of a batch of tasks.

    Attributes:
        done: int64 (n,), which of the tasks have features.
        features: float32 (n, D) on the CPU; in a loader's process, on a GPU's behalf, still uint8 (n, 3, S, S).
        unreadable: of the other tasks, the pictures that could not be decoded.
    """

    done: Tensor
    features: Tensor
    unreadable: list[Unreadable]


def extract(
    datasets: Sequence[PictureDataset],
    digests: Sequence[Sequence[str]],
    tasks: Tasks,
    engine: Engine,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
) -> Iterator[Extracted]:
    """The features of every task, batch by batch and in order.

    On a CPU each worker decodes and computes, with one thread; on a GPU the workers decode, and this process
    copies and computes, a batch ahead of what it hands out. Batches begin at multiples of `batch_size`, so that
    a pass over the same tasks gives the same bits whatever the number of workers.

    Args:
        datasets: of pictures, with their preprocessing and augmentation.
        digests: the `picture_digest` of each of their pictures; one that has changed since counts as unreadable.
        tasks: int64 (M, 3), rows of (number of the data set, number of the picture, view).
        engine: computes the features.
        batch_size: None for what suits the device.
        workers: processes; 0 for this one; None for what suits the machine.
    """
    on_cpu = engine.device == "cpu"
    if batch_size is None:
        batch_size = CPU_BATCH if on_cpu else GPU_BATCH
    if workers is None:
        workers = available_cores() if len(tasks) > 2 * batch_size else 0
    loader: DataLoader[Extracted] = DataLoader(
        _Pass(datasets, digests, tasks, engine if on_cpu else None),
        batch_sampler=_Slices(len(tasks), batch_size),
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=keep_freed_memory,
        prefetch_factor=None if not workers else 2 if on_cpu else 4,
        pin_memory=not on_cpu,
    )
    if on_cpu:
        yield from loader
    else:
        yield from _ahead(loader, engine.load())


def _ahead(loader: DataLoader[Extracted], forward: Forward) -> Iterator[Extracted]:
    """Start each batch on the GPU before the features of the one before are waited for."""
    waiting: tuple[Extracted, torch.cuda.Event] | None = None
    for batch in loader:
        features = forward(batch.features) if len(batch.done) else torch.empty(0)
        host = torch.empty(features.shape, pin_memory=True)
        host.copy_(features, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        if waiting is not None:
            waiting[1].synchronize()  # of the batch before: this one is being computed meanwhile
            yield waiting[0]
        waiting = batch._replace(features=host), copied
    if waiting is not None:
        waiting[1].synchronize()
        yield waiting[0]


class _Slices(Sampler[list[int]]):
    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, self.size, self.batch_size):
            yield list(range(first, min(first + self.batch_size, self.size)))


class _Pass(Dataset[Extracted]):
    """A batch of tasks, read and, with an engine, computed where it is read."""

    def __init__(
        self, datasets: Sequence[PictureDataset], digests: Sequence[Sequence[str]], tasks: Tasks, engine: Engine | None
    ) -> None:
        # Arrays instead of lists of objects: forked workers would copy a million reference counts.
        self._datasets, self._digests = list(datasets), [np.array(found, dtype="S32") for found in digests]
        self._tasks, self._engine = tasks, engine
        self._forward: Forward | None = None
        self._last: tuple[tuple[int, int], Tensor] | None = None  # decoded once for all its views

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitems__(self, numbers: Sequence[int]) -> Extracted:
        done, views, unreadable = [], [], []
        for number in numbers:
            dataset, index, view = (int(part) for part in self._tasks[number])
            try:
                views.append(self._view(dataset, index, view))
                done.append(int(number))
            except ImageError as error:
                unreadable.append(Unreadable(self._datasets[dataset].path(index), error.got))
        images = torch.stack(views) if views else torch.empty(0, 3, 0, 0, dtype=torch.uint8)
        return Extracted(torch.tensor(done, dtype=torch.int64), self._compute(images), unreadable)

    def _view(self, dataset: int, index: int, view: int) -> Tensor:
        pictures, expected = self._datasets[dataset], self._digests[dataset][index].decode()
        if self._last is None or self._last[0] != (dataset, index):
            self._last = ((dataset, index), _read(pictures.path(index), expected))
        return pictures.view(self._last[1], expected, view)

    def _compute(self, images: Tensor) -> Tensor:
        if self._engine is None:
            return images
        if not len(images):
            return torch.empty(0, self._engine.num_features)
        if self._forward is None:
            self._forward = self._engine.load()
        return self._forward(images)


def _read(path: str, expected: str) -> Tensor:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} cannot be read: {reason}", "a file that can be read", "look at it") from error
    if picture_digest(content) != expected:
        raise ImageError(
            f"{path} was changed meanwhile: run it again", "pictures that stay as they are", "run it again"
        )
    return decode_image(content, path)


def _as_it_is(batch: Any) -> Any:
    return batch


def keep_freed_memory(worker: int = 0) -> None:
    """Let this process keep what it frees instead of handing it back to the system and asking for it again.

    The activations of each layer are megabytes, which glibc otherwise maps and clears anew for every batch; kept,
    MobileNetV2 was 1.2 to 1.6 times faster (measured). The numbers are glibc's M_TRIM_THRESHOLD and
    M_MMAP_THRESHOLD; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-1, 2**31 - 1)
            libc.mallopt(-3, 2**30)
