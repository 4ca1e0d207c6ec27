"""Copies planted among real photographs."""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.audit import COPIES, measure
from dogbreed.audit.duplicates import find_duplicates
from dogbreed.audit.looking import look_at, tints_of
from dogbreed.audit.walking import walk_splits
from dogbreed.data.folder import find_pictures

pytestmark = pytest.mark.slow


def test_duplicates__of_planted_copies_nearly_all_are_found(real_data: Path) -> None:
    photos = [Path(path) for path in find_pictures([str(real_data / "dogs120")])][::4]
    found = measure(photos, 200, 1, None)["audit"]
    assert all(found[kind] >= 0.95 for kind in COPIES), found
    assert found["others"] <= 0.01 * len(photos)  # photographs of one series, by eye


def test_duplicates__equal_files_are_all_found(real_data: Path, tmp_path: Path) -> None:
    for split, start in (("train", 0), ("test", 150)):
        for number, photo in enumerate(find_pictures([str(real_data / "dogs120" / "test")])):
            if start <= number < start + 200:
                place = tmp_path / split / Path(photo).parent.name / Path(photo).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(photo, place)
    looks, thumbnails = look_at(tmp_path, walk_splits(tmp_path).files, 0)
    pairs = find_duplicates([look.digest for look in looks], thumbnails, tints_of(looks))
    by_hash = defaultdict(list)
    for index, look in enumerate(looks):
        by_hash[hashlib.sha256((tmp_path / look.path).read_bytes()).hexdigest()].append(index)
    expected = [(same[0], other) for same in by_hash.values() for other in same[1:]]
    assert len(expected) >= 50
    assert [(pair.first, pair.second) for pair in pairs if pair.exact] == sorted(expected)
