"""The notebooks run from a fresh kernel, and what they say of their outputs is so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from docs_build.notebooks import NOTEBOOKS, execute, render
from dogbreed.data.breeds import BREEDS
from dogbreed.serving.names import readable

PYTHON = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
READY = os.environ.get("DOGBREED_NOTEBOOKS")
NAMES = {readable(breed.name) for breed in BREEDS}

Cells = dict[str, Any]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def shown(cell: Any) -> str:
    """What a cell shows as text."""
    return "".join(output.get("text") or output.data.get("text/plain", "") for output in cell.outputs)


def check_train_locally(cells: Cells, folder: Path) -> None:
    metrics = read(folder / "runs/first/metrics.json")
    assert metrics["test/acc"] > 0.5, "chance is 0.1"
    assert f"this classifier {metrics['test/acc']:.1%}" in shown(cells["train"])
    answered, *_ = re.findall(r"'([^']+)', 0", shown(cells["request"]))
    assert answered in NAMES
    assert answered in shown(cells["ask"]), "the server and the command line answer alike"


def check_sweep(cells: Cells, folder: Path) -> None:
    assert len(read(folder / "runs/sweep/trials.json")["trials"]) == 50
    summary = read(folder / "runs/sweep/summary.json")
    assert summary["winner"]["test/acc"] > 0.5
    assert "test/acc" not in summary["sweep"]
    assert {"winner", "ridge"} < set(summary)


def check_debug_and_profile(cells: Cells, folder: Path) -> None:
    found = [rule for rule in read(folder / "runs/wrong/health.json")["rules"] if rule["finding"]]
    assert found[0]["RuleConfigurationName"] == "WeightUpdateRatio"
    assert "WeightUpdateRatio" in [rule["consequence_of"] for rule in found], "what other rules saw follows from that"
    wrong, mended = (read(folder / f"runs/{name}/metrics.json")["test/acc"] for name in ("wrong", "mended"))
    assert mended > wrong + 0.2
    assert "WeightUpdateRatio" not in shown(cells["mended"])
    assert re.search(r"Overfit +IssuesFound", shown(cells["replay"]))


def check_sagemaker(cells: Cells, folder: Path) -> None:
    assert any(name in shown(cells["ask"]) for name in NAMES)
    assert read(folder / "runs/job/metrics.json")["test/acc"] > 0.2, "chance is 0.1"
    assert len(read(folder / "runs/tuning/trials.json")["trials"]) == 2
    assert "all: 3 jobs" in shown(cells["cost"])
    assert "no endpoint" in shown(cells["delete"])


def check_library(cells: Cells, folder: Path) -> None:
    right, chance = map(float, re.findall(r"([\d.]+)%", shown(cells["test"])))
    assert right > 50
    assert chance == 10
    assert re.search(f"answer: ({'|'.join(NAMES)}), ", shown(cells["ask"]))


CLAIMS: dict[str, Callable[[Cells, Path], None]] = {
    "01_train_locally": check_train_locally,
    "02_sweep": check_sweep,
    "03_debug_and_profile": check_debug_and_profile,
    "04_sagemaker_train_tune_deploy": check_sagemaker,
    "05_use_as_a_library": check_library,
}


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `make notebooks` has just executed and rendered them, if DOGBREED_NOTEBOOKS says so; else a new folder."""
    return Path(READY) if READY else tmp_path_factory.mktemp("tour")


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook__runs_and_tells_the_truth(notebook: Path, tour: Path) -> None:
    executed = tour / notebook.name if READY else execute(notebook, tour)
    page = (executed.with_suffix(".md") if READY else render(executed, tour)).read_text()

    cells: Cells = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"}
    kept = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells.values()] == kept, "executed before it was changed: make notebooks"
    CLAIMS[notebook.stem](cells, tour / notebook.stem)
    kinds = [kind for cell in cells.values() for output in cell.outputs for kind in output.get("data", {})]
    assert sum(kind in ("image/png", "image/jpeg", "text/html") for kind in kinds) >= 3, "a story with pictures"
    everything = "".join(map(shown, cells.values()))
    for noise in ("Traceback", "Error", "GPU available"):
        assert noise not in everything

    for linked in re.findall(r"\]\((?!https?:)([^)]+)\)", page):
        assert (tour / linked).is_file() or Path(linked).stem in CLAIMS, linked
    assert ".ipynb)" not in page
    assert "\x1b[" not in page, "what is bold in a terminal is plain here"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook__is_kept_without_outputs(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=nbformat.NO_CONVERT)
    nbformat.validate(content)
    assert (content.nbformat, content.nbformat_minor) == (4, 5)
    assert content.metadata == PYTHON, "nothing of whose machine ran it"
    for cell in content.cells:
        assert cell.metadata == {}
        assert re.fullmatch("[a-z][a-z-]+", cell.id), "an id that says what the cell is for"
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 12, "a cell is a few lines; more belongs into the library"


def test_notebooks__are_five() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(CLAIMS)
