"""What a data set holds, against the file system and Pillow."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.exclusions import Exclusion, write_exclusions
from dogbreed.data.summary import SMALL_SIDE, Range, Summary, evenness, read_header, summarize
from dogbreed.errors import DataError


def summary_of(root: Path, **settings: object) -> Summary:
    return summarize(BreedDataModule(root, batch_size=1, **settings))  # type: ignore[arg-type]


def test_summarize__counts_what_the_folders_hold(shared_folder: Path) -> None:
    summary = summary_of(shared_folder)
    for split in summary.splits:
        folder = shared_folder / {"val": "valid"}.get(split.name, split.name)
        files = [sorted((folder / name).iterdir()) for name in summary.class_names]
        sizes = [path.stat().st_size for paths in files for path in paths]
        assert split.counts == tuple(map(len, files))
        assert split.size_bytes == sum(sizes)
        assert split.bytes_a_picture == Range(min(sizes), float(np.median(sizes)), max(sizes))
        assert (split.formats, split.modes, split.unreadable) == ({"JPEG": len(sizes)}, {"RGB": len(sizes)}, 0)
    assert [split.name for split in summary.splits] == ["train", "val", "test"]
    assert not summary.missing


def test_summarize__measures_each_picture_once(folder: Path) -> None:
    breed = next((folder / "test").iterdir())
    Image.new("L", (SMALL_SIDE, SMALL_SIDE)).save(breed / "grey.png")
    Image.new("RGBA", (900, 300)).save(breed / "wide.webp")
    Image.new("P", (SMALL_SIDE - 1, 500)).save(breed / "high.gif")
    test = summary_of(folder).splits[2]
    paths = [path for path in (folder / "test").rglob("*.*") if path.is_file()]
    sizes = np.array([Image.open(path).size for path in paths])
    assert test.width == Range(sizes[:, 0].min(), np.median(sizes[:, 0]), 900)
    assert test.height == Range(sizes[:, 1].min(), np.median(sizes[:, 1]), 500)
    assert test.small == len(paths) - 2
    assert test.formats == {"JPEG": len(paths) - 3, "GIF": 1, "PNG": 1, "WEBP": 1}
    assert sum(test.modes.values()) == len(paths)


def test_summarize__takes_the_splits_as_training_does(folder: Path, tmp_path: Path) -> None:
    (folder / "valid").rename(folder / ".valid")
    some = sorted((folder / "train").rglob("*.jpg"))[::5]
    write_exclusions(tmp_path / "list.csv", [Exclusion(path.relative_to(folder).as_posix(), "seen") for path in some])
    settings = {"val_fraction": 0.25, "exclude": tmp_path / "list.csv"}
    datamodule = BreedDataModule(folder, batch_size=1, **settings)  # type: ignore[arg-type]
    summary = summary_of(folder, **settings)
    for split in summary.splits:
        assert split.counts == tuple(datamodule.split(split.name).counts(4))
    assert summary.splits[0].skipped == {"excluded": len(some)}


def test_summarize__shows_what_there_is_without_val_and_test(folder: Path) -> None:
    for name in ("valid", "test"):
        (folder / name).rename(folder / f".{name}")
    summary = summary_of(folder)
    assert [split.name for split in summary.splits] == ["train"]
    assert {name: "no " in reason for name, reason in summary.missing.items()} == {"val": True, "test": True}


def test_summarize__without_train_says_so(folder: Path) -> None:
    (folder / "train").rename(folder / ".train")
    with pytest.raises(DataError, match="no train/"):
        summary_of(folder)


def test_summarize__counts_what_has_no_header(folder: Path) -> None:
    breed = next((folder / "train").iterdir())
    (breed / "text.jpg").write_text("no picture")
    train = summary_of(folder).splits[0]
    assert (train.unreadable, train.pictures) == (1, 4 * 8 + 1)
    assert sum(train.formats.values()) == 4 * 8


def test_read_header__waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert read_header(str(tmp_path / "pipe.png")) is None


def test_read_header__says_the_same_as_the_decoder(shared_folder: Path) -> None:
    path = next(shared_folder.rglob("*.jpg"))
    header = read_header(str(path))
    with Image.open(path) as image:
        image.load()
        assert header == (image.format, image.mode, *image.size, path.stat().st_size)


@pytest.mark.parametrize("counts", [[3, 1, 5], [7, 7], [1, 0, 0, 999], [2, 9, 4, 4, 4]])
def test_evenness__is_the_entropy_over_its_largest(counts: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert evenness(counts) == pytest.approx(stats.entropy(counts, base=len(counts)))


def test_evenness__of_one_class_or_no_picture_is_none() -> None:
    assert evenness([5]) is evenness([]) is evenness([0, 0]) is None
