"""Which trials are trained in one stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping

from dogbreed.sweeps.stack import Trial

_CACHE_BYTES = 5 * 2**20  # of weights that a batch of 32 may read and write before it becomes slow (measured)


def make_stacks(trials: Mapping[int, Trial], num_features: int, num_classes: int) -> list[dict[int, Trial]]:
    """The trials, shared out into stacks, slowest first.

    How they are shared out depends on the trials alone, not on the machine, so that the results do not either.

    Args:
        trials: by number.
        num_features: D.
        num_classes: C.
    """
    kin: defaultdict[Hashable, dict[int, Trial]] = defaultdict(dict)
    for number, trial in trials.items():
        kin[trial.epoch, trial.recipe.kinship()][number] = trial
    stacks = []
    for family in kin.values():
        batch_size = next(iter(family.values())).recipe.batch_size
        size = _stack_size(batch_size, num_features * num_classes, len(trials))
        # Those that end together stay together, and those that share a momentum.
        numbers = sorted(family, key=lambda number: (family[number].recipe.epochs, number))
        stacks += [
            {number: family[number] for number in numbers[start : start + size]}
            for start in range(0, len(numbers), size)
        ]
    return sorted(stacks, key=_work, reverse=True)


def _stack_size(batch_size: int, weights: int, trials: int) -> int:
    """How many heads are quickest together: as many as a cache holds, if enough stacks remain for the cores."""
    cached = round(_CACHE_BYTES * max(1, batch_size / 32) / (8 * weights))
    return max(2, min(16, cached, trials // 8))


def _work(stack: Mapping[int, Trial]) -> float:
    steps = max(trial.recipe.epochs - trial.epoch for trial in stack.values())
    batch_size = next(iter(stack.values())).recipe.batch_size
    return len(stack) * steps * (1 + 32 / batch_size)
