"""The evaluating command on folders that are not those of the training."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dogbreed.evaluate

Command = Callable[..., Any]


@pytest.fixture
def judge(command: Command, trained_run: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs dogbreed.evaluate on the trained artifact: judge(root, *overrides)."""

    def run(root: Path, *overrides: str) -> Any:
        fixed = ["trainer.accelerator=cpu", "data.num_workers=0", f"hydra.run.dir={tmp_path / 'judged'}"]
        artifact = f"artifact={trained_run / 'artifact'}"
        return command(dogbreed.evaluate.main, artifact, f"data.root={root}", *fixed, *overrides)

    return run


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_evaluate__equals_what_training_said(
    judge: Any, shared_folder: Path, trained_run: Path, tmp_path: Path
) -> None:
    assert judge(shared_folder).code == 0
    trained = read(trained_run / "metrics.json")
    for name, value in read(tmp_path / "judged" / "metrics.json").items():
        assert value == pytest.approx(trained[name], rel=1e-6)
    for name in ("per_class.csv", "confused.csv"):
        assert (tmp_path / "judged" / name).read_text() == (trained_run / name).read_text()
    assert (tmp_path / "judged" / "confusion.png").stat().st_size > 1000


@pytest.mark.parametrize("split", ["train", "val"])
def test_evaluate__a_folder_with_only_that_split(judge: Any, folder: Path, tmp_path: Path, split: str) -> None:
    kept = {"val": "valid"}.get(split, split)
    for other in {"train", "valid", "test"} - {kept}:
        shutil.rmtree(folder / other)
    ended = judge(folder, f"split={split}")
    assert ended.code == 0, ended.err
    assert str(folder / kept) in ended.out.splitlines()[-1], "a picture to go on with"
    assert set(read(tmp_path / "judged" / "metrics.json")) == {
        f"{split}/{name}" for name in ("loss", "acc", "acc_top5", "f1_macro")
    }


def test_evaluate__matches_classes_by_name(judge: Any, folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "test" / "001.Breed_A")
    assert judge(folder).code == 0
    with open(tmp_path / "judged" / "per_class.csv", newline="") as file:
        pictures = {row["class_name"]: int(row["pictures"]) for row in csv.DictReader(file)}
    assert pictures == {"001.Breed_A": 0, "002.Breed_B": 4, "003.Breed_C": 4, "004.Breed_D": 4}


def test_evaluate__names_a_class_that_it_does_not_know(judge: Any, folder: Path) -> None:
    (folder / "test" / "002.Breed_B").rename(folder / "test" / "002.Bread_B")
    ended = judge(folder)
    assert ended.code == 1
    assert "did you mean 002.Breed_B" in ended.err


def test_evaluate__counts_what_it_skips(judge: Any, folder: Path, tmp_path: Path) -> None:
    for picture in (folder / "test" / "001.Breed_A").iterdir():
        picture.write_bytes(b"no picture")
    ended = judge(folder, "data.on_error=skip")
    assert ended.code == 0, ended.err
    assert "12 pictures of test" in ended.out
    assert (tmp_path / "judged" / "skipped.csv").read_text().count("unreadable") == 4
    picture = Path(ended.out.splitlines()[-1].split()[-1])
    assert picture.parent == folder / "test" / "002.Breed_B", "the first that could be read"
