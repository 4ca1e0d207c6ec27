"""Overrides through hyperparameters and back: the same config, composed by Hydra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dogbreed.app import prepare
from dogbreed.errors import ConfigError
from launch.overrides import OURS, of_the_job, render_any, to_hyperparameters, to_overrides

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=20)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3)
)


@pytest.fixture(scope="module", autouse=True)
def composing() -> Iterator[None]:
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        yield


def composed(overrides: list[str]) -> Any:
    return OmegaConf.to_container(hydra.compose("train", ["data.root=x", "paths.output_dir=y", *overrides]))


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS))
def test_value__comes_back_with_its_type(value: Any) -> None:
    line = f"a={render_any(value)}"
    (back,) = to_overrides(to_hyperparameters([line]))
    values = [OverridesParser.create().parse_override(each).value() for each in (line, back)]
    texts = [getattr(each, "text", each) for each in values]
    assert (type(texts[1]), texts[1]) == (type(value), value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.lr=0.1", "optimizer=adamw"],  # a group is composed first, wherever it stands
        ["trainer.accelerator=cpu", "trainer=ddp"],
        ["~health.rules.Overfit", "+health.rules.Overfit={patience: 3}"],
        ["+trainer.max_time=x", "trainer.max_time=null"],
        ["~logger", "head=mlp", "head.hidden=7", "notes=['16', a b, 16]"],
        ["seed=1", "seed=2"],
        ["data.batch_size=16", "backbone=resnet50", "optimizer.lr=1e-05"],
    ],
)
def test_overrides__compose_to_the_same_config(overrides: list[str]) -> None:
    assert composed(to_overrides(to_hyperparameters(overrides))) == composed(overrides)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["health.rules.Overfit.patience=3", "health.rules={}"], "the other way round"),
        (["+a=1", "~a"], "the other way round"),
        (["+a={1: 2}"], "texts as names"),
        (["+a={_sweep_: x}"], "texts as names"),
        (["+a=nan"], "numbers, texts, lists"),
    ],
)
def test_overrides__that_would_come_back_otherwise_are_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        to_hyperparameters(overrides)


def test_of_the_job__leaves_what_is_the_launchers_or_another_place() -> None:
    kept = ["seed=1", "+data.x=2", "hydrated=1"]
    stays = [
        "sagemaker/job@hydra.launcher=spot",
        "+sagemaker.tags.a=b",
        "hydra.sweep.dir=x",
        "hydra/launcher=sagemaker",
    ]
    assert of_the_job([*kept, *stays, "paths.artifact=x", "resume=true", "format=json"], *OURS) == kept
    assert of_the_job(["format=png", "paths.a=x", *stays]) == ["format=png", "paths.a=x"]  # another task's own
