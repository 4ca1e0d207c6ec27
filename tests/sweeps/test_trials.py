"""From proposals to what trains them, against what Hydra composes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from dogbreed.app import prepare
from dogbreed.errors import ConfigError
from dogbreed.sweeps.trials import Configs, Trial, find_obstacle, fleet_settings, group_key, make_recipe

FIXED = ["experiment=quickstart", "paths.output_dir=nowhere"]
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "optimizer.lr": st.floats(1e-6, 10),
        "data.batch_size": st.sampled_from([16, 32]),
        "seed": st.integers(0, 5),
        "label_smoothing": st.sampled_from([0.0, 0.1]),
        "trainer.max_epochs": st.integers(1, 9),
        "head": st.sampled_from(["linear", "mlp"]),
        "optimizer": st.sampled_from(["sgd", "adamw"]),
        "scheduler": st.sampled_from(["none", "cosine", "onecycle"]),
        "class_weights": st.sampled_from([None, "balanced"]),
        "backbone": st.sampled_from(["tv_resnet18", "resnet50"]),
        "backbone.image_size": st.sampled_from([None, 64, 96]),
        "trainer.precision": st.sampled_from(["32-true", "64-true"]),
    },
)


@pytest.fixture(scope="module")
def composing() -> Iterator[Any]:
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        yield lambda overrides: hydra.compose("train", overrides=overrides)


@pytest.fixture
def configs(composing: Any) -> Configs:
    return Configs(composing, FIXED)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=PARAMS)
def test_configs__are_those_that_hydra_composes(params: dict[str, Any], configs: Configs, composing: Any) -> None:
    composed = composing([*FIXED, *Trial(0, params).overrides])
    assert configs.of(params) == composed
    assert OmegaConf.to_yaml(configs.of(params)) == OmegaConf.to_yaml(composed)


def test_configs__compose_once_for_many_values(composing: Any) -> None:
    calls = []

    def compose(overrides: list[str]) -> DictConfig:
        calls.append(overrides)
        return composing(overrides)

    configs = Configs(compose, FIXED)
    made = [configs.of({"optimizer.lr": step / 10, "seed": step}) for step in range(5)]
    assert len(calls) == 1
    assert [config.optimizer.lr for config in made] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_configs__a_mistake_names_the_trial(configs: Configs) -> None:
    with pytest.raises(ConfigError, match="scheduler=null"):
        configs.of({"scheduler": None})


def test_make_recipe__has_what_the_config_says(configs: Configs) -> None:
    params: dict[str, Any] = {"head": "mlp", "head.hidden": 5, "optimizer.lr": 0.25, "scheduler": "onecycle"}
    params |= {"data.batch_size": 16, "label_smoothing": 0.1, "seed": 3, "trainer.max_epochs": 2}
    recipe = make_recipe(configs.of(params))
    head = recipe.make_head(num_features=7, num_classes=3)
    optimizer = recipe.make_optimizer(head.parameters())
    assert head.hidden == 5
    assert optimizer.defaults["lr"] == 0.25
    assert recipe.make_scheduler is not None
    assert recipe.make_scheduler(optimizer, total_steps=8).total_steps == 8
    assert (recipe.batch_size, recipe.epochs, recipe.label_smoothing) == (16, 2, 0.1)
    assert (recipe.seed, recipe.order_seed) == (3, 3), "the order follows the seed"
    assert recipe.obstacle() is None


@pytest.mark.parametrize(
    "params", [{"trainer.max_epochs": 0}, {"data.batch_size": 1.5}, {"label_smoothing": 1.0}, {"seed": True}]
)
def test_make_recipe__refuses_by_name(params: dict[str, Any], configs: Configs) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        make_recipe(configs.of(params))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, None),
        ({"trainer.gradient_clip_val": 0}, None),
        ({"callbacks": "default"}, None),
        ({"trainer.precision": "64-true"}, None),
        ({"logger": "all", "trainer.log_every_n_steps": 3}, None),
        ({"trainer.gradient_clip_val": 0.5}, "trainer.gradient_clip_val=0.5"),
        ({"trainer.accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches=2"),
        ({"trainer": "mixed"}, "trainer.precision=16-mixed"),
        ({"trainer": "ddp"}, "trainer.devices=2"),
        ({"class_weights": "balanced"}, "class_weights=balanced"),
        ({"callbacks": "early_stopping"}, "callbacks.early_stopping"),
        ({"+trainer.limit_train_batches": 0.5}, "trainer.limit_train_batches=0.5"),
    ],
)
def test_find_obstacle__names_what_no_fleet_does(params: dict[str, Any], reason: str | None, configs: Configs) -> None:
    assert find_obstacle(configs.of(params)) == reason


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer.lr": 0.5, "optimizer": "adamw"},
        {"head": "mlp", "head.dropout": 0.3},
        {"scheduler": "none", "label_smoothing": 0.2},
        {"seed": 4, "data.batch_size": 7, "trainer.max_epochs": 3},
        {"logger": "all"},
    ],
)
def test_group_key__is_shared_by_what_a_fleet_varies(params: dict[str, Any], configs: Configs) -> None:
    assert group_key(configs.of(params)) == group_key(configs.of({}))


@pytest.mark.parametrize(
    "params",
    [
        {"backbone": "tv_resnet50"},
        {"backbone.image_size": 96},
        {"backbone.crop_pct": 0.9},
        {"augmentation": "crop_flip"},
        {"features.dtype": "float16"},
        {"data.root": "elsewhere"},
        {"data.on_error": "skip"},
        {"trainer.precision": "64-true"},
        {"+anything.new": 1},
    ],
)
def test_group_key__differs_with_everything_else(params: dict[str, Any], configs: Configs) -> None:
    assert group_key(configs.of(params)) != group_key(configs.of({}))


def test_group_key__differs_with_the_seed_where_it_decides_who_is_in_val(composing: Any) -> None:
    configs = Configs(composing, [*FIXED, "data.val_fraction=0.2"])
    assert group_key(configs.of({"seed": 1})) != group_key(configs.of({"seed": 2}))


def test_fleet_settings__follow_the_trainer(configs: Configs) -> None:
    assert fleet_settings(configs.of({"trainer.precision": "64-true"}))["dtype"] is torch.float64
    assert fleet_settings(configs.of({"trainer.accelerator": "cpu"})) == {"dtype": torch.float32, "device": "cpu"}
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            fleet_settings(configs.of({"trainer.accelerator": "gpu"}))


def test_trials__know_every_setting_of_the_trainers_config() -> None:
    """A key that is added to conf/trainer/default.yaml must be sorted here, or every trial would run alone."""
    content = OmegaConf.load(Path(__file__).parents[2] / "conf" / "trainer" / "default.yaml")
    config = OmegaConf.create({"class_weights": None, "callbacks": {}, "trainer": content})
    assert find_obstacle(config) is None
