"""Where the time of a run went, and what the machine did meanwhile: always on, and kept as profile.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.profilers import Profiler

from dogbreed.files import write_json
from dogbreed.health.machine import MachineSampler, count_loaders
from dogbreed.health.samples import MachineSample
from dogbreed.health.stopwatch import Stopwatch
from dogbreed.health.usage import mean, usage
from dogbreed.phases import Clock, Phase, clock

PROFILE = "profile.json"
_POINTS = 300


class RunProfiler(pl.Callback):
    """Splits the time of Lightning's loops into phases of `dogbreed.phases`, and keeps the steps' times.

    Beside the loops "sanity check", "training", "validation" and "test" stand the "checkpoints", whichever loop they
    interrupt. Inside a loop: "waiting for data", "transfer", "forward", "backward", "optimiser", "callbacks" (the
    other ones); what is left is Lightning's own. They never overlap.

    A GPU works on while the next lines run, and nothing here waits for it: on a GPU "forward" and "backward" are
    the times of the launch, and what the GPU takes longer shows where the first result is read.

    The trainer's own profiler (trainer.profiler=...) is wrapped between `setup` and `teardown` and works on.

    Args:
        sampler: is told when the training runs, and which loader processes serve evaluations only; None for none.
    """

    def __init__(self, sampler: MachineSampler | None = None) -> None:
        self._sampler = sampler
        self._watch: Stopwatch | None = None
        self._loaders = 0

    def take_steps(self) -> tuple[list[float], list[float]]:
        """Seconds of each training batch since the last call, waiting for its data included, and seconds waited.

        A batch ends with its optimiser step (or without one, where gradients are accumulated): the callbacks that
        come after, an evaluation or a checkpoint are not part of it.
        """
        if self._watch is None:
            return [], []
        steps = self._watch.steps
        taken = [steps.popleft() for _ in range(len(steps))]
        return [seconds for seconds, _ in taken], [waited for _, waited in taken]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin to measure."""
        clock().begin()
        steps = self._watch.steps if self._watch is not None else None
        self._watch = Stopwatch(_profiler(trainer), self.state_key)
        if steps:
            self._watch.steps = steps
        _set_profiler(trainer, self._watch)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Count what was measured, and leave the trainer as it was."""
        self._end(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """The same."""
        self._end(trainer)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The look at two batches of val before the training."""
        self._open_evaluation("sanity check")

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Is over."""
        self._close_evaluation()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The training loop begins."""
        self._opened.open("training")
        if self._sampler is not None:
            self._sampler.training = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what the epoch took: the phases can be read during the run."""
        self._opened.hand_over(clock())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The training loop has ended."""
        self._opened.leave()
        if self._sampler is not None:
            self._sampler.training = False

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An evaluation begins."""
        if not trainer.sanity_checking:
            self._open_evaluation("validation")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """It has ended."""
        if not trainer.sanity_checking:
            self._close_evaluation()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The evaluation on test begins."""
        self._open_evaluation("test")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """It has ended."""
        self._close_evaluation()

    @property
    def _opened(self) -> Stopwatch:
        assert self._watch is not None, "Lightning calls setup before any loop"
        return self._watch

    def _open_evaluation(self, loop: str) -> None:
        self._opened.open(loop)
        if self._sampler is not None:
            self._loaders = count_loaders()

    def _close_evaluation(self) -> None:
        if self._sampler is not None:
            # Those that stay for the next evaluation sleep while the training goes on.
            self._sampler.evaluators += max(0, count_loaders() - self._loaders)
        self._opened.leave()

    def _end(self, trainer: pl.Trainer) -> None:
        if self._sampler is not None:
            self._sampler.training = False
        if self._watch is not None and _profiler(trainer) is self._watch:
            self._watch.hand_over(clock())
            _set_profiler(trainer, self._watch.inner)


def _profiler(trainer: pl.Trainer) -> Profiler:
    """The public attribute that Lightning sets outside of the class, where no type checker sees it."""
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
    return profiler


def _set_profiler(trainer: pl.Trainer, profiler: Profiler) -> None:
    trainer.profiler = profiler  # type: ignore[attr-defined]


def write_profile(directory: Path, samples: Sequence[MachineSample], clock: Clock, started: float) -> None:
    """Write profile.json into `directory`: the phases of the run so far, and what the machine did.

    Args:
        directory: the run's.
        samples: of the machine.
        clock: the run's phases.
        started: when the run began, by time.monotonic().

    Raises:
        OutputError: it cannot be written.
    """
    write_json(directory / PROFILE, build_profile(samples, clock, started, time.monotonic()))


def build_profile(samples: Sequence[MachineSample], clock: Clock, started: float, ended: float) -> dict[str, Any]:
    """The content of profile.json.

    What is in none of its parts is a phase's part "other", so that the parts add up to it; "imports and set-up" is the
    time from `started` to the first phase. The series are means over equal shares of the samples.
    """
    seconds = ended - started
    root = Phase(clock.root.name, seconds, 1)
    if clock.begun is not None and clock.begun > started:
        Clock.add(root.part("imports and set-up"), clock.begun - started)
    root.parts.extend(clock.root.parts)
    return {
        "seconds": round(seconds, 3),
        "phases": _tree(root),
        "machine": {"every_s": _interval(samples), "samples": len(samples), **usage(samples)},
        "series": _series(samples),
    }


def _tree(phase: Phase) -> dict[str, Any]:
    parts = [_tree(part) for part in phase.parts]
    left = phase.seconds - sum(part.seconds for part in phase.parts)
    if parts and left > 0:
        parts.append({"name": "other", "seconds": round(left, 6), "count": 1, "parts": []})
    return {"name": phase.name, "seconds": round(phase.seconds, 6), "count": phase.count, "parts": parts}


def _interval(samples: Sequence[MachineSample]) -> float | None:
    """Seconds between two samples."""
    if len(samples) < 2:
        return None
    return round(float(np.median(np.diff([sample.seconds for sample in samples]))), 2)


def _series(samples: Sequence[MachineSample]) -> dict[str, list[float | None] | None]:
    shares = [share for share in np.array_split(np.arange(len(samples)), min(_POINTS, len(samples)) or 1) if len(share)]

    def points(value: Callable[[MachineSample], float | None]) -> list[float | None] | None:
        values = np.array([value(sample) for sample in samples], dtype=float)
        if len(values) and np.isnan(values).all():
            return None
        known = (values[share][~np.isnan(values[share])] for share in shares)
        return [round(float(found.mean()), 3) if len(found) else None for found in known]

    return {
        "seconds": points(lambda sample: sample.seconds),
        "cpu": points(lambda sample: mean(sample.cores) if sample.cores else None),
        "io_wait": points(lambda sample: mean(sample.io_wait) if sample.io_wait else None),
        "memory_gib": points(lambda sample: sample.memory),
        "gpu": points(lambda sample: mean(sample.gpus) if sample.gpus else None),
    }
