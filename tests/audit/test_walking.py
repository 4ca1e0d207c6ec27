"""A walk tells what training reads, and whatever else is there, and nothing that is there stops it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dogbreed.audit.findings import Finding
from dogbreed.audit.walking import walk_classes, walk_splits
from dogbreed.data.folder import find_split, list_class_names, scan_split
from dogbreed.errors import DataError
from tests.audit.dirty_tree import Garden, make_clean_tree, plant_files


@pytest.fixture
def garden(tmp_path: Path) -> Garden:
    """A small data set of two classes, to plant things in."""
    garden = Garden(tmp_path / "photos")
    for folder in ("train", "valid", "test"):
        for name in ("A", "B"):
            garden.add(f"{folder}/{name}/0.jpg")
    return garden


def kinds(found: list[Finding]) -> set[tuple[str, tuple[str, ...]]]:
    return {(finding.kind, finding.paths) for finding in found}


def check_against_training(root: Path) -> None:
    """What the walk says is read is what `scan_split` reads; for what `scan_split` skips there is a finding."""
    tree = walk_splits(root)
    class_names = list_class_names(root / "train")
    named = {path for finding in tree.findings for path in finding.paths}
    for name in ("train", "val", "test"):
        folder = find_split(root, name)
        assert folder is not None
        split = scan_split(name, folder, class_names)
        files = [file for file in tree.files if file.split == name]
        assert [str(root / file.path) for file in files] == split.paths
        assert [file.class_name for file in files] == [class_names[target] for target in split.targets] or any(
            os.path.islink(file) for file in split.paths
        )
        assert {os.path.relpath(entry.path, root) for entry in split.skipped} <= named


def test_walk_splits__reads_what_training_reads(tmp_path):
    garden = make_clean_tree(tmp_path / "photos")
    check_against_training(garden.root)
    plant_files(garden)
    check_against_training(garden.root)


@pytest.mark.parametrize("seed", range(8))
def test_walk_splits__reads_what_training_reads_in_odd_trees(garden, seed):
    rng = np.random.default_rng(seed)
    names = ("a.jpg", "B.PNG", "c", ".d.jpg", "e.txt", "f.jpg.bak", ".g", "h.gif", "i j.webp", "k.JPEG", "Thumbs.db")
    folders = ("A", "B", "A/.hidden", "B/deep", "B/deep/deeper.jpg", "A/ spaced ", "B/.x/y", "")
    for _ in range(40):
        folder, name = rng.choice(folders), rng.choice(names)
        path = f"{rng.choice(['train', 'valid', 'test'])}/{folder}/{name}".replace("//", "/")
        if not os.path.lexists(garden.root / path):
            garden.write(path, rng.bytes(int(rng.integers(0, 3)) * 100))
    check_against_training(garden.root)


def test_walk_splits__ends_where_links_go_round(garden):
    garden.link("train/A/up", "..")
    garden.link("train/A/round", "../B")
    garden.link("train/B/about", "../A")
    garden.link("train/B/here", ".")
    found = walk_splits(garden.root)
    loops = {paths[0] for kind, paths in kinds(found.findings) if kind == "link_loop"}
    assert loops == {"train/A/up", "train/B/here", "train/A/round/about", "train/A/round/here", "train/B/about/up"} | {
        "train/B/about/round"
    }
    check_against_training(garden.root)


def test_walk_splits__class_that_is_a_link_to_itself(garden):
    garden.link("train/C", "C")
    assert kinds(walk_splits(garden.root).findings) == {("broken_link", ("train/C",))}
    check_against_training(garden.root)


def test_walk_splits__waits_for_no_pipe(garden):
    os.mkfifo(garden.place("train/A/pipe"))
    os.mkfifo(garden.place("train/pipe.jfif"))
    found = kinds(walk_splits(garden.root).findings)
    assert found == {("not_a_picture", ("train/A/pipe",)), ("not_a_picture", ("train/pipe.jfif",))}


def test_walk_splits__links_inside_the_data_set_are_fine(garden, tmp_path):
    garden.link("train/A/same.jpg", "../B/0.jpg")
    (tmp_path / "other name").symlink_to(garden.root)
    for root in (garden.root, tmp_path / "other name"):
        assert walk_splits(root).findings == []


def test_walk_splits__split_that_is_a_link(garden, tmp_path):
    (garden.root / "test").rename(tmp_path / "elsewhere")
    garden.link("test", tmp_path / "elsewhere")
    found = walk_splits(garden.root)
    assert kinds(found.findings) == {("outside_link", ("test",))}
    assert [file.path for file in found.files if file.split == "test"] == ["test/A/0.jpg", "test/B/0.jpg"]


def test_walk_splits__passes_over_what_is_excluded(garden):
    garden.write("train/A/notes.txt", b"words")
    garden.write("train/lost.jpg", b"words")
    tree = walk_splits(garden.root, {"train/A/0.jpg", "train/A/notes.txt", "train/lost.jpg"})
    assert tree.findings == []
    assert "train/A/0.jpg" not in {file.path for file in tree.files}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
@pytest.mark.parametrize("place", ["train/A/closed", "train/closed", "test"])
def test_walk_splits__closed_folder(garden, place):
    (garden.root / place).mkdir(exist_ok=True)
    (garden.root / place).chmod(0)
    try:
        assert kinds(walk_splits(garden.root).findings) == {("closed", (place,))}
    finally:
        (garden.root / place).chmod(0o700)


def test_walk_splits__of_no_folder(tmp_path):
    with pytest.raises(DataError, match="no data set at"):
        walk_splits(tmp_path / "gone")


def test_walk_splits__of_class_folders_alone(tmp_path):
    Garden(tmp_path).add("A/0.jpg")
    with pytest.raises(DataError, match="which holds A") as caught:
        walk_splits(tmp_path)
    assert f"python -m dogbreed.data split {tmp_path}" in caught.value.hint


def test_walk_splits__of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"no train/.*which holds notes\.txt") as caught:
        walk_splits(tmp_path)
    assert caught.value.hint == "check data.root"


def test_walk_classes__of_a_folder_without_splits(garden):
    garden.write("train/A/notes.txt", b"words")
    garden.write("train/.DS_Store", b"words")
    tree = walk_classes(garden.root / "train")
    assert [(file.path, file.split, file.class_name) for file in tree.files] == [
        ("A/0.jpg", "", "A"),
        ("B/0.jpg", "", "B"),
    ]
    assert kinds(tree.findings) == {("not_a_picture", ("A/notes.txt",)), ("hidden", (".DS_Store",))}
