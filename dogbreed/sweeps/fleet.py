"""Many heads trained at once on shared features, each as if it were trained alone."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import NamedTuple

import torch

from dogbreed.directions import direction
from dogbreed.errors import ConfigError
from dogbreed.features.views import FeatureViews
from dogbreed.sweeps.grouping import make_stacks
from dogbreed.sweeps.halving import Halving
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stack import Stack, TrialState
from dogbreed.sweeps.workers import Workers, default_workers, run_here

Metrics = dict[str, float]


@dataclass
class Outcome:
    """What became of a trial.

    Attributes:
        curve: one row for each epoch: epoch (from 0), train/loss, train/acc, val/loss, val/acc, val/acc_top5,
            val/f1_macro.
        seconds: its share of the time that its stacks took.
        stopped: whether it was stopped early, as hopeless.
    """

    curve: list[Metrics] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False


class _Epoch(NamedTuple):
    """An epoch of a stack: a row and a share of the time for each of its trials."""

    rows: dict[int, Metrics]
    seconds: float


class Fleet:
    """Trains heads on the features of train, and measures them on val after every epoch.

    On a CPU it owns processes, which end with the block:

        with Fleet(train, val, num_classes) as fleet:
            outcomes = fleet.train({0: recipe})

    Results do not depend on the number of workers. Memory beyond the features: for each head that is being trained,
    8 bytes a weight with SGD and 16 with AdamW, in float32; with halving, for every head that may yet go on.

    Args:
        train: the features to learn from.
        val: the features to measure on, in view 0.
        num_classes: C.
        dtype: of weights and arithmetic.
        device: of weights and arithmetic.
        workers: processes; None for one a core, 1 for this process, which is also what another device than a CPU uses.
    """

    def __init__(
        self,
        train: FeatureViews,
        val: FeatureViews,
        num_classes: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        workers: int | None = None,
    ) -> None:
        self._train, self._val, self._num_classes = train, val, num_classes
        self._dtype, self._device = dtype, torch.device(device)
        if workers is not None and workers < 1:
            raise ConfigError(f"workers={workers}", "1 or more, or null for one a core", "set workers")
        self._count = 1 if self._device.type != "cpu" else workers or default_workers()
        self._workers: Workers | None = None

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def train(
        self,
        recipes: Mapping[int, Recipe],
        *,
        monitor: str = "val/acc",
        halving: Halving | None = None,
        wanted: Set[int] | None = None,
        on_epoch: Callable[[int, Metrics], None] = lambda number, row: None,
        on_end: Callable[[int, Outcome], None] = lambda number, outcome: None,
    ) -> dict[int, Outcome]:
        """Train every recipe.

        Args:
            recipes: by number.
            monitor: by which halving compares.
            halving: stops hopeless trials; None trains all to their end.
            wanted: the trials to train; of the others only those are trained that share a stack with one of
                them, or that halving compares with them. None for all.
            on_epoch: is told each row of each curve when it is known.
            on_end: is told each trial's outcome when it is known.

        Raises:
            ConfigError: a recipe that a fleet cannot train.
            WorkerError: a worker process died.
        """
        for number, recipe in recipes.items():
            if obstacle := recipe.obstacle():
                raise ConfigError(
                    f"trial {number} has {obstacle}", "what a fleet can train side by side", "train this one alone"
                )
        direction(monitor)
        outcomes = {number: Outcome() for number in recipes}
        trials = {number: TrialState(recipe) for number, recipe in recipes.items()}
        last = max((recipe.epochs for recipe in recipes.values()), default=0)
        try:
            for _, cut in pairwise([0, *(halving.cuts(last) if halving else []), last]):
                stacks = self._stacks(trials)
                if wanted is not None and halving is None:
                    stacks = [stack for stack in stacks if wanted & stack.keys()]
                trials = self._train_until(cut, stacks, outcomes, on_epoch, on_end)
                if halving is None or not trials:
                    continue
                best = {number: _best(outcomes[number].curve, monitor) for number in trials}
                survivors = halving.survivors(best, monitor)
                for number in trials.keys() - survivors:
                    outcomes[number].stopped = True
                    on_end(number, outcomes[number])
                trials = {number: trials[number] for number in survivors}
        except BaseException:
            self.close()  # they may be in the middle of something
            raise
        return outcomes

    def _train_until(
        self,
        cut: int,
        stacks: Sequence[dict[int, TrialState]],
        outcomes: Mapping[int, Outcome],
        on_epoch: Callable[[int, Metrics], None],
        on_end: Callable[[int, Outcome], None],
    ) -> dict[int, TrialState]:
        """Train until `cut` epochs are done; the trials that have more to do, by number."""
        paused: dict[int, TrialState] = {}
        trials = {number: stack[number] for stack in stacks for number in stack}
        for event in self._run([(stack, cut) for stack in stacks]):
            if not isinstance(event, _Epoch):
                paused |= event
                continue
            for number, row in event.rows.items():
                outcome = outcomes[number]
                outcome.curve.append(row)
                outcome.seconds += event.seconds
                on_epoch(number, row)
                if len(outcome.curve) == trials[number].recipe.epochs:
                    on_end(number, outcome)
        return {number: paused[number] for number in sorted(paused)}

    def _stacks(self, trials: Mapping[int, TrialState]) -> list[dict[int, TrialState]]:
        if self._device.type != "cuda":
            return make_stacks(trials)
        # A GPU takes as many as half of its free memory holds: weights, what the optimiser remembers, and the batch.
        free, _ = torch.cuda.mem_get_info(self._device)
        shape = self._train.shape[2], self._num_classes
        numbers = (5 * t.recipe.weights(*shape) + 8 * t.recipe.batch_size * shape[1] for t in trials.values())
        return make_stacks(trials, max(1, free // (2 * self._dtype.itemsize * max(numbers, default=1))))

    def _run(self, tasks: list[tuple[dict[int, TrialState], int]]) -> Iterator[_Epoch | dict[int, TrialState]]:
        if self._count == 1:
            with _as_in_a_worker(self._device):
                yield from run_here(self._work, tasks)
            return
        if self._workers is None:
            self._workers = Workers(self._work, self._count)
        yield from self._workers.run(tasks)

    def _work(self, task: tuple[dict[int, TrialState], int]) -> Iterator[_Epoch | dict[int, TrialState]]:
        """Train a stack until a cut: its epochs, and then the trials that have more to do."""
        trials, cut = task
        stack = Stack(trials, self._train, self._val, self._num_classes, dtype=self._dtype, device=self._device)
        while stack.numbers and stack.epoch < cut:
            start = time.perf_counter()
            rows = stack.run_epoch()
            yield _Epoch(rows, (time.perf_counter() - start) / len(rows))
            stack.leave([number for number in rows if trials[number].recipe.epochs == stack.epoch])
        yield stack.pause()


def _best(curve: list[Metrics], monitor: str) -> float:
    """The best value of a curve; NaN where there is none but NaN."""
    values = [row[monitor] for row in curve if not math.isnan(row[monitor])]
    return (min if direction(monitor) == "min" else max)(values, default=math.nan)


@contextmanager
def _as_in_a_worker(device: torch.device) -> Iterator[None]:
    """One thread and no denormal numbers, so that the results are the same."""
    threads, flushed = torch.get_num_threads(), sys.float_info.min / 2 == 0
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)
