"""What a fleet can train, and what it names that it cannot."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from dogbreed.models.heads import Head, LinearHead, MLPHead
from dogbreed.sweeps.recipe import Recipe


class CosineHead(LinearHead):
    """A head of the user's own."""

    kind: ClassVar[str] = "cosine"


def frozen_bias(num_features: int, num_classes: int) -> LinearHead:
    head = LinearHead(num_features, num_classes)
    head.linear.bias.requires_grad_(False)
    return head


def plateau(optimizer: torch.optim.Optimizer, *, total_steps: int) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimizer)


def two_groups(parameters: Any) -> SGD:
    weights = list(parameters)
    return SGD([{"params": weights}, {"params": [nn.Parameter(torch.zeros(1))]}], lr=0.1)


def make(**changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "make_head": LinearHead,
        "make_optimizer": partial(SGD, lr=0.1, momentum=0.9),
        "make_scheduler": None,
        "batch_size": 8,
        "epochs": 2,
        "label_smoothing": 0.0,
        "seed": 0,
        "order_seed": 0,
    }
    return Recipe(**{**settings, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"make_head": partial(MLPHead, hidden=4, dropout=0.5)},
        {"make_optimizer": partial(AdamW, lr=0.1)},
        {"make_scheduler": partial(OneCycleLR, max_lr=0.1)},
    ],
)
def test_recipe__has_no_obstacle(changes: dict[str, Any]) -> None:
    assert make(**changes).obstacle() is None


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"make_head": CosineHead}, "head CosineHead"),
        ({"make_head": frozen_bias}, "head with frozen parameters"),
        ({"make_optimizer": partial(SGD, lr=0.1, momentum=0.9, nesterov=True)}, "optimizer nesterov=True"),
        ({"make_optimizer": partial(SGD, lr=0.1, momentum=0.9, dampening=0.1)}, "optimizer dampening=0.1"),
        ({"make_optimizer": partial(SGD, lr=0.1, maximize=True)}, "optimizer maximize=True"),
        ({"make_optimizer": partial(AdamW, lr=0.1, amsgrad=True)}, "optimizer amsgrad=True"),
        ({"make_optimizer": partial(RMSprop, lr=0.1)}, "optimizer RMSprop"),
        ({"make_optimizer": partial(Adam, lr=0.1)}, "optimizer Adam"),
        ({"make_optimizer": two_groups}, "optimizer with 2 parameter groups"),
        ({"make_scheduler": plateau}, "scheduler ReduceLROnPlateau"),
    ],
)
def test_recipe__names_its_obstacle(changes: dict[str, Any], obstacle: str) -> None:
    assert make(**changes).obstacle() == obstacle


def test_recipe__can_be_pickled() -> None:
    recipe = make(make_head=partial(MLPHead, hidden=4, dropout=0.5))
    assert pickle.loads(pickle.dumps(recipe)).kinship() == recipe.kinship()


def test_recipe__leaves_the_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    recipe = make(make_head=partial(MLPHead, hidden=4, dropout=0.5))
    recipe.obstacle(), recipe.kinship()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changes", "kin"),
    [
        ({"seed": 1, "label_smoothing": 0.1, "epochs": 9}, True),
        ({"make_optimizer": partial(SGD, lr=0.9)}, True),
        ({"batch_size": 16}, False),
        ({"order_seed": 1}, False),
        ({"make_optimizer": partial(AdamW, lr=0.1)}, False),
        ({"make_head": partial(MLPHead, hidden=4, dropout=0.0)}, False),
    ],
)
def test_recipe__is_kin_to_those_it_shares_its_batches_with(changes: dict[str, Any], kin: bool) -> None:
    assert (make().kinship() == make(**changes).kinship()) is kin


def test_recipe__of_another_head_class_is_refused_not_trained() -> None:
    class Other(Head):
        kind = "other"

        def __init__(self, num_features: int, num_classes: int) -> None:
            super().__init__()

    assert make(make_head=Other).obstacle() == "head Other"
