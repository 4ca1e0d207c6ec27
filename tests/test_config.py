"""Every file in conf/ is composed and made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from dogbreed.app import build, prepare
from dogbreed.checking import make_rules, needs_pixels
from dogbreed.sweeps.settings import Settings
from dogbreed.sweeps.space import parse_space
from launch.hosting.settings import EndpointSettings
from launch.settings import JobSettings, TunerSettings, make_settings

CONF = Path(__file__).parents[1] / "conf"
MADE = ("augmentation", "scheduler", "head", "optimizer", "trainer")
FILES = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*.yaml"))
GROUPS = {name: name.rsplit("/", 1) for name in FILES if "/" in name}


def compose(name: str, *overrides: str) -> DictConfig:
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


#: The configs that hold no run: what each must be given.
NO_RUNS = {"deploy": ("artifact", "name"), "transform": ("artifact", "input", "output")}
NO_RUNS |= {"download": (), "split": ("source", "root"), "summary": ("data.root",), "audit": ("data.root",)}


def swept(*overrides: str) -> Any:
    """What Hydra's own part of the config says of a sweep."""
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        return hydra.compose("train", overrides=[*overrides], return_hydra_config=True).hydra.sweeper


def settings_of(group: str, choice: str) -> JobSettings | TunerSettings | EndpointSettings:
    """What a file of sagemaker/job, sagemaker/tuner or sagemaker/endpoint says."""
    if group == "sagemaker/endpoint":
        found: Any = OmegaConf.to_container(compose("deploy", f"{group}={choice}").sagemaker, resolve=True)
        assert found["kind"] == choice
        return make_settings(EndpointSettings, found, "sagemaker")
    values: Any = OmegaConf.to_container(compose("launch", f"{group}={choice}").sagemaker, resolve=True)
    tuner = values.pop("tuner")
    if group == "sagemaker/tuner":
        return make_settings(TunerSettings, tuner, "sagemaker.tuner")
    return make_settings(JobSettings, values, "sagemaker")


def made_for_hydra(group: str) -> Any:
    """The plugin, made with settings that are whole."""
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose("train", overrides=[f"{group}=sagemaker"], return_hydra_config=True)
    values: Any = OmegaConf.to_container(OmegaConf.select(config, group.replace("/", ".")), resolve=True)
    plugin = hydra.utils.get_class(values.pop("_target_"))(**values)
    for other in ("module", "params"):
        values.pop(other, None)
    if "tuner" in values:
        assert make_settings(TunerSettings, values.pop("tuner"), "hydra.sweeper.tuner")
    assert make_settings(JobSettings, values, group.replace("/", "."))
    return plugin


def section(group: str, choice: str, tmp_path: Path) -> DictConfig:
    needed = [f"paths.output_dir={tmp_path}", "data.root=nowhere"]
    if (group, choice) == ("backbone", "any"):
        needed.append("backbone.name=resnet18")
    return compose("train", f"{'+' if group == 'run' else ''}{group}={choice}".replace("+run", "run"), *needed)


def made(config: DictConfig, group: str) -> Any:
    """What the chosen file of the group describes, made for real."""
    if group in ("callbacks", "logger"):
        return [build(config, f"{group}.{name}") for name in config.get(group) or {}]
    if group == "head":
        return build(config, "head")(num_features=8, num_classes=3)
    if group == "optimizer":
        return build(config, "optimizer")([torch.nn.Parameter(torch.zeros(2))])
    if group == "scheduler":
        factory = build(config, "scheduler")
        return factory and factory(build(config, "optimizer")([torch.nn.Parameter(torch.zeros(2))]), total_steps=10)
    if group == "features":
        return [needs_pixels(config)]
    if group == "backbone":
        return build(config, "backbone", weights="none")
    if group == "health":
        return make_rules(config)
    return build(config, group.replace("/", "."))


@pytest.mark.parametrize("name", FILES)
def test_config__is_composed_and_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name in NO_RUNS:
        assert set(NO_RUNS[name]) <= set(OmegaConf.missing_keys(compose(name)))
        return
    if "/" not in name:
        config = compose(name, "data.root=nowhere", f"++paths.output_dir={tmp_path}")  # not all have paths
        assert config.data.root == "nowhere"
        return
    group, choice = GROUPS[name]
    if group == "search_space":
        space, _ = parse_space(dict(swept(f"search_space={choice}").params), [])
        assert space.dimensions
        return
    if group.startswith("sagemaker/"):
        assert settings_of(group, choice)
        return
    if (group, choice) in (("hydra/sweeper", "sagemaker"), ("hydra/launcher", "sagemaker")):
        assert made_for_hydra(group)
        return
    if group == "hydra/sweeper":
        settings: dict[str, Any] = dict(swept(f"hydra/sweeper={choice}"))
        assert hydra.utils.get_class(settings.pop("_target_"))
        assert settings.pop("params") == {}
        assert Settings(**settings).sampler
        return
    if group == "trainer" and choice == "mixed":
        choice_needs_gpu = not torch.cuda.is_available()
        if choice_needs_gpu:
            pytest.skip("half precision needs a GPU; composed by test_config__mixed_precision")
    config = section(group, choice, tmp_path)
    result = made(config, group)
    if choice != "none" and group not in ("paths", "run", "experiment"):
        assert result, name


def test_config__mixed_precision(tmp_path: Path) -> None:
    assert section("trainer", "mixed", tmp_path).trainer.precision == "16-mixed"


def test_config__no_dataset_statistics() -> None:
    for path in CONF.rglob("*.yaml"):
        assert not re.search(r"^\s*(mean|std):", path.read_text(), re.M), path


def test_config__monitor_decides_its_own_direction(tmp_path: Path) -> None:
    config = section("callbacks", "early_stopping", tmp_path)
    assert config.callbacks.early_stopping.mode == "max"
    config = compose("train", "monitor=val/loss", "callbacks=early_stopping", f"paths.output_dir={tmp_path}")
    assert config.callbacks.checkpoint.mode == config.callbacks.early_stopping.mode == "min"
    config = compose("train", "callbacks.checkpoint.monitor=val/loss", f"paths.output_dir={tmp_path}")
    assert (config.monitor, config.callbacks.checkpoint.mode) == ("val/acc", "min")
