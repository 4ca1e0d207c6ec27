"""Settings of jobs, tuners, endpoints and batches, of every kind that YAML has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dogbreed.errors import ConfigError
from launch.hosting.settings import EndpointSettings
from launch.hosting.transforming import TransformSettings
from launch.settings import JobSettings, TunerSettings, make_settings

CONF = Path(__file__).parents[2] / "conf"
KINDS: dict[str, type[Any]] = {
    "sagemaker/job/default": JobSettings,
    "sagemaker/tuner/bayesian": TunerSettings,
    "sagemaker/endpoint/realtime": EndpointSettings,
    "sagemaker/endpoint/serverless": EndpointSettings,
    "sagemaker/endpoint/asynchronous": EndpointSettings,
    "transform": TransformSettings,
}
ODD: list[Any] = [None, True, 5, -1, 1.5, float("nan"), "", "xyz", [], [5], ["x", None], {}, {"a": 1}, {1: "a"}]


def values_of(name: str) -> dict[str, Any]:
    """As the config composes them."""
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    content = content.get("transform", content)
    base = values_of("sagemaker/endpoint/realtime") if "realtime@_here_" in content.pop("defaults", []) else {}
    return base | content


@pytest.mark.parametrize("name", KINDS)
def test_settings__of_another_kind_are_refused(name: str) -> None:
    values = values_of(name)
    made = make_settings(KINDS[name], values, "section")
    for key in values:
        kind, taken = str(type(made).__annotations__[key]), []
        for odd in ODD:
            try:
                make_settings(KINDS[name], {**values, key: odd}, "section")
            except ConfigError:
                continue
            taken.append(odd)
        assert all(isinstance(odd, str | None) for odd in taken if kind.startswith("str")), (key, taken)
        assert all(isinstance(odd, bool) for odd in taken if kind == "bool"), (key, taken)
        assert "None" in kind or None not in taken, key
        assert all(odd in ([], {}) for odd in taken if kind.startswith(("Sequence", "Mapping"))), (key, taken)
        assert all(type(odd) in (int, type(None)) for odd in taken if kind.startswith("int")), (key, taken)
        assert all(type(odd) in (int, float, type(None)) for odd in taken if kind.startswith("float")), (key, taken)


def test_settings__of_which_one_is_wrong_keep_the_others_to_themselves() -> None:
    values = values_of("sagemaker/job/default")
    with pytest.raises(ConfigError, match=r"section\.environment\.WORKERS=5\n") as caught:
        make_settings(JobSettings, {**values, "environment": {"WANDB_MODE": "hidden", "WORKERS": 5}}, "section")
    assert "hidden" not in str(caught.value)
