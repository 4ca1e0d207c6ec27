"""Which trials are trained in one stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping

from dogbreed.sweeps.stack import TrialState

#: Heads in a stack on a CPU, for batches up to 127 pictures and for larger ones: more gain nothing (measured for 512 to
#: 2048 features). Half of the smaller is nearly as quick, a quarter is not.
_SMALL_BATCH, _LARGE_BATCH, _LEAST = 8, 16, 4


def make_stacks(trials: Mapping[int, TrialState], most: int | None = None) -> list[dict[int, TrialState]]:
    """The trials, shared out into stacks, slowest first.

    How they are shared out depends on the trials alone, not on the machine, so that the results do not either.

    Args:
        trials: by number.
        most: heads in a stack; None for what suits a CPU.
    """
    kin: defaultdict[Hashable, dict[int, TrialState]] = defaultdict(dict)
    for number, trial in trials.items():
        kin[trial.epoch, trial.recipe.kinship()][number] = trial
    stacks = []
    for family in kin.values():
        size = most or _stack_size(next(iter(family.values())).recipe.batch_size, len(trials))
        # Those that end together stay together.
        numbers = sorted(family, key=lambda number: (family[number].recipe.epochs, number))
        stacks += [
            {number: family[number] for number in numbers[start : start + size]}
            for start in range(0, len(numbers), size)
        ]
    return sorted(stacks, key=_work, reverse=True)


def _stack_size(batch_size: int, trials: int) -> int:
    """How many heads are quickest together; fewer where the cores would lack stacks."""
    return max(_LEAST, min(_SMALL_BATCH if batch_size < 128 else _LARGE_BATCH, trials // 8))


def _work(stack: Mapping[int, TrialState]) -> float:
    steps = max(trial.recipe.epochs - trial.epoch for trial in stack.values())
    batch_size = next(iter(stack.values())).recipe.batch_size
    return len(stack) * steps * (1 + 32 / batch_size)
