"""What the processes of a pass do with the pictures: read them, and as much of the rest as is theirs to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dogbreed.data.dataset import PictureDataset, Unreadable
from dogbreed.data.images import decode_image, is_plain_jpeg, picture_digest
from dogbreed.data.transforms import TransformSpec
from dogbreed.errors import ImageError
from dogbreed.features.engines import Engine, Forward

# A larger JPEG is decoded by the workers: 32 of these at once take 1.5 GB of a GPU, and their resizing no more.
_MOST_PIXELS = 16_000_000

_MEASURED = 600  # views of a pass whose pixels are measured: enough for a mean, and no cost

Tasks = NDArray[np.int64]  # (M, 3): data set, picture, view


class Pixels(NamedTuple):
    """The pixels of some pictures, normalised.

    Attributes:
        pictures: how many were measured.
        mean: over all their pixels and channels.
        spread: their standard deviation.
    """

    pictures: int
    mean: float
    spread: float

    def __add__(self, other: Pixels) -> Pixels:  # type: ignore[override]
        """Both together."""
        pictures, share = self.pictures + other.pictures, self.pictures / (self.pictures + other.pictures)
        mean = share * self.mean + (1 - share) * other.mean
        square = share * (self.spread**2 + self.mean**2) + (1 - share) * (other.spread**2 + other.mean**2)
        return Pixels(pictures, mean, math.sqrt(max(0.0, square - mean**2)))


class Extracted(NamedTuple):
    """The outcome of a batch of tasks.

    Attributes:
        done: int64 (n,), which of the tasks have features.
        features: float32 (n, D) on the CPU; before the engine has seen them still views, uint8 (n, 3, S, S).
        unreadable: of the other tasks, the pictures that could not be decoded.
        pixels: of some of the views as the network reads them: how many, and the mean of all their pixels.
    """

    done: Tensor
    features: Tensor
    unreadable: list[Unreadable]
    pixels: Pixels | None = None


class Undecoded(NamedTuple):
    """A batch of tasks of which some wait for a GPU to decode their pictures.

    Attributes:
        views: of the tasks that do not wait.
        waiting: int64 (m, 2): a task that waits, and which of the files it reads.
        content: uint8, the files one behind the other, for one tensor travels faster than many.
        lengths: of each file, in bytes.
    """

    views: Extracted
    waiting: Tensor
    content: Tensor
    lengths: list[int]

    @property
    def files(self) -> list[Tensor]:
        """Each file's content, uint8 (n,)."""
        return list(self.content.split(self.lengths))


class Pictures:
    """The pictures of a pass, and what they were when it was planned.

    Args:
        datasets: with their preprocessing and augmentation.
        digests: the `picture_digest` of each of their pictures.
        tasks: int64 (M, 3), rows of (number of the data set, number of the picture, view).
    """

    def __init__(self, datasets: Sequence[PictureDataset], digests: Sequence[Sequence[str]], tasks: Tasks) -> None:
        # Arrays instead of lists of objects: forked workers would copy a million reference counts.
        self._datasets, self._digests = list(datasets), [np.array(found, dtype="S32") for found in digests]
        self.tasks = tasks

    def path(self, task: int) -> str:
        """The file of a task's picture."""
        dataset, index, _ = self.tasks[task]
        return self._datasets[dataset].path(int(index))

    def read(self, task: int) -> bytes:
        """The file's content.

        Raises:
            ImageError: it cannot be read, or is no longer what it was.
        """
        path = self.path(task)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ImageError(f"{path} cannot be read: {reason}", "a file that can be read", "look at it") from error
        if picture_digest(content) != self._digest(task):
            raise ImageError(
                f"{path} was changed meanwhile: run it again", "pictures that stay as they are", "run it again"
            )
        return content

    def view(self, task: int, image: Tensor) -> Tensor:
        """The view that a task asks for of its decoded picture, uint8 (3, S, S)."""
        dataset, _, view = self.tasks[task]
        return self._datasets[dataset].view(image, self._digest(task), int(view))

    def pixels(self, tasks: Sequence[int], views: Tensor) -> Pixels | None:
        """What the network reads of some of these views, uint8 (n, 3, S, S): some from all over the pass."""
        stride = max(1, len(self.tasks) // _MEASURED)
        chosen = [place for place, task in enumerate(tasks) if task % stride == 0]
        if not chosen:
            return None
        return measure_pixels(views[chosen], self._datasets[0].spec)

    def _digest(self, task: int) -> str:
        dataset, index, _ = self.tasks[task]
        return str(self._digests[dataset][index].decode())

    def same(self, task: int, other: int | None) -> bool:
        """Whether two tasks are views of one picture."""
        return other is not None and bool((self.tasks[task, :2] == self.tasks[other, :2]).all())


class ReadViews(Dataset[Extracted]):
    """Batches of views, decoded and, with an engine, computed where they are read."""

    def __init__(self, pictures: Pictures, engine: Engine | None) -> None:
        self._pictures, self._engine = pictures, engine
        self._forward: Forward | None = None
        self._last: tuple[int, Tensor] | None = None  # a task and its picture, decoded once for all its views

    def __len__(self) -> int:
        return len(self._pictures.tasks)

    def __getitems__(self, tasks: Sequence[int]) -> Extracted:
        done, views, unreadable = [], [], []
        for task in tasks:
            try:
                views.append(self._pictures.view(task, self._decoded(task)))
                done.append(task)
            except ImageError as error:
                unreadable.append(Unreadable(self._pictures.path(task), error.got))
        stacked = stack(views)
        pixels = self._pictures.pixels(done, stacked)
        return Extracted(torch.tensor(done, dtype=torch.int64), self._compute(stacked), unreadable, pixels)

    def _decoded(self, task: int) -> Tensor:
        if self._last is None or not self._pictures.same(task, self._last[0]):
            self._last = task, decode_image(self._pictures.read(task), self._pictures.path(task))
        return self._last[1]

    def _compute(self, views: Tensor) -> Tensor:
        if self._engine is None:
            return views
        if not len(views):
            return torch.empty(0, self._engine.num_features)
        if self._forward is None:
            self._forward = self._engine.load()
        return self._forward(views)


class ReadFiles(Dataset[Undecoded]):
    """Batches of JPEGs as they are in their files, and of views of the pictures that a GPU does not decode."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures.tasks)

    def __getitems__(self, tasks: Sequence[int]) -> Undecoded:
        done, views, unreadable = [], [], []
        waiting: list[tuple[int, int]] = []
        files: list[Tensor] = []
        last: tuple[int, Tensor | None] | None = None  # a task and its picture, None for one that waits
        for task in tasks:
            try:
                if last is None or not self._pictures.same(task, last[0]):
                    content, image = self._pictures.read(task), None
                    if is_plain_jpeg(content, _MOST_PIXELS):
                        files.append(torch.frombuffer(bytearray(content), dtype=torch.uint8))
                    else:
                        image = decode_image(content, self._pictures.path(task))
                    last = task, image
                if last[1] is None:
                    waiting.append((task, len(files) - 1))
                else:
                    views.append(self._pictures.view(task, last[1]))
                    done.append(task)
            except ImageError as error:
                unreadable.append(Unreadable(self._pictures.path(task), error.got))
        return Undecoded(
            Extracted(torch.tensor(done, dtype=torch.int64), stack(views), unreadable),
            torch.tensor(waiting, dtype=torch.int64).reshape(-1, 2),
            torch.cat([torch.empty(0, dtype=torch.uint8), *files]),
            [len(file) for file in files],
        )


def measure_pixels(views: Tensor, spec: TransformSpec) -> Pixels:
    """What the network reads of some views, uint8 (n, 3, S, S), n > 0."""
    normalised = spec.normalize(views)
    return Pixels(len(views), float(normalised.mean()), float(normalised.std(correction=0)))


def stack(views: Sequence[Tensor]) -> Tensor:
    """Views as a batch, which may be empty."""
    return torch.stack(list(views)) if views else torch.empty(0, 3, 0, 0, dtype=torch.uint8)
