"""The profiler's rule about several GPUs: do they share the work evenly?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import with_remedy
from dogbreed.health.rules.machine import GpuRule
from dogbreed.health.samples import Facts, MachineSample

_BIN = 2.0  # percent, of the histograms


@dataclass(kw_only=True)
class LoadBalancing(GpuRule):
    """Two GPUs are used differently.

    The distance is Jensen's and Shannon's, by the natural logarithm, between the histograms of their use in bins of
    2 % over all samples so far: sqrt((KL(p, m) + KL(q, m)) / 2) with m = (p + q) / 2; at most sqrt(ln 2) = 0.8326.
    """

    needs = "samples of two GPUs"
    needed_gpus = 2
    threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counts: npt.NDArray[np.float64] | None = None

    def remember(self, machine: MachineSample) -> None:
        """Count each GPU's bin."""
        bins = int(100 / _BIN)
        if self._counts is None:
            self._counts = np.zeros((len(machine.gpus), bins))
        for gpu, use in enumerate(machine.gpus[: len(self._counts)]):
            self._counts[gpu, min(bins - 1, int(use / _BIN))] += 1

    def look(self) -> None:
        """Judge the pair that is furthest apart."""
        assert self._counts is not None
        distances = balance(self._counts)
        first, second = (int(index) for index in np.unravel_index(distances.argmax(), distances.shape))
        distance = float(distances[first, second])
        self.judge(
            distance > self.threshold,
            clause="two GPUs are used differently",
            value=distance,
            threshold=self.threshold,
            tensor=f"GPU {first} and GPU {second}",
            meaning=lambda: (
                f"over {self.samples:,} samples the use of GPU {first} and GPU {second} differs by {distance:.2f} "
                f"(allowed: {self.threshold:g}; 0 is the same, 0.83 nothing in common): one waits for the other"
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A batch that all of them can share evenly."""
        size = facts.settings.get("data.batch_size")
        if not isinstance(size, int) or not facts.gpus or size % facts.gpus == 0:
            return with_remedy(finding, advice="look for work that one process does alone, in a callback or logger")
        even = (size // facts.gpus + 1) * facts.gpus
        return with_remedy(finding, f"data.batch_size={even}", advice="every GPU then has as many pictures in a batch")


def balance(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The distances (G, G) between the histograms `counts` (G, bins), each in [0, 0.8326].

    >>> balance(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 4.0]])).round(4).tolist()
    [[0.0, 0.8326], [0.8326, 0.0]]
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    middle = (shares[:, None] + shares[None]) / 2
    ratio = np.divide(shares[:, None], middle, out=np.ones_like(middle), where=(shares[:, None] > 0) & (middle > 0))
    divergence = (shares[:, None] * np.log(ratio)).sum(axis=2)  # KL(p, m) for each pair (p, q)
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(0, divergence + divergence.T) / 2)
    return distances
