"""What README claims beyond its outputs, which tests/documented compares."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables import PAGES, RESULTS, TABLES, fill
from tests.documented.pages import ROOT, read_page
from tests.documented.substitutions import as_script


def test_readme__is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250


def test_readme__tables_are_those_of_the_files_they_come_from() -> None:
    texts = [page.read_text() for page in PAGES]
    assert [fill(text) for text in texts] == texts, "python -m benchmarks.tables"
    assert sorted(re.findall(r"<!-- table (\w+) -->", "".join(texts))) == sorted(TABLES)


def test_results__keep_what_was_promised() -> None:
    startup = json.loads((RESULTS / "startup.json").read_text())
    assert startup["help"]["train"]["wall_s"] < 2
    assert startup["beyond_import"]["wall_s"] <= 3


@pytest.mark.slow
def test_readme__library_example_runs_without_hydra_or_aws(shared_folder: Path, tmp_path: Path) -> None:
    scripts = [step.script for step in read_page(ROOT / "README.md").steps if "FeatureCache" in step.script]
    (example,) = map(as_script, scripts)
    picture = next((shared_folder / "test").rglob("*.jpg")).relative_to(shared_folder)
    example = re.sub(r"test/\S+\.jpg", str(picture), example)
    # Lightning itself looks for omegaconf, and TensorBoard for boto3; test_rooms shows that we import neither.
    heavy = ("hydra", "sagemaker", "smdebug")
    check = f"\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sample").symlink_to(shared_folder)
    ran = subprocess.run([sys.executable, "-c", example + check], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    breed, imported = ran.stdout.strip().splitlines()[-2:]
    assert re.fullmatch(r"Breed [A-D]", breed)
    assert imported == "[]"


@pytest.mark.slow
def test_readme__quick_start_learns_and_is_told_truly(tmp_path: Path) -> None:
    train, replay, predict = (
        "dogbreed.train experiment=quickstart hydra.run.dir=first",
        "dogbreed.health replay first health=aws",
        "dogbreed.predict --artifact first/artifact data/sample/test --format jsonl",
    )
    said = [_run(command, tmp_path) for command in (train, replay, predict)]
    told = re.findall(r"^test accuracy: .*", said[0], re.MULTILINE)[0]
    chance, colour, ours = map(float, re.findall(r"([\d.]+)%", told))
    assert chance == 10.0
    assert ours >= colour + 15
    assert "drawn" in said[0]
    assert "untrained" in said[0]
    assert re.search(r"health: of 26 rules 0 found something", said[0])
    assert re.search(r"Overfit +IssuesFound", said[1]), "by AWS's thresholds a healthy probe is overfit"
    answers = [json.loads(line) for line in said[2].splitlines()]
    assert len(answers) == 120
    right = sum(answer["class_name"] == Path(answer["path"]).parent.name for answer in answers)
    assert right / 120 == pytest.approx(json.loads((tmp_path / "first/metrics.json").read_text())["test/acc"])


def _run(command: str, folder: Path) -> str:
    environment = {**os.environ, "DOGBREED_FEATURES": str(folder / "features")}
    words = [sys.executable, "-m", *command.split()]
    ran = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
