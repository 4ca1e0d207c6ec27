"""`python -m dogbreed.data`: from an archive to a run on what the audit leaves."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import dogbreed.data.__main__
import dogbreed.train
from tests.conftest import Command

data = dogbreed.data.__main__.main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_data__of_every_step(folder: Path, small_run: list[str], command: Command) -> None:
    for path in folder.glob("valid/*/*.jpg"):  # drawn from the same seeds as those of train
        (folder / "train" / path.relative_to(folder / "valid")).unlink()
    shutil.make_archive("photos", "zip", folder.parent, folder.name)
    ended = command(data, "download", "photos.zip", "fetched")
    assert (ended.code, ended.err) == (0, "")
    assert "next: python -m dogbreed.data summary fetched" in ended.out
    assert "fetched is there already: 48 files" in command(data, "download", "photos.zip", "fetched").out

    assert command(data, "summary", "fetched").code == 0
    with Image.open("fetched-summary/samples.jpg") as grid:
        assert grid.width > 100

    limits = ["limits.min_side=8", "limits.min_per_class=2"]
    first, second = sorted(Path("fetched/train/001.Breed_A").iterdir())[:2]
    second.write_bytes(first.read_bytes())
    (folder_of_test := Path("fetched/test/001.Breed_A")).joinpath("half.jpg").write_bytes(first.read_bytes()[:400])
    ended = command(data, "audit", "fetched", *limits)
    assert ended.code == 0, ended.err
    with open("fetched-audit/exclude.csv") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [
            f"{folder_of_test.relative_to('fetched')}/half.jpg",
            str(second.relative_to("fetched")),
        ]

    run = [*small_run, "data.root=fetched", "trainer.max_epochs=1", "hydra.run.dir=run"]
    assert "cannot be read" in command(dogbreed.train.main, *run).err
    assert command(dogbreed.train.main, *run, "hydra.run.dir=again", "data.exclude=fetched-audit/exclude.csv").code == 0
    ended = command(data, "audit", "fetched", *limits, "data.exclude=fetched-audit/exclude.csv")
    assert "nothing wrong" in ended.out


def test_data__is_split_as_it_is_read(folder: Path, command: Command) -> None:
    os.rename(folder / "train", "flat")
    ended = command(data, "split", "flat", "divided", "val_fraction=0.25", "test_fraction=0.25")
    assert ended.code == 0, ended.err
    found = {split: len(list(Path("divided", split).rglob("*.jpg"))) for split in ("train", "valid", "test")}
    assert found == {"train": 16, "valid": 8, "test": 8}
    assert len(list(Path("flat").rglob("*.jpg"))) == 32


def test_data__positions_and_keys_are_the_same(folder: Path, command: Command) -> None:
    odd = folder.rename("it's (a) odd, name")
    assert command(data, "summary", odd, "out=one").code == 0
    assert (
        command(data, "summary", f"data.root='{str(odd).replace(chr(39), chr(92) + chr(39))}'", "out=other").code == 0
    )
    assert Path("one/summary.json").read_bytes() == Path("other/summary.json").read_bytes()


def test_data__beside_the_folder_however_it_is_named(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = os.listdir(folder / "train")
    for below, name in (("", "."), ("train", "..")):
        monkeypatch.chdir(folder / below)
        assert command(data, "summary", name).code == 0
        beside = folder.with_name(f"{folder.name}-summary")
        assert (beside / "summary.json").is_file()
        shutil.rmtree(beside)
    assert sorted(os.listdir(folder / "train")) == sorted(classes)  # no folder of files that would be a class


def test_data__splits_into_the_folder_where_it_is(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (new := tmp_path / "new").mkdir()
    monkeypatch.chdir(new)
    ended = command(data, "split", folder / "train", ".", "workers=0")
    assert ended.code == 0, ended.err
    assert {path.name for path in new.iterdir()} == {"train", "valid", "test", "split.json"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("audit", "data.root is not set"),
        ("split somewhere", "root is not set"),
        ("audit one two", "'two', one argument too many"),
        ("audit nowhere", "no data set at nowhere"),
        ("audit . limits.min_sides=3", "did you mean limits.min_side"),
        ("download nowhere.zip there", "nowhere.zip"),
        ("split nowhere there", "nowhere"),
        ("audit nowhere limits=null", "limits=None"),
        ("summary nowhere grid=5", "grid=5"),
        ("download nowhere.zip there +limits.max_mb=5", "limits.max_mb is no setting"),
        ("download nowhere.zip there ~retries", "retries was removed"),
        ("download nowhere.zip /", "root=/"),
        ("audit /", "set out=FOLDER"),
    ],
)
def test_data__mistakes_are_told(command: Command, line: str, told: str) -> None:
    ended = command(data, *line.split())
    assert ended.code == 1
    assert told in ended.err
    assert not list(Path().iterdir())


def test_data__help_shows_the_settings(command: Command) -> None:
    assert "limits.min_side=64" in command(data, "audit", "--help").out
    assert "max_gb" in command(data, "download", "--help").out
