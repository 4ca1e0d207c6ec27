"""Splits and classes that lack something, and where the limits are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dogbreed.audit.findings import Finding
from dogbreed.audit.looking import Look
from dogbreed.audit.structure import Limits, judge_folders, judge_pictures
from dogbreed.audit.walking import Tree

LIMITS = Limits(min_side=64, max_megapixels=25, min_per_class=5, max_imbalance=5.0)
PLAIN = Look("train/A/0.jpg", "train", "A", 9000, "00", "JPEG", "RGB", 160, 120, 1, 1, 50.0, b"", None, "")
COUNTS = {"train": {"A": 9, "B": 9}, "val": {"A": 3, "B": 3}, "test": {"A": 3, "B": 3}}


def tree(**classes: list[str]) -> Tree:
    """Folders of two classes, but for those named."""
    folders = {"train": ["A", "B"], "valid": ["A", "B"], "test": ["A", "B"]} | classes
    return Tree(Path(), {"train": ["train"], "val": ["valid"], "test": ["test"]}, folders)


def judged(folders: Tree, counts: dict[str, dict[str, int]], names: tuple[str, ...] = ("A", "B")) -> list[Finding]:
    return judge_folders(folders, names, counts, LIMITS)


def changed(**values: object) -> list[str]:
    look = replace(PLAIN, **values)  # type: ignore[arg-type]
    return [finding.kind for finding in judge_pictures([look], LIMITS)]


def test_judge_folders__whole_data_set():
    assert judged(tree(), COUNTS) == []


@pytest.mark.parametrize(
    ("smallest", "largest", "kinds"),
    [(5, 25, []), (5, 26, ["imbalance"]), (4, 20, ["few_pictures"]), (0, 9, ["missing_class"])],
)
def test_judge_folders__sizes_at_their_limits(smallest, largest, kinds):
    found = judged(tree(), COUNTS | {"train": {"A": smallest, "B": largest}})
    assert [finding.kind for finding in found] == kinds


def test_judge_folders__fewer_than_two_classes():
    found = judged(tree(train=["A"], valid=["A"], test=["A"]), {name: {"A": 9} for name in COUNTS}, ("A",))
    assert [(finding.kind, finding.paths) for finding in found] == [("one_class", ("train",))]


def test_judge_folders__split_that_comes_out_of_train():
    folders = tree()
    del folders.folders["val"], folders.classes["valid"]
    assert judged(folders, COUNTS) == []
    found = judged(folders, {name: COUNTS[name] for name in ("train", "test")})
    assert [(finding.kind, finding.paths) for finding in found] == [("missing_split", ("valid",))]
    assert "data.val_fraction=0.1" in found[0].detail


def test_judge_folders__unknown_class_says_what_was_meant():
    found = judged(tree(valid=["A", "B", "Beagel"], train=["A", "B", "Beagle"]), COUNTS, ("A", "B", "Beagle"))
    assert found[0] == Finding("unknown_class", ("valid/Beagel",), "not in train (did you mean Beagle?)")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("001.Saint_Bernard", "002.saint bernard", True),
        ("n02085620-Chihuahua", "n02085620_chihuahua", True),
        ("Straße", "STRASSE", True),
        ("class 1", "class 2", False),
        ("1", "2", False),
        ("1.5", "2.5", False),
        ("कि", "की", False),
        ("犬", "猫", False),
        ("!", "?", False),
    ],
)
def test_judge_folders__similar_names(one, other, alike):
    names = (one, other)
    counts = {split: dict.fromkeys(names, 9) for split in COUNTS}
    found = judged(tree(train=[*names], valid=[*names], test=[*names]), counts, names)
    assert found == (
        [Finding("similar_names", (f"train/{one}", f"train/{other}"), f"{one} and {other}")] if alike else []
    )


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({}, []),
        ({"mode": "L"}, []),
        ({"width": 64, "height": 64}, []),
        ({"width": 63}, ["tiny"]),
        ({"width": 5000, "height": 5000}, []),
        ({"width": 5001, "height": 5000}, ["huge"]),
        ({"path": "train/A/0.JPEG"}, []),
        ({"path": "train/A/0.png"}, ["wrong_extension"]),
        ({"mode": "CMYK", "orientation": 6}, ["odd_mode", "turned"]),
        ({"frames": 2}, ["animated"]),
        ({"deviation": 1.9}, ["blank"]),
        ({"deviation": 2.0}, []),
        ({"problem": "truncated", "reason": "cut", "deviation": 0.0, "width": 0, "format": ""}, ["truncated"]),
    ],
)
def test_judge_pictures__limits(values, kinds):
    assert changed(**values) == kinds
