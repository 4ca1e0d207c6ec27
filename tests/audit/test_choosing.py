from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dogbreed.audit.choosing import choose_exclusions, groups_of, kind_of
from dogbreed.audit.duplicates import Pair
from dogbreed.audit.findings import KINDS, Finding
from dogbreed.audit.looking import Look


def look(path: str, side: int = 100) -> Look:
    """At a picture of split/class/file."""
    split, class_name, _ = path.split("/")
    return Look(path, split, class_name, 1000, path, "JPEG", "RGB", side, side, 1, 1, 50.0, b"", None, "")


def pair(first: int, second: int, exact: bool = False) -> Pair:
    return Pair(first, second, exact, 1.0 if exact else 0.9, False, None)


def excluded(looks: list[Look], pairs: list[Pair], findings: list[Finding] | None = None) -> list[str]:
    return [entry.path for entry in choose_exclusions(looks, pairs, findings or [])]


@pytest.mark.parametrize(
    ("second", "exact", "kind"),
    [
        ("train/A/2.jpg", True, "duplicate"),
        ("test/A/2.jpg", True, "duplicate_leak"),
        ("test/B/2.jpg", True, "duplicate_leak"),
        ("train/B/2.jpg", True, "duplicate_label"),
        ("train/A/2.jpg", False, "near_duplicate"),
        ("val/A/2.jpg", False, "near_leak"),
        ("train/B/2.jpg", False, "near_label"),
    ],
)
def test_kind_of__leaks_before_labels(second: str, exact: bool, kind: str) -> None:
    assert kind_of(pair(0, 1, exact), [look("train/A/1.jpg"), look(second)]) == kind
    assert KINDS[kind].excludes


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [("train/A/1.jpg", "val/A/1.jpg"), ("val/A/1.jpg", "test/A/1.jpg"), ("train/A/1.jpg", "test/B/1.jpg")],
)
def test_exclusions__of_two_splits_the_earlier_goes(one: str, other: str, exact: bool) -> None:
    assert excluded([look(one), look(other)], [pair(0, 1, exact)]) == [one]
    assert excluded([look(other), look(one)], [pair(0, 1, exact)]) == [one]


def test_exclusions__of_a_class_the_largest_stays_then_the_first() -> None:
    looks = [look("train/A/1.jpg", 50), look("train/A/2.jpg", 90), look("train/A/3.jpg", 90)]
    assert excluded(looks, [pair(0, 1), pair(1, 2), pair(0, 2)]) == ["train/A/1.jpg", "train/A/3.jpg"]


def test_exclusions__of_a_chain_the_ends_stay() -> None:
    looks = [look("train/A/1.jpg"), look("train/A/2.jpg", 90), look("train/A/3.jpg")]
    assert excluded(looks, [pair(0, 1), pair(1, 2)]) == ["train/A/2.jpg"]


def test_exclusions__of_a_photograph_in_two_classes_all_copies_go() -> None:
    names = ["train/A/1.jpg", "train/B/1.jpg", "test/A/2.jpg", "train/A/3.jpg", "train/A/4.jpg"]
    looks = [look(name) for name in names]
    # The copy in test is equal to the first one; the last one is only like it.
    assert excluded(looks, [pair(0, 1), pair(0, 2, True), pair(0, 4)]) == sorted(names[:3])
    assert excluded(looks, [pair(0, 1, True), pair(0, 2, True)]) == sorted(names[:3])


def test_exclusions__near_one_of_equal_files_is_near_all_of_them() -> None:
    looks = [look("train/A/1.jpg"), look("test/A/1.jpg"), look("val/A/2.jpg")]
    # Only the first of equal files is compared; the equal file in test stays, so both others go.
    assert excluded(looks, [pair(0, 1, True), pair(0, 2)]) == ["train/A/1.jpg", "val/A/2.jpg"]


def test_exclusions__a_faulty_file_goes_and_its_copy_stays() -> None:
    looks = [look("test/A/1.jpg"), look("train/A/1.jpg"), look("train/A/2.jpg")]
    findings = [
        Finding("blank", ("test/A/1.jpg",), ""),
        Finding("near_leak", ("test/A/1.jpg", "train/A/1.jpg"), ""),
        Finding("tiny", ("train/A/2.jpg",), ""),
    ]
    (entry,) = choose_exclusions(looks, [pair(0, 1)], findings)
    assert entry.path == "test/A/1.jpg"
    assert entry.reason == KINDS["blank"].meaning


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_exclusions__of_what_stays_no_two_are_one_and_nothing_goes_in_vain(data: st.DataObject) -> None:
    places = data.draw(
        st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), st.sampled_from("AB")), max_size=9)
    )
    looks = [look(f"{split}/{name}/{number}.jpg") for number, (split, name) in enumerate(places)]
    ties = list(itertools.combinations(range(len(looks)), 2))
    pairs = [pair(*tie) for tie in data.draw(st.lists(st.sampled_from(ties), unique=True))] if ties else []
    gone = set(excluded(looks, pairs))
    joined = [{looks[one.first].path, looks[one.second].path} for one in pairs]
    assert not [tie for tie in joined if not tie & gone]
    assert gone <= set().union(*joined)
    for one in pairs:  # of two classes in a split nobody knows which is right
        if kind_of(one, looks) == "near_label":
            assert {looks[one.first].path, looks[one.second].path} <= gone


def test_groups__are_what_hangs_together() -> None:
    looks = [look(f"train/A/{number}.jpg") for number in range(8)]
    pairs = [pair(4, 5), pair(0, 1), pair(6, 7), pair(1, 6), pair(0, 1, True), pair(5, 4)]
    groups = [sorted(path[-5] for path in group) for group in groups_of(pairs, looks)]
    assert groups == [["0", "1", "6", "7"], ["4", "5"]]
    assert groups_of([], looks) == []
