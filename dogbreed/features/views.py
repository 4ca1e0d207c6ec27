"""The features of a split, as training reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class FeatureViews:
    """The features of the N pictures of a split in V views, [V, N, D]: in memory, or mapped from disk.

    View 0 is the clean one, the others are augmented readings.

    Args:
        arrays: one for each view, float16 or float32 (R, D), R being whatever the array holds; length V.
        rows: int64 (V, N), where each picture stands in its view's array; -1 where it could not be decoded.
        targets: int64 (N,), class indices.

    Attributes:
        targets: int64 (N,).
        readable: bool (N,), which pictures could be decoded; only these can be asked for.
    """

    def __init__(self, arrays: Sequence[NDArray[np.floating]], rows: NDArray[np.int64], targets: Tensor) -> None:
        self._arrays, self._rows = list(arrays), rows
        self.targets = targets
        self.readable = torch.from_numpy((rows >= 0).all(axis=0))

    @classmethod
    def of(cls, features: Tensor, targets: Tensor) -> FeatureViews:
        """Of features (V, N, D) and targets (N,) in memory."""
        views, pictures, _ = features.shape
        rows = np.broadcast_to(np.arange(pictures), (views, pictures))
        return cls([view.numpy() for view in features], rows, targets)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(V, N, D)."""
        views, pictures = self._rows.shape
        return views, pictures, self._arrays[0].shape[1]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, epoch: int, positions: Tensor) -> Tensor:
        """The features that an epoch reads, float32 (B, D): of view `epoch` modulo V.

        Args:
            epoch: from 0.
            positions: int64 (B,), of readable pictures.
        """
        view = epoch % len(self._arrays)
        return torch.from_numpy(self._arrays[view][self._rows[view, positions.numpy()]]).float()
