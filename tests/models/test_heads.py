"""Heads: their sizes, their settings, and initial weights that depend on the seed alone."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from dogbreed.errors import ConfigError
from dogbreed.models import heads
from dogbreed.models.heads import Head, LinearHead, MLPHead, initialise, make_head

HEADS = [LinearHead(6, 3), MLPHead(6, 3, hidden=5, dropout=0.25)]


def count(head: Head) -> int:
    return sum(parameter.numel() for parameter in head.parameters() if parameter.requires_grad)


def weights_of(head: Head) -> list[float]:
    return torch.cat([parameter.detach().flatten() for parameter in head.parameters()]).tolist()


@pytest.mark.parametrize(
    ("head", "expected"),
    [(LinearHead(512, 133), 68_229), (MLPHead(512, 133, hidden=512, dropout=0.0), 330_885)],
    ids=["linear", "mlp"],
)
def test_head__has_the_parameters_that_the_job_names(head: Head, expected: int) -> None:
    assert count(head) == expected


@pytest.mark.parametrize("head", HEADS, ids=["linear", "mlp"])
def test_head__gives_a_logit_for_each_class(head: Head) -> None:
    assert head(torch.zeros(4, 6)).shape == (4, 3)


@pytest.mark.parametrize("head", HEADS, ids=["linear", "mlp"])
def test_make_head__restores_what_settings_describe(head: Head) -> None:
    again = make_head(head.kind, head.settings())
    again.load_state_dict(head.state_dict())

    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.eval()(features), head.eval()(features))


def test_make_head__keeps_the_dropout() -> None:
    again = make_head("mlp", MLPHead(6, 3, hidden=5, dropout=0.25).settings())

    assert [layer.p for layer in again.modules() if isinstance(layer, torch.nn.Dropout)] == [0.25]


def test_make_head__knows_every_kind_of_the_module() -> None:
    kinds = {
        cls.kind for _, cls in inspect.getmembers(heads, inspect.isclass) if issubclass(cls, Head) and cls is not Head
    }
    with pytest.raises(ConfigError) as caught:
        make_head("conv", {})

    assert kinds <= set(caught.value.allowed.split(", "))


def test_head__without_a_kind_of_its_own_cannot_be_made() -> None:
    nameless = type("Nameless", (LinearHead,), {})
    with pytest.raises(ConfigError, match=r"Nameless without a kind\n"):
        nameless(6, 3)


def test_make_head__knows_a_kind_of_ones_own_beside_its_parents() -> None:
    class Doubled(LinearHead):
        kind = "doubled"

    assert type(make_head("doubled", {"num_features": 6, "num_classes": 3})) is Doubled
    assert type(make_head("linear", {"num_features": 6, "num_classes": 3})) is LinearHead


def test_head__of_a_kind_that_is_taken_is_refused_unless_it_is_the_same_class_anew() -> None:
    with pytest.raises(ConfigError, match=r"of kind 'linear', as dogbreed\.models\.heads\.LinearHead is"):
        type("Other", (LinearHead,), {"kind": "linear"})
    for _ in range(2):
        again = type("Again", (LinearHead,), {"kind": "again"})
    assert type(make_head("again", {"num_features": 6, "num_classes": 3})) is again
    assert type(make_head("linear", {"num_features": 6, "num_classes": 3})) is LinearHead


@pytest.mark.parametrize(
    "settings", [{"hidden": 0, "dropout": 0.0}, {"hidden": 4, "dropout": 1.0}, {"hidden": 4, "dropout": -0.1}]
)
def test_mlp_head__refuses_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"hidden={settings['hidden']}, dropout={settings['dropout']}"):
        MLPHead(6, 3, **settings)


@pytest.mark.parametrize("head", HEADS, ids=["linear", "mlp"])
def test_initialise__depends_on_the_seed_alone(head: Head) -> None:
    torch.manual_seed(1)
    initialise(head, seed=5)
    first = weights_of(head)
    torch.manual_seed(2)
    torch.rand(17)
    initialise(head, seed=5)

    assert weights_of(head) == first


def test_initialise__draws_other_weights_for_another_seed() -> None:
    first, second = LinearHead(6, 3), LinearHead(6, 3)
    initialise(first, seed=5)
    initialise(second, seed=6)

    assert not set(weights_of(first)) & set(weights_of(second))


def test_initialise__leaves_the_global_generator_alone() -> None:
    head = LinearHead(6, 3)
    before = torch.get_rng_state()
    initialise(head, seed=5)

    assert torch.equal(torch.get_rng_state(), before)
