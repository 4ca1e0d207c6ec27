"""Which trials share a stack."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from torch.optim import SGD

from dogbreed.models.heads import LinearHead
from dogbreed.sweeps.grouping import make_stacks
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stack import TrialState


def make_trial(batch_size: int = 32, epochs: int = 2, epoch: int = 0, **changes: Any) -> TrialState:
    recipe = Recipe(LinearHead, partial(SGD, lr=0.1), None, batch_size, epochs, 0.0, seed=0, order_seed=0)
    return TrialState(recipe, epoch)


def test_stacks__hold_every_trial_once() -> None:
    trials = {number: make_trial(2 ** (4 + number % 4), 1 + number % 3) for number in range(75)}
    stacks = make_stacks(trials)
    assert sorted(number for stack in stacks for number in stack) == list(trials)
    for stack in stacks:
        assert len({trial.recipe.kinship() for trial in stack.values()}) == 1


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"), [(4, 32, [4]), (8, 32, [4, 4]), (64, 32, [8] * 8), (256, 256, [16] * 16)]
)
def test_stacks__are_large_where_there_are_enough_trials(count: int, batch_size: int, sizes: list[int]) -> None:
    assert [len(stack) for stack in make_stacks({n: make_trial(batch_size) for n in range(count)})] == sizes


def test_stacks__begin_with_the_slowest() -> None:
    trials = {0: make_trial(256), 1: make_trial(16), 2: make_trial(64), 3: make_trial(256, epochs=9)}
    assert [sorted(stack) for stack in make_stacks(trials)] == [[0, 3], [1], [2]]
    del trials[3]
    assert [sorted(stack) for stack in make_stacks(trials)] == [[1], [2], [0]]


def test_stacks__join_those_that_have_come_equally_far() -> None:
    trials = {0: make_trial(), 1: make_trial(epoch=1), 2: make_trial()}
    assert sorted(sorted(stack) for stack in make_stacks(trials)) == [[0, 2], [1]]


def test_stacks__hold_as_many_as_a_device_does() -> None:
    assert [len(stack) for stack in make_stacks({n: make_trial() for n in range(50)}, most=40)] == [40, 10]
