from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import ConfigError
from launch.pricing.measured import read_measured


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """What the measurement reads of a real run, for one test to change."""
    for name in ("profile.json", "run.json", "data.json", "config.yaml", "metrics.csv"):
        shutil.copy(trained_run / name, tmp_path / name)
    return tmp_path


def phases(run: Path) -> Any:
    return json.loads((run / "profile.json").read_text())["phases"]["parts"]


def change_phases(run: Path, parts: Any) -> None:
    profile = json.loads((run / "profile.json").read_text())
    profile["phases"]["parts"] = parts
    (run / "profile.json").write_text(json.dumps(profile))


def with_pass(run: Path, seconds: float) -> None:
    parts = phases(run)
    features = next(part for part in parts if part["name"] == "features")
    others = [part for part in features["parts"] if part["name"] != "feature pass"]
    features["parts"] = [*others, {"name": "feature pass", "seconds": seconds, "count": 1, "parts": []}]
    change_phases(run, parts)


def test_measured__parts_add_up_to_the_run(run: Path) -> None:
    with_pass(run, 0.25)
    found = read_measured(run)
    assert found.backbone == 0.25
    assert found.heads > 0
    total = json.loads((run / "profile.json").read_text())["seconds"]
    assert found.set_up + found.backbone + found.heads == pytest.approx(total)
    assert found.pictures == 4 * (8 + 4 + 4)
    assert found.on_features


def test_measured__views_of_train_are_counted(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert "  views: null\n" in text
    (run / "config.yaml").write_text(text.replace("  views: null\n", "  views: 10\n"))
    assert read_measured(run).pictures == 4 * (10 * 8 + 4 + 4)


def test_measured__features_from_the_cache_tell_nothing_of_the_pass(run: Path) -> None:
    parts = phases(run)
    next(part for part in parts if part["name"] == "features")["parts"] = []
    change_phases(run, parts)
    assert read_measured(run).backbone is None


def test_measured__on_pixels_all_training_is_the_backbones(run: Path) -> None:
    with_pass(run, 0.25)
    on_features = read_measured(run)
    change_phases(run, [part for part in phases(run) if part["name"] != "features"])
    found = read_measured(run)
    assert not found.on_features
    assert found.backbone == pytest.approx(on_features.heads)
    assert found.heads == 0
    assert found.pictures == 2 * 4 * (8 + 4) + 4 * 4


@pytest.mark.parametrize("name", ["profile.json", "run.json", "data.json", "config.yaml", "metrics.csv"])
def test_measured__directory_of_no_whole_run_is_refused(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(ConfigError, match=name):
        read_measured(run)


@pytest.mark.parametrize("content", ["{", "[]", '{"seconds": 1}', '{"seconds": 1, "phases": {"parts": []}}'])
def test_measured__damaged_profile_is_refused(run: Path, content: str) -> None:
    (run / "profile.json").write_text(content)
    with pytest.raises(ConfigError, match="measured_run"):
        read_measured(run)
