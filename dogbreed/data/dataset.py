"""Pictures by index, and the batches made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dogbreed.data.folder import Split
from dogbreed.data.images import decode_image, picture_digest
from dogbreed.data.transforms import Augmentation, TransformSpec
from dogbreed.errors import ImageError
from dogbreed.seeding import derive_seed

Key = tuple[int, int]  # (epoch, index): the augmented view of a picture depends on both, and on the seed


class Unreadable(NamedTuple):
    """A picture that could not be decoded."""

    path: str
    reason: str


class Sample(NamedTuple):
    """One picture: uint8 (3, S, S), or why it could not be decoded."""

    image: Tensor | None
    target: int
    position: int
    unreadable: Unreadable | None


class Batch(NamedTuple):
    """What the model sees.

    Attributes:
        inputs: uint8 pictures (B, 3, S, S), or their features, float (B, D), where these are computed already.
        targets: int64 (B,), class indices.
        positions: int64 (B,), which pictures of the split they are.
        unreadable: the pictures of this batch that could not be decoded; they are in none of the above.
    """

    inputs: Tensor
    targets: Tensor
    positions: Tensor
    unreadable: list[Unreadable]


class PictureDataset(Dataset[Sample]):
    """The pictures of a split as uint8 tensors of the size that the backbone reads.

    A key is an index, or (epoch, index) where an augmentation draws other views; a view's chance comes from the
    seed, the view and the picture alone, never from the batch size or the worker.

    Args:
        split: the pictures.
        spec: the preprocessing.
        augmentation: draws the views; None for the clean one.
        seed: of the augmented views.
        views: how many views the epochs read in turn, the clean one first; None for a fresh one each epoch.
    """

    def __init__(
        self,
        split: Split,
        spec: TransformSpec,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        views: int | None = None,
    ) -> None:
        # One array each instead of a list of objects: forked workers would copy a million reference counts.
        self._paths = np.array([os.fsencode(path) for path in split.paths])
        self._targets = np.array(split.targets, dtype=np.int64)
        self.spec = spec
        self.augmentation = augmentation
        self.seed = seed
        self.views = views

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def paths(self) -> list[str]:
        """The file of each picture."""
        return [os.fsdecode(path) for path in self._paths]

    @property
    def targets(self) -> Tensor:
        """The class of each picture, int64 (N,)."""
        return torch.from_numpy(self._targets)

    def path(self, index: int) -> str:
        """The file of a picture."""
        return os.fsdecode(self._paths[index])

    def __getitem__(self, key: int | Key) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        path, target = self.path(index), int(self._targets[index])
        try:
            if self.views is None:
                return Sample(self._fresh_view(decode_image(path), epoch, index), target, index, None)
            view, image = epoch % self.views, decode_image(path)
            picture = picture_digest(Path(path).read_bytes()) if view else ""
            return Sample(self.view(image, picture, view), target, index, None)
        except ImageError as error:
            # Raised in a worker, the error would lose its parts on the way; the DataModule decides.
            return Sample(None, target, index, Unreadable(path, error.got))

    def view(self, image: Tensor, picture: str, view: int) -> Tensor:
        """One view of a decoded picture, uint8 (3, S, S): 0 is the clean one.

        The chance of the others comes from (seed, view, picture), so that it is the same wherever the
        picture stands.

        Args:
            image: uint8 (3, H, W).
            picture: its `picture_digest`.
            view: from 0.
        """
        if view == 0 or self.augmentation is None:
            return self.spec.clean_view(image)
        return self._augmented(image, derive_seed(self.seed, "view", view, picture))

    def _fresh_view(self, image: Tensor, epoch: int, index: int) -> Tensor:
        if self.augmentation is None:
            return self.spec.clean_view(image)
        return self._augmented(image, derive_seed(self.seed, "view", epoch, index))

    def _augmented(self, image: Tensor, seed: int) -> Tensor:
        assert self.augmentation is not None
        with torch.random.fork_rng(devices=[]):
            # The CPU's generator alone: torch.manual_seed would seed the GPUs too, which are not forked here.
            torch.default_generator.manual_seed(seed)
            return self.augmentation(image, self.spec)


def collate(samples: Sequence[Sample]) -> Batch:
    """The batch of those samples that could be decoded; it may be empty."""
    good = [sample for sample in samples if sample.image is not None]
    images = [sample.image for sample in good if sample.image is not None]
    return Batch(
        inputs=torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8),
        targets=torch.tensor([sample.target for sample in good], dtype=torch.int64),
        positions=torch.tensor([sample.position for sample in good], dtype=torch.int64),
        unreadable=[sample.unreadable for sample in samples if sample.unreadable is not None],
    )
