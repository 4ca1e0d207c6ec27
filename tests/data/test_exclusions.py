"""Lists of files to leave out: written, read, and honoured by the data module; other files are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.exclusions import Exclusion, place_of, read_exclusions, write_exclusions
from dogbreed.errors import ConfigError, DataError
from tests.conftest import Command


def pictures(root: Path, split: str = "train") -> list[str]:
    return BreedDataModule(root, batch_size=4).split(split).paths


def exclude(root: Path, *paths: str) -> Path:
    file = root.parent / "exclude.csv"
    write_exclusions(file, [Exclusion(place_of(path, root), "not wanted") for path in paths])
    return file


@pytest.mark.parametrize(
    "name", ["a.jpg", 'with ", and\nnewline.jpg', os.fsdecode(b"\xff.jpg"), "é \u2028.jpg", "=1+1.jpg"]
)
def test_exclusions__are_read_as_they_were_written(folder: Path, name: str) -> None:
    path = folder / "train/001.Breed_A" / name
    path.write_bytes(Path(pictures(folder)[0]).read_bytes())
    assert read_exclusions(exclude(folder, str(path)), folder) == {f"train/001.Breed_A/{name}": "not wanted"}


def test_exclusions__leave_the_rest_as_it_was(folder: Path) -> None:
    before = pictures(folder)
    gone = [before[0], before[9]]
    datamodule = BreedDataModule(folder, batch_size=4, exclude=exclude(folder, *gone))
    assert datamodule.split("train").paths == [path for path in before if path not in gone]
    assert [(entry.path, entry.reason) for entry in datamodule.skipped] == [
        (path, "excluded: not wanted") for path in sorted(gone)
    ]
    assert datamodule.split("val").paths == pictures(folder, "val")


def test_exclusions__come_before_what_is_split_off(folder: Path) -> None:
    os.rename(folder / "valid", folder.parent / "elsewhere")
    gone = BreedDataModule(folder, batch_size=4, val_fraction=0.25).split("val").paths
    datamodule = BreedDataModule(folder, batch_size=4, val_fraction=0.25, exclude=exclude(folder, *gone))
    both = {*datamodule.split("train").paths, *datamodule.split("val").paths}
    assert not both & set(gone)
    assert len(both) == 4 * 8 - len(gone)
    assert len(datamodule.split("val")) == 4 * round(0.25 * 6)


def test_exclusions__go_where_the_data_goes(folder: Path, tmp_path: Path) -> None:
    file = exclude(folder, pictures(folder)[0])
    moved = folder.rename(tmp_path / "moved")
    assert len(BreedDataModule(moved, batch_size=4, exclude=str(file)).split("train")) == 31


def test_exclusions__of_another_data_set_are_refused(folder: Path) -> None:
    file = folder.parent / "exclude.csv"
    write_exclusions(file, [Exclusion("train/009.Zebra/a.jpg", "no dog")])
    with pytest.raises(DataError, match=r"none of its 1 files is in .* train/009\.Zebra/a\.jpg"):
        BreedDataModule(folder, batch_size=4, exclude=file).setup("fit")


@pytest.mark.parametrize("path", ["../photos/train", "/etc/hostname", "train/\0"])
def test_exclusions__do_not_look_elsewhere(folder: Path, path: str) -> None:
    file = folder.parent / "exclude.csv"
    write_exclusions(file, [Exclusion(path, "elsewhere")])
    with pytest.raises((DataError, ConfigError), match=r"exclude\.csv: (none of its|line contains NUL)"):
        read_exclusions(file, folder)


def test_exclusions__of_everything_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="lists all 16 pictures of val"):
        BreedDataModule(folder, batch_size=4, exclude=exclude(folder, *pictures(folder, "val"))).split("val")


@pytest.mark.parametrize(
    "content", [b"", b"path\na.jpg\n", b"path,reason\na.jpg\n", b"\xff\xd8\xff\xe0", b'path,reason\n"a']
)
def test_exclusions__that_are_no_list_are_refused(folder: Path, content: bytes) -> None:
    file = folder.parent / "exclude.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"exclude\.csv"):
        read_exclusions(file, folder)


@pytest.mark.parametrize("file", ["nowhere.csv", ".", "/dev/zero", "a\0b"])
def test_exclusions__that_are_no_file_are_refused(folder: Path, file: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.exclude"):
        read_exclusions(folder / file, folder)


def test_exclusions__may_have_empty_lines(folder: Path) -> None:
    file, first = folder.parent / "list.csv", place_of(pictures(folder)[0], folder)
    file.write_text(f"path,reason\n\n{first},blurred\n\n")
    assert read_exclusions(file, folder) == {first: "blurred"}


def test_exclusions__of_nothing_change_nothing(folder: Path) -> None:
    datamodule = BreedDataModule(folder, batch_size=4, exclude=exclude(folder))
    assert (datamodule.split("train").paths, datamodule.skipped) == (pictures(folder), [])


def test_exclusions__are_a_setting_of_a_run(
    folder: Path, small_run: list[str], command: Command, tmp_path: Path
) -> None:
    import dogbreed.train

    list_ = exclude(folder, *pictures(folder)[:3])
    run = [*small_run, f"data.root={folder}", f"data.exclude={list_}", "trainer.max_epochs=1"]
    ended = command(dogbreed.train.main, *run, f"hydra.run.dir={tmp_path / 'run'}")
    assert ended.code == 0
    assert "train 29, val 16, test 16 pictures" in ended.out
    assert "skipped: 3 excluded" in ended.out
    assert (tmp_path / "run/skipped.csv").read_text().count("excluded: not wanted") == 3
