"""docs/explanations/what_each_rule_means.md says what conf/health says, of every rule and every parameter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from dogbreed.health import rules

_PAGE = Path(__file__).parents[2] / "docs/explanations/what_each_rule_means.md"
_SECTIONS = dict(re.findall(r"^### (\w+)$(.*?)(?=^##|\Z)", _PAGE.read_text(), re.MULTILINE | re.DOTALL))
_NUMBER = r"`(\w+)=([^`]+)`"
#: What is said to be AWS's: a number, or several in a row.
_OF_AWS = re.compile(rf"AWS:\s+{_NUMBER}(?:,\s+(?:AWS:\s+)?{_NUMBER})*")


@pytest.fixture(scope="module")
def settings() -> dict[str, dict[str, dict[str, str]]]:
    """Name of the file in conf/health -> rule -> parameter -> value, as a page writes it."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in ("default", "aws"):
        with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
            config: Any = OmegaConf.to_container(hydra.compose("train", [f"health={name}"]).health.rules)
        for one in config.values():
            one.pop("_target_")
        found[name] = {rule: {key: _written(value) for key, value in one.items()} for rule, one in config.items()}
    return found


def test_page__explains_every_rule_once(settings: dict[str, Any]) -> None:
    assert sorted(_SECTIONS) == sorted(settings["default"]) == sorted(set(rules.__all__) - {"Rule"})
    assert f"by {len(_SECTIONS)} rules" in _PAGE.read_text()


@pytest.mark.parametrize("rule", _SECTIONS)
def test_page__has_the_numbers_of_a_rule(rule: str, settings: dict[str, Any]) -> None:
    ours, theirs = settings["default"][rule], settings["aws"][rule]
    said = dict(re.findall(_NUMBER, _OF_AWS.sub("", _SECTIONS[rule])))
    said_of_aws = dict(re.findall(_NUMBER, " ".join(found[0] for found in _OF_AWS.finditer(_SECTIONS[rule]))))
    assert {key: value for key, value in said.items() if key in ours} == ours
    assert said_of_aws == {key: value for key, value in theirs.items() if value != ours[key]}


def _written(value: object) -> str:
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(str(value), str(value))
