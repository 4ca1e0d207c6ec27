"""Which modules of a config a job would miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from launch.sending.modules import check_modules
from launch.settings import JobSettings
from tests.launch.process.conftest import values_in


def missed(config: dict[str, Any], **settings: Any) -> list[str]:
    chosen = JobSettings(**{**values_in("job/default.yaml"), **settings})
    return [problem.where for problem in check_modules(OmegaConf.create(config), chosen)]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks into, with a module of no package and a package of a folder alone."""
    (tmp_path / "loose_one.py").touch()
    (tmp_path / "loose_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("elsewhere")
def test_missed__wherever_it_is_named() -> None:
    rules = [{"_target_": "loose_one.A"}, {"_target_": "torch.optim.SGD"}]
    config = {"rules": rules, "head": {"norm": {"_target_": "loose_folder.deep.B"}}, "_target_": "loose_one"}
    assert missed(config) == [
        "rules.0._target_=loose_one.A",
        "head.norm._target_=loose_folder.deep.B",
        "_target_=loose_one",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.SGD",
        "dogbreed.models.heads.LinearHead",
        "json.loads",
        "sys.exit",
        "nowhere.A",
        "",
        "..",
        "é",
        "a b",
    ],
)
def test_missed__is_nothing_that_a_container_may_have(target: str) -> None:
    assert missed({"head": {"_target_": target}}) == []


def test_missed__is_no_package_that_is_installed_in_place(elsewhere: Path) -> None:
    """As build systems other than setuptools leave it: only the name is known."""
    assert missed({"_target_": "loose_one.A"})
    (elsewhere / "placed_one.py").touch()
    (elsewhere / "placed_one-1.0.dist-info").mkdir()
    (elsewhere / "placed_one-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: placed-one\nVersion: 1.0\n"
    )
    assert missed({"_target_": "placed_one.A"}) == []


@pytest.mark.usefixtures("elsewhere")
def test_missed__is_nothing_where_the_user_sees_to_it() -> None:
    config = {"_target_": "loose_one.A"}
    assert missed(config, environment={"EPOCHS": "1"})
    for settings in ({"image": "mine:1"}, {"requirements": "mine.txt"}, {"backend": "process"}):
        assert missed(config, **settings) == []
    assert missed(config, environment={"PYTHONPATH": "/opt/ml/input/data/code"}) == []
