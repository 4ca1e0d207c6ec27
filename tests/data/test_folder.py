"""What a data set directory holds is found, or skipped with a reason, or refused in words that name it."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from dogbreed.data.folder import (
    Skipped,
    Split,
    describe_skipped,
    find_split,
    list_class_names,
    require_split,
    scan_split,
    split_off,
)
from dogbreed.errors import DataError

NAMES = ("001.Breed_A", "002.Breed_B", "003.Breed_C", "004.Breed_D")


def add_picture(path) -> str:
    """A small real picture at `path`, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), 90, np.uint8)).save(path)
    return str(path)


# Splits


@pytest.mark.parametrize("name", ["valid", "val"])
def test_find_split__both_names_of_val(tmp_path, name):
    (tmp_path / name).mkdir()
    assert find_split(tmp_path, "val") == tmp_path / name


def test_find_split__both_at_once(tmp_path):
    (tmp_path / "valid").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match=r"both .*valid and .*val"):
        find_split(tmp_path, "val")


def test_find_split__file_of_that_name_is_none(tmp_path):
    (tmp_path / "test").write_text("")
    assert find_split(tmp_path, "test") is None


def test_find_split__missing_root(tmp_path):
    with pytest.raises(DataError, match="no data set at") as caught:
        find_split(tmp_path / "gone", "train")
    assert str(tmp_path / "gone") in caught.value.got
    assert "data.root=FOLDER" in caught.value.hint
    assert "experiment=quickstart" in caught.value.hint


def test_find_split__root_that_is_a_file(tmp_path):
    (tmp_path / "data.zip").write_text("")
    with pytest.raises(DataError, match="no data set at"):
        find_split(tmp_path / "data.zip", "train")


def test_require_split__without_train_lists_what_is_there(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations.csv").write_text("")
    (tmp_path / ".git").mkdir()
    with pytest.raises(DataError) as caught:
        require_split(tmp_path, "train")
    assert caught.value.got == f"no train/ in {tmp_path}, which holds annotations.csv, images"
    assert str(tmp_path / "train") in caught.value.hint


def test_require_split__of_an_empty_root(tmp_path):
    with pytest.raises(DataError, match="which holds nothing"):
        require_split(tmp_path, "train")


def test_require_split__long_listing_is_cut(tmp_path):
    for number in range(200):
        (tmp_path / f"n{number:08d}").mkdir()
    with pytest.raises(DataError) as caught:
        require_split(tmp_path, "train")
    assert caught.value.got.endswith("n00000003, n00000004, ...")


@pytest.mark.parametrize("split", ["val", "test"])
def test_require_split__missing_names_the_fraction(tmp_path, split):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError) as caught:
        require_split(tmp_path, split)
    assert f"data.{split}_fraction=0.1" in caught.value.hint


# Classes


def test_list_class_names__are_sorted_however_the_system_lists_them(tmp_path):
    names = ["b", "Z", "010.x", "9.x", "a_dog", "ängstlich", "a dog"]
    for name in names:
        (tmp_path / name).mkdir()
    assert list_class_names(tmp_path) == tuple(sorted(names))


def test_list_class_names__leaves_out_what_is_no_class(folder):
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "README.txt").write_text("")
    assert list_class_names(folder / "train") == NAMES


def test_list_class_names__of_one_class(tmp_path):
    (tmp_path / "only_one").mkdir()
    with pytest.raises(DataError, match=r"1 class in .*: only_one") as caught:
        list_class_names(tmp_path)
    assert caught.value.allowed == "at least two folders, one per class"


def test_list_class_names__of_none(tmp_path):
    with pytest.raises(DataError, match="0 classes in"):
        list_class_names(tmp_path)


# Scanning


def test_scan_split__finds_every_picture_with_its_class(shared_folder):
    split = scan_split("val", shared_folder / "valid", NAMES)
    expected = sorted(str(path) for path in shared_folder.glob("valid/*/*.jpg"))
    assert split.name == "val"
    assert split.paths == expected
    assert [NAMES[target] for target in split.targets] == [path.split(os.sep)[-2] for path in expected]
    assert split.skipped == []


def test_scan_split__order_does_not_depend_on_the_systems(tmp_path):
    made = [add_picture(tmp_path / name / f"{number}.png") for name in "zay" for number in (3, 1, 20)]
    assert scan_split("train", tmp_path, ("a", "y", "z")).paths == sorted(made)


def test_scan_split__skipped_files_are_listed_with_reasons(folder):
    train = folder / "train"
    before = scan_split("train", train, NAMES).paths
    (train / "stray.jpg").write_bytes(b"x")
    (train / ".DS_Store").write_bytes(b"x")
    (train / ".ipynb_checkpoints").mkdir()
    shutil.copy(before[0], train / ".ipynb_checkpoints" / "copy.jpg")
    (train / NAMES[0] / "Thumbs.db").write_bytes(b"x")
    (train / NAMES[0] / "empty.jpg").write_bytes(b"")
    (train / NAMES[0] / "._hidden.jpg").write_bytes(b"x")
    (train / NAMES[1] / ".ipynb_checkpoints").mkdir()
    shutil.copy(before[0], train / NAMES[1] / ".ipynb_checkpoints" / "copy.jpg")
    (train / NAMES[2] / "no_extension").write_bytes(b"x")
    split = scan_split("train", train, NAMES)
    assert split.paths == before
    assert {entry.split for entry in split.skipped} == {"train"}
    assert sorted((os.path.relpath(entry.path, train), entry.reason) for entry in split.skipped) == [
        (".DS_Store", "hidden"),
        (".ipynb_checkpoints", "hidden"),
        ("001.Breed_A/._hidden.jpg", "hidden"),
        ("001.Breed_A/Thumbs.db", "not a picture"),
        ("001.Breed_A/empty.jpg", "empty"),
        ("002.Breed_B/.ipynb_checkpoints", "hidden"),
        ("003.Breed_C/no_extension", "not a picture"),
        ("stray.jpg", "not in a class folder"),
    ]


def test_describe_skipped__counts_each_reason():
    skipped = [Skipped("train", name, reason) for name, reason in (("a", "empty"), ("b", "hidden"), ("c", "empty"))]
    assert describe_skipped(skipped) == "skipped: 2 empty, 1 hidden"


def test_describe_skipped__counts_unreadable_pictures_together():
    skipped = [Skipped("train", name, f"unreadable: {name} is cut: short") for name in "ab"]
    assert describe_skipped(skipped) == "skipped: 2 unreadable"


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_scan_split__missing_class_keeps_its_index(folder, gone):
    shutil.rmtree(folder / "valid" / NAMES[gone])
    split = scan_split("val", folder / "valid", NAMES)
    assert split.counts(4) == [0 if index == gone else 4 for index in range(4)]


def test_scan_split__class_without_pictures_keeps_its_index(folder):
    for path in (folder / "test" / NAMES[1]).iterdir():
        path.unlink()
    assert scan_split("test", folder / "test", NAMES).counts(4) == [4, 0, 4, 4]


def test_scan_split__unknown_class_is_named_with_the_nearest(folder):
    (folder / "valid" / NAMES[1]).rename(folder / "valid" / "002.Bread_B")
    with pytest.raises(DataError) as caught:
        scan_split("val", folder / "valid", NAMES)
    assert str(folder / "valid" / "002.Bread_B") in caught.value.got
    assert "none of the 4 classes (did you mean 002.Breed_B" in caught.value.got


def test_scan_split__unknown_class_unlike_any_other(folder):
    (folder / "valid" / "zebra").mkdir()
    with pytest.raises(DataError) as caught:
        scan_split("val", folder / "valid", NAMES)
    assert caught.value.got.endswith("zebra is none of the 4 classes")


def test_scan_split__no_picture_says_what_was_skipped(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "empty.jpg").touch()
    (tmp_path / "a" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=re.escape(f"no picture in {tmp_path} (skipped: 2 empty, 1 not a picture)")):
        scan_split("train", tmp_path, ("a", "b"))


def test_scan_split__empty_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        scan_split("train", tmp_path, ("a", "b"))
    assert caught.value.got == f"no picture in {tmp_path}"


def test_scan_split__nested_folders(tmp_path):
    made = [add_picture(tmp_path / "a" / part) for part in ("1.png", "deep/2.png", "deep/er/3.png")]
    assert sorted(scan_split("train", tmp_path, ("a", "b")).paths) == sorted(made)


@pytest.mark.parametrize("extension", [".JPG", ".Jpeg", ".PNG", ".TIF", ".WebP"])
def test_scan_split__upper_case_extensions(tmp_path, extension):
    path = add_picture(tmp_path / "a" / f"IMG_0001{extension}")
    assert scan_split("train", tmp_path, ("a", "b")).paths == [path]


@pytest.mark.parametrize("linked", ["a/link.png", "a/folder"])
def test_scan_split__links_inside_a_class_are_followed(tmp_path, linked):
    add_picture(tmp_path / "elsewhere" / "picture.png")
    (tmp_path / "train" / "a").mkdir(parents=True)
    target = "elsewhere" if linked == "a/folder" else "elsewhere/picture.png"
    (tmp_path / "train" / linked).symlink_to(tmp_path / target)
    split = scan_split("train", tmp_path / "train", ("a", "b"))
    assert [os.path.realpath(path) for path in split.paths] == [str(tmp_path / "elsewhere" / "picture.png")]


def test_scan_split__linked_class_folder(tmp_path):
    add_picture(tmp_path / "elsewhere" / "picture.png")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a").symlink_to(tmp_path / "elsewhere")
    assert scan_split("train", tmp_path / "train", ("a", "b")).paths == [str(tmp_path / "train/a/picture.png")]


def test_scan_split__dangling_link_is_left_to_the_decoder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "gone.png")
    assert scan_split("train", tmp_path, ("a", "b")).paths == [str(tmp_path / "a" / "link.png")]


def test_scan_split__folder_with_a_picture_extension_is_a_folder(tmp_path):
    path = add_picture(tmp_path / "a" / "album.jpg" / "1.png")
    assert scan_split("train", tmp_path, ("a", "b")).paths == [path]


def test_scan_split__agrees_with_torchvision(shared_folder):
    from torchvision.datasets import ImageFolder

    theirs = ImageFolder(str(shared_folder / "train"))
    ours = scan_split("train", shared_folder / "train", theirs.classes)
    assert list(zip(ours.paths, ours.targets, strict=True)) == theirs.samples


# Splitting off


def make_split(*counts: int, root: str = "/data/train") -> Split:
    """A split of so many pictures in each class; splitting it off reads names only."""
    members = [(f"{root}/{label:03d}/{n:05d}.jpg", label) for label, count in enumerate(counts) for n in range(count)]
    return Split("train", [path for path, _ in members], [target for _, target in members])


def pairs(split: Split) -> set[tuple[str, int]]:
    return set(zip(split.paths, split.targets, strict=True))


def test_split_off__parts_are_disjoint_and_whole():
    whole = make_split(30, 20, 7)
    rest, part = split_off(whole, "val", 0.2, seed=0)
    assert pairs(rest) | pairs(part) == pairs(whole)
    assert not set(rest.paths) & set(part.paths)
    assert (rest.name, part.name) == ("train", "val")


def test_split_off__keeps_the_order():
    whole = make_split(30, 20, 7)
    rest, part = split_off(whole, "val", 0.2, seed=0)
    assert rest.paths == sorted(rest.paths)
    assert part.paths == sorted(part.paths)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_split_off__takes_its_share_of_each_class(fraction):
    counts = (100, 40, 8)
    _, part = split_off(make_split(*counts), "val", fraction, seed=0)
    assert part.counts(3) == [pytest.approx(count * fraction, abs=0.5) for count in counts]


def test_split_off__takes_at_least_one_of_each_class():
    rest, part = split_off(make_split(2, 3, 4), "val", 0.01, seed=0)
    assert part.counts(3) == [1, 1, 1]
    assert rest.counts(3) == [1, 2, 3]


def test_split_off__is_the_same_again():
    assert split_off(make_split(50, 50), "val", 0.2, seed=3) == split_off(make_split(50, 50), "val", 0.2, seed=3)


def test_split_off__does_not_depend_on_where_the_data_are():
    here, there = (split_off(make_split(50, 50, root=root), "val", 0.2, seed=3)[1] for root in ("/a", "/b/c"))
    assert [path.removeprefix("/a") for path in here.paths] == [path.removeprefix("/b/c") for path in there.paths]


@pytest.mark.parametrize("other", [{"seed": 1, "name": "val"}, {"seed": 0, "name": "test"}])
def test_split_off__depends_on_seed_and_name(other):
    part = split_off(make_split(200), "val", 0.2, seed=0)[1]
    shared = set(part.paths) & set(split_off(make_split(200), other["name"], 0.2, other["seed"])[1].paths)
    assert len(shared) < 20  # of 40; by chance 8


def test_split_off__classes_do_not_lose_the_same_numbers():
    part = split_off(make_split(200, 200), "val", 0.2, seed=0)[1]
    numbers = [{path[-9:] for path, target in pairs(part) if target == label} for label in (0, 1)]
    assert len(numbers[0] & numbers[1]) < 20


def test_split_off__added_picture_moves_few_others():
    whole = make_split(60, 60, 60)
    before = set(split_off(whole, "val", 0.2, seed=0)[1].paths)
    for number in range(25):
        grown = Split("train", [*whole.paths, f"/data/train/001/new_{number}.jpg"], [*whole.targets, 1])
        after = set(split_off(grown, "val", 0.2, seed=0)[1].paths) - {f"/data/train/001/new_{number}.jpg"}
        assert len(before ^ after) <= 1


def test_split_off__fraction_of_the_whole():
    whole = make_split(100, 50)
    rest, _ = split_off(whole, "val", 0.2, seed=0)
    _, part = split_off(rest, "test", 0.2, seed=0, whole=len(whole))
    assert part.counts(2) == [20, 10]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_off__fraction_out_of_range(fraction):
    with pytest.raises(DataError, match=f"a val fraction of {fraction}") as caught:
        split_off(make_split(10), "val", fraction, seed=0)
    assert "data.val_fraction=0.1" in caught.value.hint


@pytest.mark.parametrize(("counts", "fraction"), [((10, 1), 0.1), ((10, 2), 0.9)])
def test_split_off__class_too_small(counts, fraction):
    with pytest.raises(DataError, match=f"{counts[1]} picture.* in /data/train/001, too few") as caught:
        split_off(make_split(*counts), "test", fraction, seed=0)
    assert f"data.test_fraction (now {fraction})" in caught.value.hint


def test_split_off__what_was_skipped_stays_with_the_source():
    whole = make_split(10)
    whole.skipped.append(Skipped("train", "/data/train/x.txt", "not a picture"))
    rest, part = split_off(whole, "val", 0.2, seed=0)
    assert (len(rest.skipped), len(part.skipped)) == (1, 0)


def test_split_off__file_names_that_are_no_utf8():
    paths = [os.fsdecode(f"/data/a/caf\xe9{number}.jpg".encode("latin-1")) for number in range(10)]
    rest, part = split_off(Split("train", paths, [0] * 10), "val", 0.2, seed=0)
    assert sorted(rest.paths + part.paths) == sorted(paths)
