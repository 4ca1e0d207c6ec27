"""What many samples of the machine come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from dogbreed.health.samples import MachineSample

#: Samples that are kept: an hour at one every half second; of a longer run every 2nd, 4th, 8th, ...
KEPT = 7200
Item = TypeVar("Item")


class Thinned(Generic[Item]):
    """Every item that was added, or, where these are more than `limit`, every 2nd, 4th, 8th, ... of them.

    >>> kept = Thinned[int](limit=4)
    >>> for number in range(10):
    ...     kept.add(number)
    >>> kept.items
    [0, 4, 8]
    """

    def __init__(self, limit: int) -> None:
        self.items: list[Item] = []
        self._limit, self._stride, self._seen = limit, 1, 0

    def add(self, item: Item) -> None:
        """Keep the item, if it is its turn."""
        if self._seen % self._stride == 0:
            # A new list each time that it shrinks: who reads the old one meanwhile is not disturbed.
            if len(self.items) == self._limit:
                self.items = self.items[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self.items.append(item)
        self._seen += 1


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """max, p99, p95, p50 and min, as AWS's tables have them; None of nothing.

    >>> spread([1.0, 3.0, 2.0])
    {'max': 3.0, 'p99': 2.98, 'p95': 2.9, 'p50': 2.0, 'min': 1.0}
    """
    if not len(values):
        return None
    found = np.percentile(values, (100, 99, 95, 50, 0)).tolist()
    return dict(zip(("max", "p99", "p95", "p50", "min"), (round(value, 3) for value in found), strict=True))


def usage(samples: Iterable[MachineSample]) -> dict[str, Any]:
    """The spreads of what the samples hold: cores and io_wait are of the mean over the cores, in percent.

    `io_wait` is None where it is not known; gpus and gpu_memory have one entry a GPU.
    """
    samples = list(samples)
    return {
        "cores": spread([mean(sample.cores) for sample in samples if sample.cores]),
        "io_wait": spread([mean(sample.io_wait) for sample in samples if sample.io_wait]),
        "memory_gib": spread([sample.memory for sample in samples if sample.memory]),
        "gpus": _each([sample.gpus for sample in samples]),
        "gpu_memory": _each([sample.gpu_memory for sample in samples]),
    }


def mean(values: Sequence[float]) -> float:
    """The mean of what is not empty."""
    return sum(values) / len(values)


def _each(rows: list[tuple[float, ...]]) -> list[dict[str, float] | None]:
    count = max((len(row) for row in rows), default=0)
    return [spread([row[number] for row in rows if number < len(row)]) for number in range(count)]
