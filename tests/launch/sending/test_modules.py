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
    rules += [{"_target_": "${head.norm._target_}"}, {"_target_": "${nothing}"}]
    config = {"rules": rules, "head": {"norm": {"_target_": "loose_folder.deep.B"}}, "_target_": "loose_one"}
    assert missed(config) == [
        "rules.0._target_=loose_one.A",
        "rules.2._target_=loose_folder.deep.B",
        "head.norm._target_=loose_folder.deep.B",
        "_target_=loose_one",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.SGD",
        "dogbreed.models.heads.LinearHead",
        "launch.inference.model_fn",
        "hydra_plugins.x.Y",
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


@pytest.mark.parametrize(
    ("module", "name", "files"),
    [
        ("placed_one", "placed-one", {}),  # as most build systems leave it: the name alone is known
        ("placed_two", "another-name", {"top_level.txt": "placed_two"}),  # setuptools
    ],
)
def test_missed__is_no_package_that_is_installed_in_place(
    module: str, name: str, files: dict[str, str], elsewhere: Path
) -> None:
    about = elsewhere / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    for file, text in {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", **files}.items():
        (about / file).write_text(text)
    (elsewhere / f"{module}.py").touch()
    assert missed({"rules": [{"_target_": "loose_one.A"}, {"_target_": f"{module}.A"}]}) == [
        "rules.0._target_=loose_one.A"
    ]


@pytest.mark.usefixtures("elsewhere")
def test_missed__is_nothing_where_the_user_sees_to_it() -> None:
    config = {"_target_": "loose_one.A"}
    assert missed(config, environment={"EPOCHS": "1"})
    for settings in ({"image": "mine:1"}, {"requirements": "mine.txt"}, {"backend": "process"}):
        assert missed(config, **settings) == []
    assert missed(config, environment={"PYTHONPATH": "/opt/ml/input/data/code"}) == []
