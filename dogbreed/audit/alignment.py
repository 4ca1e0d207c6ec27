"""Whether two pictures show the same photograph: what one keeps of the other is looked for, up to a few edges lost.

Each window of one thumbnail is laid over the whole of the other, and what remains of both without their broad light
and shade is compared. A white dog on black looks like any other white dog on black until the broad shapes are taken
away; the hairs, leaves and shadows that remain belong to one photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pairs = NDArray[np.int64]  # (P, 3): first picture, second picture, whether the second is to be mirrored

_PIXELS = 64  # of a thumbnail's side
_NEAR = 4  # pixels: what is broader than this on either side is light and shade
#: Grey levels, a standard deviation: a window with less shows the grain of a wall or of a JPEG, and no photograph.
_LEAST_DETAIL = 1.0

_PAIRS, _PICTURES = 4096, 32  # at once: 32 MB of windows


@dataclass(frozen=True)
class Windows:
    """Parts of a thumbnail, each scaled to the same size.

    Attributes:
        side: of that size, in cells.
        sizes: of the parts' width and height, each by itself, as shares of the whole: 1 is the first.
        step: by which they are moved, as a share of the whole.
    """

    side: int
    sizes: tuple[float, ...]
    step: float

    @cached_property
    def lines(self) -> Tensor:
        """What the cells of each part of a line take of each of its pixels, (L, S, 64): the whole line first."""
        spans = [
            (start, size)
            for size in self.sizes
            for start in np.linspace(0, 1 - size, round((1 - size) / self.step) + 1)
        ]
        return torch.from_numpy(np.stack([_cells(start, size, self.side) for start, size in spans])).float()

    def cut(self, details: Tensor) -> Tensor:
        """All windows of each of B pictures, (B, L * L, S * S), each with mean 0 and length 1."""
        rows = torch.einsum("lsi,bij->blsj", self.lines, details)
        return _normalise(torch.einsum("blsj,mtj->blmst", rows, self.lines).flatten(3).flatten(1, 2))

    def whole(self, details: Tensor) -> Tensor:
        """The window that is all of it, (B, S, S), with mean 0 and length 1."""
        return _normalise((self.lines[0] @ details @ self.lines[0].T).flatten(1)).unflatten(1, (self.side, -1))


#: A first comparison: 36 windows. Copies reach 0.68, and of 200 other pairs that are worth it 1 passes 0.5.
COARSE = Windows(16, (1, 0.95, 0.9), 0.05)
#: The comparison that counts: 441 windows.
FINE = Windows(24, (1, 0.975, 0.95, 0.925, 0.9, 0.875), 0.025)


class Aligner:
    """Compares pictures with one another.

    Args:
        thumbnails: of N pictures, grey, (N, 64, 64).
        windows: that are tried.
    """

    def __init__(self, thumbnails: NDArray[np.uint8], windows: Windows) -> None:
        self._thumbnails, self._windows = thumbnails, windows
        portions = np.array_split(thumbnails, len(thumbnails) // _PAIRS + 1)
        self._wholes = torch.cat([windows.whole(make_details(portion)) for portion in portions])

    def fit(self, pairs: Pairs) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """How well the best window of each pair's first picture fits the whole of its second one, and which it is.

        Returns:
            (P,), the correlation of their details, -1..1; and (P,), the window's number.
        """
        fits, best = torch.zeros(len(pairs)), torch.zeros(len(pairs), dtype=torch.int64)
        order = np.argsort(pairs[:, 0], kind="stable")
        for places in _portions(pairs[order, 0]):
            some = order[places]
            owners, starts = np.unique(pairs[some, 0], return_index=True)
            cut = self._windows.cut(make_details(self._thumbnails[owners]))
            targets = _mirrored(self._wholes[pairs[some, 1]], pairs[some]).flatten(1)
            parts = targets.tensor_split(torch.from_numpy(starts[1:]))
            found = [(part @ windows.T).max(dim=1) for part, windows in zip(parts, cut, strict=True)]
            fits[some] = torch.cat([one.values for one in found])
            best[some] = torch.cat([one.indices for one in found])
        return fits.numpy(), best.numpy()

    def weakest(self, pairs: Pairs, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """How well all parts fit but for one, with light and shade: (P,), -1..1.

        Pictures drawn after one pattern, or taken of one dog on different days, have parts that differ. One may: it
        is where a caption was added. Parts that have nothing on either side fit.

        Args:
            pairs: as above.
            windows: of their first pictures, by number.
        """
        lines, found = self._windows.lines, [np.empty(0, np.float32)]
        for places in np.array_split(np.arange(len(pairs)), len(pairs) // _PAIRS + 1):
            some = pairs[places]
            ones, others = (torch.from_numpy(self._thumbnails[some[:, side]]).float() for side in (0, 1))
            rows, columns = (lines[numbers] for numbers in np.divmod(windows[places], len(lines)))
            one = _tiles(rows @ ones @ columns.transpose(1, 2))
            other = _tiles(_mirrored(lines[0] @ others @ lines[0].T, some))
            empty = ~(one.any(dim=-1) | other.any(dim=-1))
            fits = torch.where(empty, 1, (one * other).sum(dim=-1))
            found.append(fits.kthvalue(2, dim=1).values.numpy())
        return np.concatenate(found)


def make_details(thumbnails: NDArray[np.uint8]) -> Tensor:
    """Thumbnails (N, 64, 64) without what is broad: float32, each pixel less the mean of the 9 x 9 around it."""
    pixels = torch.from_numpy(thumbnails).float()
    mean = torch.from_numpy(_nearby_mean()).float()
    return pixels - mean @ pixels @ mean.T


def _nearby_mean() -> NDArray[np.float64]:
    """The matrix (64, 64) that makes of a line the means around its pixels.

    Beyond an edge the line goes on as it came: a sky that grows dark evenly has no detail there either.
    """
    line = np.eye(_PIXELS)
    extended = np.pad(line, [(_NEAR, _NEAR), (0, 0)], mode="reflect", reflect_type="odd")
    return np.stack([extended[start : start + 2 * _NEAR + 1].mean(axis=0) for start in range(_PIXELS)])


def _cells(start: float, size: float, side: int) -> NDArray[np.float64]:
    """The share of each pixel in the mean over each of `side` cells of a part of a line, (side, 64)."""
    edges = (start + size * np.arange(side + 1) / side) * _PIXELS
    ends = np.minimum(edges[1:, None], np.arange(_PIXELS) + 1)
    begins = np.maximum(edges[:-1, None], np.arange(_PIXELS))
    shares: NDArray[np.float64] = np.clip(ends - begins, 0, None) / np.diff(edges)[:, None]
    return shares


def _normalise(cells: Tensor) -> Tensor:
    centred = cells - cells.mean(dim=-1, keepdim=True)
    length = centred.norm(dim=-1, keepdim=True)
    shown = length >= _LEAST_DETAIL * cells.shape[-1] ** 0.5
    return centred * (shown / length.clamp_min(1e-6))


def _tiles(cells: Tensor) -> Tensor:
    """The parts of pictures (P, S, S), 3 x 3 of them, each with mean 0 and length 1: (P, 9, S * S / 9)."""
    tiles = cells.unflatten(2, (3, -1)).unflatten(1, (3, -1)).transpose(2, 3)
    return _normalise(tiles.flatten(3).flatten(1, 2))


def _mirrored(cells: Tensor, pairs: Pairs) -> Tensor:
    return torch.where(torch.from_numpy(pairs[:, 2] == 1)[:, None, None], cells.flip(-1), cells)


def _portions(owners: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of sorted `owners`: at most `_PAIRS` pairs of at most `_PICTURES` pictures."""
    start = 0
    while start < len(owners):
        changes = np.flatnonzero(np.diff(owners[start : start + _PAIRS])) + 1
        stop = start + (int(changes[_PICTURES - 1]) if len(changes) >= _PICTURES else _PAIRS)
        yield slice(start, stop)
        start = stop
