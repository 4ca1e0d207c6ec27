from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dogbreed.health import rules

CONF = Path(__file__).parents[3] / "conf" / "health"
AWS = yaml.safe_load((CONF / "aws.yaml").read_text())["rules"]
DIFFERENCES = [
    (preset, rule, key, value)
    for preset in ("default", "aws_guide")
    for rule, changes in yaml.safe_load((CONF / f"{preset}.yaml").read_text())["rules"].items()
    for key, value in changes.items()
]


def test_aws__names_every_rule_with_every_parameter():
    made = {
        name: getattr(rules, name)(**{k: v for k, v in values.items() if k != "_target_"})
        for name, values in AWS.items()
    }
    assert set(made) == set(rules.__all__) - {"Rule"}


@pytest.mark.parametrize(("preset", "rule", "key", "value"), DIFFERENCES)
def test_preset__states_only_what_differs_from_aws(preset, rule, key, value):
    assert key in AWS[rule]
    assert AWS[rule][key] != value


@pytest.mark.parametrize("name", sorted(AWS))
def test_rule__explains_itself(name):
    assert getattr(rules, name).__doc__.strip()
