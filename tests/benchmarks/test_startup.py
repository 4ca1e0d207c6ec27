"""`python -m benchmarks.startup` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.startup import main


@pytest.mark.slow
def test_startup__times_the_import_the_first_step_and_a_help(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    main(["--rounds", "1", "--commands", "report", "--json", str(file)])

    found = json.loads(file.read_text())
    first, imported = found["first training step"], found["import torch and pytorch_lightning"]
    assert list(found["help"]) == ["report"]
    for key in ("wall_s", "cpu_s"):
        assert found["beyond_import"][key] == pytest.approx(first[key] - imported[key])
        assert min(first[key], imported[key], found["help"]["report"][key]) > 0
