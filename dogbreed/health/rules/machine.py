"""The profiler's rules about how the machine is used, above all its GPUs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.throughput import HEADS, LEARNING_RATE, larger_batch, more_workers
from dogbreed.health.samples import Facts, MachineSample
from dogbreed.health.usage import KEPT, Thinned, mean, usage

LOW, FLUCTUATING = "the GPU is hardly used", "the GPU is used by fits and starts"


@dataclass(kw_only=True)
class GpuRule(Rule):
    """A rule about GPUs; it gives no verdict before it has seen `patience` samples of them."""

    needs = "samples of a GPU"
    needed_gpus = 1
    patience: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.samples = 0
        self._first = self._last = 0.0
        self._loaders = 0

    def see_machine(self, machine: MachineSample) -> None:
        """Look at a sample that has GPUs."""
        if not self.has_what_it_needs(machine):
            return
        self._first = machine.seconds if self.samples == 0 else self._first
        self._last, self._loaders = machine.seconds, machine.loaders
        self.samples += 1
        self.remember(machine)
        if self.samples >= self.patience_needed:
            self.look()

    def has_what_it_needs(self, machine: MachineSample) -> bool:
        """Whether the rule can use the sample."""
        return len(machine.gpus) >= self.needed_gpus

    @property
    def patience_needed(self) -> int:
        """Samples before the first verdict."""
        return self.patience

    def remember(self, machine: MachineSample) -> None:
        """Keep what is needed of a sample."""

    def look(self) -> None:
        """Judge by what was kept."""

    def applies(self, facts: Facts) -> str | None:
        """Not to a machine with too few GPUs."""
        if facts.gpus is None or facts.gpus >= self.needed_gpus:
            return None
        return "this machine has no GPU" if facts.gpus == 0 else "this machine has one GPU alone"

    def needed(self, facts: Facts) -> str | None:
        """How many samples are missing."""
        if self.samples >= self.patience_needed:
            return None
        every = (self._last - self._first) / (self.samples - 1) if self.samples > 1 else 0
        pace = f" (one every {every:.1f} s)" if every else ""
        return f"{self.samples} of {self.patience_needed:,} samples{pace}"


@dataclass(kw_only=True)
class LowGPUUtilization(GpuRule):
    """A GPU is hardly used, or by fits and starts.

    Over the last `window` samples of each GPU: the 95th percentile of its use is below `threshold_p95`; else the
    5th is below `threshold_p5`.
    """

    threshold_p95: float
    threshold_p5: float
    window: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._gpus: deque[tuple[float, ...]] = deque(maxlen=self.window)

    def remember(self, machine: MachineSample) -> None:
        """Keep the use of each GPU."""
        self._gpus.append(machine.gpus)

    def look(self) -> None:
        """Judge the GPU that is used least."""
        p5, p95 = np.percentile(np.array(self._gpus), (5, 95), axis=0)
        low = bool((p95 < self.threshold_p95).any())
        values, threshold = (p95, self.threshold_p95) if low else (p5, self.threshold_p5)
        gpu = int(values.argmin())
        self.judge(
            low or bool((p5 < self.threshold_p5).any()),
            clause=LOW if low else FLUCTUATING,
            value=float(values[gpu]),
            threshold=threshold,
            tensor=f"GPU {gpu}",
            meaning=lambda: (
                f"GPU {gpu} was used by less than {p95[gpu]:.0f} % for 95 % of the last {len(self._gpus):,} samples "
                f"(expected: {self.threshold_p95:g} % and more at times): most of it is paid for in vain"
                if low
                else f"GPU {gpu} stood nearly still ({p5[gpu]:.0f} % or less) in a twentieth of the last "
                f"{len(self._gpus):,} samples and worked at {p95[gpu]:.0f} % in others: it waits for something"
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """More data at a time, and sooner."""
        advice = HEADS if facts.features else LEARNING_RATE
        return with_remedy(finding, *more_workers(facts, self._loaders), *larger_batch(facts), advice=advice)


@dataclass(kw_only=True)
class BatchSize(GpuRule):
    """The batch is too small for the machine.

    The 95th percentiles over the last `window` samples of the cores' mean use, of each GPU and of each GPU's memory
    are all below their thresholds.
    """

    cpu_threshold_p95: float
    gpu_threshold_p95: float
    gpu_memory_threshold_p95: float
    window: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._uses: deque[tuple[float, float, float]] = deque(maxlen=self.window)
        self._room = 2.0

    def has_what_it_needs(self, machine: MachineSample) -> bool:
        """Whether all three are known."""
        return bool(machine.gpus and machine.gpu_memory and machine.cores)

    def remember(self, machine: MachineSample) -> None:
        """Keep the busiest GPU and the fullest memory: if these are not used, none is."""
        self._uses.append((mean(machine.cores), max(machine.gpus), max(machine.gpu_memory)))

    def look(self) -> None:
        """Judge all three."""
        uses = np.percentile(np.array(self._uses), 95, axis=0)
        thresholds = np.array([self.cpu_threshold_p95, self.gpu_threshold_p95, self.gpu_memory_threshold_p95])
        cpu, gpu, memory = (float(use) for use in uses)
        violated = bool((uses < thresholds).all())
        if violated and self.finding is None:
            self._room = min(self.gpu_threshold_p95 / max(gpu, 1.0), self.gpu_memory_threshold_p95 / max(memory, 1.0))
        self.judge(
            violated,
            clause="cores, GPU and its memory are hardly used",
            value=gpu,
            threshold=self.gpu_threshold_p95,
            meaning=lambda: (
                f"for 95 % of the last {len(self._uses):,} samples the cores were used by less than {cpu:.0f} %, "
                f"the GPU by less than {gpu:.0f} % and its memory by less than {memory:.0f} %: "
                "a larger batch would cost nothing, or a smaller machine would do"
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A batch as large as there is room for."""
        return with_remedy(finding, *larger_batch(facts, self._room), advice=HEADS if facts.features else LEARNING_RATE)


@dataclass(kw_only=True)
class GPUMemoryIncrease(GpuRule):
    """A GPU's memory fills up: the mean over the last `window` samples is above that over the window before.

    The two windows lie side by side. (Those of AWS's source overlap, so that any allocation is a finding.)
    """

    increase: float
    window: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._memory: deque[tuple[float, ...]] = deque(maxlen=2 * self.window)

    def has_what_it_needs(self, machine: MachineSample) -> bool:
        """Whether the GPUs' memory is known."""
        return bool(machine.gpu_memory)

    @property
    def patience_needed(self) -> int:
        """Two windows at least."""
        return max(self.patience, 2 * self.window)

    def remember(self, machine: MachineSample) -> None:
        """Keep the use of each memory."""
        self._memory.append(machine.gpu_memory)

    def look(self) -> None:
        """Judge the GPU whose memory grew most."""
        memory = np.array(self._memory)
        before, now = memory[: self.window].mean(axis=0), memory[self.window :].mean(axis=0)
        gpu = int((now - before).argmax())
        grown = float((now - before)[gpu])
        self.judge(
            grown > self.increase,
            clause="the GPU's memory fills up",
            value=grown,
            threshold=self.increase,
            tensor=f"GPU {gpu}",
            meaning=lambda: (
                f"the memory of GPU {gpu} went from {before[gpu]:.0f} % to {now[gpu]:.0f} % between two windows of "
                f"{self.window} samples (allowed: {self.increase:g} points): if it goes on so, it runs out"
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """No setting mends a leak."""
        return with_remedy(finding, advice="keep numbers (loss.item()) rather than tensors that hold their graph")


@dataclass(kw_only=True)
class OverallSystemUsage(Rule):
    """How the machine was used, as a table; never a finding."""

    needs = "samples of the machine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._samples: Thinned[MachineSample] = Thinned(KEPT)

    def see_machine(self, machine: MachineSample) -> None:
        """Keep it; of a long run every 2nd, 4th, ... sample."""
        self._samples.add(machine)
        self.judge(False)

    def details(self, facts: Facts) -> dict[str, Any]:
        """max, p99, p95, p50 and min of everything that is sampled."""
        return usage(self._samples.items)
