from __future__ import annotations

import pytest

from launch.preflight.credentials import check_secrets

#: The examples of AWS's own documentation.
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("name", "value", "fatal"),
    [
        ("KEY", KEY_ID, True),
        ("KEY", f"id={KEY_ID};", True),
        ("KEY", KEY_ID.replace("AKIA", "ASIA"), True),
        (KEY_ID, "", True),
        ("AWS_SECRET_ACCESS_KEY", SECRET, True),
        ("aws_session_token", SECRET, True),
        ("AWS_ACCESS_KEY_ID", "", True),
        ("HF_TOKEN", "x", False),
        ("logger.wandb.api_key", "x", False),
        ("DB_PASSWORD", "x", False),
        ("AWS_REGION", "us-east-1", None),
        ("TOKENIZERS_PARALLELISM", "false", None),
        ("data.root", "/opt/ml/input/data/data", None),
        ("seed", "da39a3ee5e6b4b0d3255bfef95601890afd80709", None),
        ("KEY", "XAKIAIOSFODNN7EXAMPLE", None),
    ],
)
@pytest.mark.parametrize("part", ["Environment", "HyperParameters", "StaticHyperParameters", "Tags"])
def test_secrets__are_found_and_not_told(part: str, name: str, value: str, fatal: bool | None) -> None:
    request = {part: [{"Key": name, "Value": value}] if part == "Tags" else {name: value}}
    found = list(check_secrets(request, ""))
    assert [problem.fatal for problem in found] == ([] if fatal is None else [fatal])
    assert SECRET not in repr(found)
    assert name == KEY_ID or KEY_ID not in repr(found)
