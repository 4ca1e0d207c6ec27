"""The fast pass: decode, transform and backbone in one stream, with a process for each core."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from dogbreed.data.dataset import PictureDataset
from dogbreed.data.loading import available_cores
from dogbreed.features.engines import CPU_BATCH, GPU_BATCH, Engine, Forward
from dogbreed.features.reading import Extracted, Pictures, ReadFiles, ReadViews, Tasks

_READERS = 4  # processes that read files for a GPU to decode: each holds a batch of whole files


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

    On a CPU each worker decodes and computes, with one thread; for a GPU the workers decode, or with a decoder on
    the GPU only read, and this process does the rest, a batch ahead of what it hands out. Batches begin at
    multiples of `batch_size`, so that a pass over the same tasks gives the same bits whatever the number of workers.

    Args:
        datasets: of pictures, with their preprocessing and augmentation.
        digests: the `picture_digest` of each of their pictures; one that has changed since counts as unreadable.
        tasks: int64 (M, 3), rows of (number of the data set, number of the picture, view).
        engine: computes the features.
        batch_size: None for what suits the device.
        workers: processes; 0 for this one; None for what suits the machine.
    """
    decoder = engine.decoder
    in_workers = engine.device == "cpu" and decoder is None
    if batch_size is None:
        batch_size = CPU_BATCH if engine.device == "cpu" else GPU_BATCH
    if workers is None:
        cores = min(available_cores(), _READERS) if decoder else available_cores()
        workers = cores if len(tasks) > 2 * batch_size else 0
    pictures = Pictures(datasets, digests, tasks)
    loader: DataLoader[Any] = DataLoader(
        ReadFiles(pictures) if decoder else ReadViews(pictures, engine if in_workers else None),
        batch_sampler=_Slices(len(tasks), batch_size),
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=keep_freed_memory,
        prefetch_factor=None if not workers else 1 if decoder else 2 if in_workers else 4,
        pin_memory=engine.device != "cpu" and decoder is None,
    )
    if in_workers:
        yield from loader
    else:
        yield from _ahead(decoder.views(loader, pictures) if decoder else loader, engine.load())


def _ahead(batches: Iterable[Extracted], forward: Forward) -> Iterator[Extracted]:
    """Start each batch on the GPU before the features of the one before are waited for."""
    waiting: tuple[Extracted, Callable[[], None]] | None = None
    for batch in batches:
        features = forward(batch.features) if len(batch.done) else torch.empty(0)
        host, wait = _fetch(features)
        if waiting is not None:
            waiting[1]()  # for the batch before: this one is being computed meanwhile
            yield waiting[0]
        waiting = batch._replace(features=host), wait
    if waiting is not None:
        waiting[1]()
        yield waiting[0]


def _fetch(features: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """Where the features will be on the CPU, and what waits until they are there."""
    if features.device.type == "cpu":
        return features, lambda: None
    host = torch.empty(features.shape, pin_memory=True)
    host.copy_(features, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return host, copied.synchronize


class _Slices(Sampler[list[int]]):
    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, self.size, self.batch_size):
            yield list(range(first, min(first + self.batch_size, self.size)))


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
