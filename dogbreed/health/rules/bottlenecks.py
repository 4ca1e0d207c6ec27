"""The profiler's rules about what a GPU waits for: the cores, or the disk."""

from __future__ import annotations

from dataclasses import dataclass

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import with_remedy
from dogbreed.health.rules.machine import GpuRule
from dogbreed.health.rules.throughput import HEADS, fewer_reads, larger_batch, more_workers
from dogbreed.health.samples import Facts, MachineSample


@dataclass(kw_only=True)
class _Bottleneck(GpuRule):
    """A GPU waits while something else is busy, in more than `threshold` percent of all samples so far."""

    threshold: float
    gpu_threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._hits = 0

    def count(self, machine: MachineSample, others: tuple[float, ...], busy: float) -> None:
        """Note whether a GPU was below its threshold while one of the others was above `busy`."""
        self._hits += min(machine.gpus) < self.gpu_threshold and max(others) > busy

    def judge_share(self, clause: str, what: str) -> None:
        """Judge the share of such samples."""
        share = 100 * self._hits / self.samples
        self.judge(
            share > self.threshold,
            clause=clause,
            value=share,
            threshold=self.threshold,
            meaning=lambda: (
                f"in {self._hits:,} of {self.samples:,} samples ({share:.0f} %, allowed: {self.threshold:g} %) {what} "
                f"while a GPU was used by less than {self.gpu_threshold:g} %"
            ),
        )


@dataclass(kw_only=True)
class CPUBottleneck(_Bottleneck):
    """A GPU waits for the cores: it is used by less than `gpu_threshold` while one of them is above `cpu_threshold`."""

    cpu_threshold: float

    def has_what_it_needs(self, machine: MachineSample) -> bool:
        """Whether GPUs and cores are known."""
        return bool(machine.gpus and machine.cores)

    def remember(self, machine: MachineSample) -> None:
        """Count it."""
        self.count(machine, machine.cores, self.cpu_threshold)

    def look(self) -> None:
        """Judge the share."""
        self.judge_share("the GPU waits for a core", f"a core was used by more than {self.cpu_threshold:g} %")

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Share the work out among more cores, or do it once."""
        remedy = more_workers(facts, self._loaders) or fewer_reads(facts) or larger_batch(facts)
        return with_remedy(finding, *remedy, advice=HEADS if facts.features else "")


@dataclass(kw_only=True)
class IOBottleneck(_Bottleneck):
    """A GPU waits for the disk: it is used by less than `gpu_threshold` while a core waits more than `io_threshold`."""

    needs = "samples of a GPU and of the time that cores wait for the disk"
    io_threshold: float

    def has_what_it_needs(self, machine: MachineSample) -> bool:
        """Whether GPUs and the cores' waiting are known."""
        return bool(machine.gpus and machine.io_wait)

    def remember(self, machine: MachineSample) -> None:
        """Count it."""
        self.count(machine, machine.io_wait, self.io_threshold)

    def look(self) -> None:
        """Judge the share."""
        self.judge_share(
            "the GPU waits for the disk", f"a core spent over {self.io_threshold:g} % waiting for the disk"
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Read less, or more at a time."""
        remedy = fewer_reads(facts) or more_workers(facts, self._loaders)
        return with_remedy(finding, *remedy, advice="keep the pictures on a local disk rather than on a network's")
