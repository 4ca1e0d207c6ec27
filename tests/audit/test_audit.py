"""An audit finds what was planted and nothing else, and its list mends what a list can mend."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed.audit.audit import Audit, Limits, audit_folder
from dogbreed.audit.findings import KINDS, SEVERITIES
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.exclusions import read_exclusions, write_exclusions
from dogbreed.data.folder import SPLITS
from dogbreed.data.images import decode_image
from tests.audit.dirty_tree import Garden, Planted, make_clean_tree, make_dirty_tree, plant_files

LIMITS = Limits(min_side=64, max_megapixels=25, min_per_class=5, max_imbalance=5.0)


def audited(root: Path, **options: Any) -> Audit:
    return audit_folder(root, limits=LIMITS, workers=0, **options)


def found(audit: Audit) -> Counter[Planted]:
    return Counter(Planted(finding.kind, frozenset(finding.paths)) for finding in audit.findings)


def counts(data: BreedDataModule) -> dict[str, dict[str, int]]:
    """The pictures of each class, as training counts them."""
    return {
        name: dict(zip(data.class_names, data.split(name).counts(data.num_classes), strict=True)) for name in SPLITS
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Garden, Audit, Path]:
    """A data set with every fault of files, its audit, and the list that this makes; not to be changed."""
    garden = make_clean_tree(tmp_path_factory.mktemp("files") / "photos")
    plant_files(garden)
    audit, listed = audited(garden.root), garden.root.with_name("exclude.csv")
    write_exclusions(listed, audit.exclusions)
    return garden, audit, listed


def test_audit_folder__finds_nothing_in_a_clean_tree(tmp_path):
    audit = audited(make_clean_tree(tmp_path / "photos").root)
    assert (audit.findings, audit.pairs, audit.exclusions) == ([], [], [])
    assert audit.before == audit.after == counts(BreedDataModule(tmp_path / "photos", batch_size=1))


@pytest.mark.parametrize("seed", [0, 1])
def test_audit_folder__finds_what_was_planted_and_nothing_else(tmp_path, seed):
    planted = make_dirty_tree(tmp_path / "photos", seed)
    audit = audited(tmp_path / "photos")
    assert found(audit) == Counter(planted)
    of_their_own = {"one_class"} | ({"closed"} if os.geteuid() == 0 else set())  # see test_structure, test_walking
    assert set(KINDS) - {kind for kind, _ in planted} == of_their_own
    ranks = [SEVERITIES.index(KINDS[finding.kind].severity) for finding in audit.findings]
    assert ranks == sorted(ranks)


def test_audit_folder__is_the_same_again(files):
    garden, audit, _ = files
    assert audited(garden.root) == audit


def test_audit_folder__without_its_exclusions_everything_can_be_read(files):
    garden, audit, listed = files
    data = BreedDataModule(garden.root, batch_size=1, exclude=listed)
    assert counts(data) == audit.after != audit.before
    for name in SPLITS:
        for path in data.split(name).paths:
            assert decode_image(path).shape[0] == 3


def test_audit_folder__does_not_judge_what_is_excluded(files):
    garden, audit, listed = files
    again = audited(garden.root, exclude=listed)
    excluded = read_exclusions(listed, garden.root)
    assert not [finding for finding in again.findings if excluded.keys() & set(finding.paths)]
    assert not [finding for finding in again.findings if KINDS[finding.kind].excludes]
    assert again.exclusions == audit.exclusions  # the list stays whole, so that it can be written over itself
    assert again.before == again.after == audit.after


def test_audit_folder__splits_off_what_training_would(tmp_path):
    garden = make_clean_tree(tmp_path / "photos")
    for name in ("valid", "test"):
        (garden.root / name).rename(tmp_path / name)
    garden.write("train/001.Akita/copy.jpg", (garden.root / "train/001.Akita/00000.jpg").read_bytes())
    garden.link("train/002.Beagle/gone.jpg", "nowhere")
    garden.write("train/002.Beagle/damaged.jpg", b"no picture")
    options: dict[str, Any] = {"val_fraction": 0.25, "test_fraction": 0.2, "seed": 3}
    audit = audited(garden.root, **options)
    data = BreedDataModule(garden.root, batch_size=1, **options)
    for name in SPLITS:
        paths = [str(garden.root / look.path) for look in audit.looks if look.split == name]
        assert sorted(paths) == sorted(data.split(name).paths)
    write_exclusions(tmp_path / "exclude.csv", audit.exclusions)
    assert audit.after == counts(
        BreedDataModule(garden.root, batch_size=1, exclude=tmp_path / "exclude.csv", **options)
    )


def test_audit_folder__share_that_cannot_be_taken(tmp_path):
    garden = Garden(tmp_path / "photos")
    for name in ("A", "B"):
        for number in range(9):
            garden.add(f"train/{name}/{number}.jpg")
            garden.add(f"test/{name}/{number}.jpg")
    garden.add("train/C/only.jpg")
    garden.add("test/C/only.jpg")
    audit = audited(garden.root, val_fraction=0.5)
    told = next(finding for finding in audit.findings if finding.kind == "missing_split")
    assert told.paths == ("valid",)
    assert "too few to split off val" in told.detail


def test_audit_folder__tree_without_a_single_picture(tmp_path):
    (tmp_path / "photos/train/A").mkdir(parents=True)
    Garden(tmp_path / "photos").write("train/B/0.jpg", b"no picture")
    audit = audited(tmp_path / "photos")
    assert audit.class_names == ("A", "B")
    assert {"missing_class", "missing_split", "unreadable"} == {finding.kind for finding in audit.findings}


def test_audit_folder__asks_for_features_of_what_can_be_read(files):
    garden, audit, _ = files
    asked: list[str] = []

    def features(digests):
        asked.extend(digests)
        return np.full((len(digests), 4), np.nan, np.float32), "a backbone"

    again = audited(garden.root, features=features)
    assert asked == [look.digest for look in audit.looks if look.problem is None]
    assert (again.features, again.findings) == ("a backbone", audit.findings)
