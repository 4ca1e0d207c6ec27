"""What is built from the checkout, installed elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_wheel__holds_the_configs_and_runs_from_anywhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("dogbreed/conf/")}
        archive.extractall(tmp_path / "site")
    expected = {f"dogbreed/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert expected <= packed
    shown = subprocess.run(
        [sys.executable, "-m", "dogbreed.train", "--cfg", "job", "--package", "backbone"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "name: resnet18" in shown.stdout


def test_all_extras__resolve_in_one_go(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
    resolved = subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), f"{ROOT}[all]"], capture_output=True, text=True, timeout=600
    )
    assert resolved.returncode == 0, resolved.stderr
