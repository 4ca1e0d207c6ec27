"""What the summary of a data set writes and prints."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.folder import Split
from dogbreed.data.summary import Summary, summarize
from dogbreed.errors import ConfigError, OutputError
from dogbreed.reports.summary_files import tell_summary, write_summary
from dogbreed.reports.summary_grid import draw_grid

GRID = {"classes": 3, "pictures": 2, "seed": 0}


@pytest.fixture(scope="module")
def summary(shared_folder: Path) -> Summary:
    return summarize(BreedDataModule(shared_folder, batch_size=1))


def rows_of(grid: Image.Image, rows: int, pictures: int) -> np.ndarray:
    """The mean colour of each picture: (rows, pictures, 3)."""
    pixels = np.asarray(grid, dtype=float)
    height, side = pixels.shape[0] // rows, 144
    right = pixels[:, -(24 + pictures * 150) :]
    return np.array(
        [
            [right[row * height + 60 : row * height + 90, column * 150 + 40 : column * 150 + side - 40].mean((0, 1))
             for column in range(pictures)]
            for row in range(rows)
        ]
    )  # fmt: skip


def test_write_summary__says_the_same_in_each_file(summary: Summary, tmp_path: Path) -> None:
    write_summary(tmp_path / "out", summary, **GRID)
    told = json.loads((tmp_path / "out/summary.json").read_text())
    with open(tmp_path / "out/summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_name"] for row in rows] == told["class_names"] == list(summary.class_names)
    for split in summary.splits:
        assert [int(row[split.name]) for row in rows] == list(split.counts)
        assert told["splits"][split.name]["pictures"] == sum(split.counts)
    assert sum(int(row["all"]) for row in rows) == told["pictures"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["samples.jpg", "summary.csv", "summary.json"]
    with Image.open(tmp_path / "out/samples.jpg") as grid:
        grid.load()


def test_write_summary__twice_writes_the_same(summary: Summary, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_summary(tmp_path / name, summary, **GRID)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"classes": 10_000}, {"pictures": -1}, {"pictures": 1_000}])
def test_write_summary__of_an_impossible_grid_says_so(summary: Summary, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"grid.{next(iter(wrong))}"):
        write_summary(tmp_path / "out", summary, **{**GRID, **wrong})
    assert not (tmp_path / "out").exists()


def test_write_summary__where_it_cannot_says_so(summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_summary(tmp_path / "out", summary, **GRID)


def test_tell_summary__fits_a_screen_and_names_what_is_next(
    summary: Summary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_summary(summary, tmp_path)
    out = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in out.splitlines() if not line.startswith(("wrote", "  "))) <= 80
    assert re.search(r"pictures +32 +16 +16\b", out)
    assert f"python -m dogbreed.data audit {summary.root}" in out


def test_tell_summary__of_hostile_names_steers_no_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(b"zz[bold]\xe9 \xe2\x80\xae")  # markup, a byte that is no UTF-8, a turn of the writing direction
    for split in ("train", "valid", "test"):
        first = sorted((folder / split).iterdir())[0]
        first.rename(first.with_name(odd))
    (folder / "test").rename(folder / ".test")
    summary = summarize(BreedDataModule(folder, batch_size=1))
    write_summary(tmp_path / "out", summary, **{**GRID, "classes": 4})
    tell_summary(summary, tmp_path / "out")
    out = capsys.readouterr().out
    assert r"zz[bold]\xe9 \u202e" in out
    assert "test cannot be used" in out
    assert not re.search(r"[^\n -~]", out)
    assert odd in json.loads((tmp_path / "out/summary.json").read_text())["class_names"]


def test_draw_grid__shows_each_class_in_its_row(summary: Summary) -> None:
    train = summary.files["train"]
    grid = draw_grid(train, summary.class_names, classes=4, pictures=3, seed=0)
    drawn = rows_of(grid, 4, 3)
    for label in range(4):
        paths = [path for path, target in zip(train.paths, train.targets, strict=True) if target == label]
        colour = np.mean([np.asarray(Image.open(path), dtype=float).mean((0, 1)) for path in paths], axis=0)
        assert np.abs(drawn[label] - colour).max() < 15


def test_draw_grid__spreads_its_rows_over_the_classes_that_have_pictures(shared_folder: Path) -> None:
    path = str(next(shared_folder.rglob("*.jpg")))
    names = [f"{number:03d}.Breed" for number in range(100)]
    split = Split("train", [path] * 50, list(range(0, 100, 2)))
    assert draw_grid(split, names, classes=24, pictures=1, seed=0).height // 144 == 24 + 1  # and the margins
    assert draw_grid(split, names, classes=200, pictures=1, seed=0).height // 150 == 50


def test_draw_grid__takes_another_one_for_what_cannot_be_decoded(folder: Path) -> None:
    paths = sorted(str(path) for path in (folder / "train/001.Breed_A").iterdir())
    for path in paths[1:]:
        Path(path).write_bytes(Path(path).read_bytes()[:200])
    split = Split("train", paths, [0] * len(paths))
    drawn = rows_of(draw_grid(split, ["A"], classes=1, pictures=2, seed=0), 1, 2)[0]
    assert np.abs(drawn[0] - np.asarray(Image.open(paths[0]), dtype=float).mean((0, 1))).max() < 15
    assert np.ptp(drawn[1]) < 10, "the second place should stay empty"


def test_draw_grid__another_seed_draws_others(summary: Summary) -> None:
    one, same, other = (
        draw_grid(summary.files["train"], summary.class_names, classes=4, pictures=2, seed=seed).tobytes()
        for seed in (0, 0, 1)
    )
    assert one == same != other
