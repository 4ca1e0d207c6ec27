from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dogbreed.data.folder import SPLITS, list_class_names, require_split, scan_split
from dogbreed.data.splitting import split_folder
from dogbreed.data.stratifying import stratify
from dogbreed.errors import ConfigError, DataError, OutputError
from tests.conftest import draw_folder

SHARES = {"val": 0.1, "test": 0.2}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four classes of ten pictures."""
    return Path(shutil.move(draw_folder(tmp_path / "drawn", train=10) / "train", tmp_path / "source"))


def unwanted() -> list[set[str]]:
    """Looks at pictures for minutes where it could be known that nothing comes of it."""
    pytest.fail("looked before it checked")


def split(source: Path, root: Path, **changes: Any) -> tuple[dict[str, Counter[str]], list[str]]:
    lines: list[str] = []
    chosen = {"val_fraction": 0.1, "test_fraction": 0.2, "seed": 0, "files": "copy", **changes}
    return split_folder(source, root, **chosen, say=lines.append), lines


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def of_split(root: Path) -> dict[str, str]:
    """The split of each picture, as training reads them."""
    names = list_class_names(root / "train")
    found = {name: scan_split(name, require_split(root, name), names).paths for name in SPLITS}
    return {"/".join(Path(path).parts[-2:]): name for name, paths in found.items() for path in paths}


pictures = st.dictionaries(st.integers(0, 999).map(str), st.sampled_from("ABC"), min_size=1, max_size=60)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[dict[str, str], list[set[str]]]:
    class_of = draw(pictures)
    groups: dict[int, set[str]] = {}
    for path in class_of:
        groups.setdefault(draw(st.integers(0, 15)), set()).add(path)
    return class_of, [group for number, group in groups.items() if number < 10]


@settings(deadline=None, max_examples=50)
@given(grouped(), st.integers(0, 3))
def test_stratify__places_every_picture_and_cuts_no_group(
    drawn: tuple[dict[str, str], list[set[str]]], seed: int
) -> None:
    class_of, groups = drawn
    split_of = stratify(class_of, groups, SHARES, seed)
    assert split_of.keys() == class_of.keys()
    assert all(len({split_of[path] for path in group}) == 1 for group in groups)
    assert split_of == stratify(dict(reversed(class_of.items())), groups[::-1], SHARES, seed)


@settings(deadline=None, max_examples=50)
@given(grouped(), st.integers(0, 3))
def test_stratify__keeps_a_class_within_a_group_of_its_shares(
    drawn: tuple[dict[str, str], list[set[str]]], seed: int
) -> None:
    class_of = dict.fromkeys(drawn[0], "A")
    largest = max([1, *(len(group) for group in drawn[1])])
    counts = Counter(stratify(class_of, drawn[1], SHARES, seed).values())
    alone = Counter(stratify(class_of, [], SHARES, seed).values())
    assert all(abs(counts[name] - alone[name]) <= largest for name in SPLITS)
    if len(class_of) >= 5:
        assert all(abs(alone[name] - share * len(class_of)) <= 1 for name, share in SHARES.items())


@settings(deadline=None, max_examples=50)
@given(pictures, st.integers(0, 3))
def test_stratify__a_picture_more_moves_few_others(class_of: dict[str, str], seed: int) -> None:
    before = stratify(class_of, [], SHARES, seed)
    after = stratify({**class_of, "new": "A"}, [], SHARES, seed)
    assert sum(before[path] != after[path] for path in before) <= 6
    assert all(before[path] == after[path] for path in before if class_of[path] != "A")


def test_stratify__needs_a_picture_for_every_split() -> None:
    for count, expected in ((1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1])):
        counts = Counter(stratify({str(n): "A" for n in range(count)}, [], SHARES, 0).values())
        assert [counts[name] for name in SPLITS] == expected
    assert set(stratify({str(n): "A" for n in range(9)}, [], {"val": 0.1, "test": 0}, 0).values()) == {"train", "val"}


def test_split__holds_all_pictures_once_in_their_classes(source: Path, tmp_path: Path) -> None:
    before = files_of(source)
    counts, lines = split(source, tmp_path / "new")
    assert {name: set(found.values()) for name, found in counts.items()} == {"train": {7}, "val": {1}, "test": {2}}
    assert of_split(tmp_path / "new").keys() == before.keys()
    placed = {"/".join(Path(path).parts[1:]): content for path, content in files_of(tmp_path / "new").items()}
    assert {path: placed[path] for path in before} == before
    assert files_of(source) == before
    assert lines[-1] == f"next: python -m dogbreed.data audit {tmp_path / 'new'}"
    assert sorted(os.listdir(tmp_path)) == ["drawn", "new", "source"]


def test_split__keeps_groups_together_across_classes(source: Path, tmp_path: Path) -> None:
    paths = sorted(files_of(source))
    groups = [{paths[0], paths[1]}, {paths[2], paths[12]}, {paths[20], paths[30], paths[31]}]
    _, lines = split(source, tmp_path / "new", find_groups=lambda: groups)
    found = of_split(tmp_path / "new")
    assert all(len({found[path] for path in group}) == 1 for group in groups)
    assert "3 groups of 7 pictures" in lines[-2]


def test_split__links_take_no_room(source: Path, tmp_path: Path) -> None:
    (source / "link.jpg").symlink_to(next(source.glob("*/*.jpg")))
    (source / "link.jpg").rename(next(source.iterdir()) / "link.jpg")
    split(source, tmp_path / "new", files="link")
    placed = [path for path in (tmp_path / "new").rglob("*.jpg")]
    assert len(placed) == 41
    assert all(path.stat().st_nlink >= 2 and not path.is_symlink() for path in placed)


def test_split__again_is_there_already_and_another_is_refused(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "new"
    split(source, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert "there already" in split(source, root)[1][0]
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(DataError, match="seed=0"):
        split(source, root, seed=1, find_groups=unwanted)
    next(source.rglob("*.jpg")).unlink()
    with pytest.raises(DataError, match="other files"):
        split(source, root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="no split"):
        split(source, tmp_path / "full", find_groups=unwanted)
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_split__leaves_junk_out_and_takes_damaged_pictures_along(source: Path, tmp_path: Path) -> None:
    folder = next(source.iterdir())
    for name in (".DS_Store", "notes.txt", "damaged.jpg"):
        (folder / name).write_text("x")
    (folder / "empty.jpg").touch()
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "deep").mkdir()
    shutil.copy(next(folder.glob("Breed*.jpg")), folder / "deep" / "x.jpg")
    _, lines = split(source, tmp_path / "new")
    assert lines[0] == "skipped: 1 empty, 1 hidden, 1 not a picture"
    assert "1 that cannot be opened" in lines[1]
    assert len([path for path in files_of(tmp_path / "new") if path.endswith(("damaged.jpg", "deep/x.jpg"))]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"val_fraction": 1.5},
        {"val_fraction": "0.1"},
        {"val_fraction": True},
        {"val_fraction": float("nan")},
        {"val_fraction": 0, "test_fraction": 0},
        {"val_fraction": 0.5, "test_fraction": 0.5},
        {"files": "move"},
    ],
)
def test_split__settings_that_cannot_work(source: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        split(source, tmp_path / "new", find_groups=unwanted, **changes)


def test_split__a_picture_that_goes_away_meanwhile(source: Path, tmp_path: Path) -> None:
    def find_groups() -> list[set[str]]:
        next(source.rglob("*.jpg")).unlink()
        return []

    with pytest.raises(DataError, match="cannot be read"):
        split(source, tmp_path / "new", find_groups=find_groups)
    assert not (tmp_path / "new").exists()


def test_split__folders_that_cannot_work(source: Path, tmp_path: Path) -> None:
    for root in (source, source / "new", tmp_path):
        with pytest.raises(ConfigError, match="inside"):
            split(source, root)
    with pytest.raises(DataError, match="split already"):
        split(tmp_path / "drawn", tmp_path / "new")
    with pytest.raises(DataError, match="no folder"):
        split(tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(DataError, match="belong together"):
        split(source, tmp_path / "new", val_fraction=0.7, find_groups=lambda: [set(files_of(source))])
    assert not (tmp_path / "new").exists()


def test_split__a_full_disk_leaves_nothing(source: Path, tiny_disk: Path) -> None:
    with pytest.raises(OutputError):
        split(source, tiny_disk / "new")
    assert not list(tiny_disk.glob("*new*"))


_SLOWLY = """
import os, sys, time
from dogbreed.data import splitting
copy = splitting._copy
def slowly(file, target):
    copy(file, target)
    print("one", flush=True)
    time.sleep(300)
splitting._copy = slowly
splitting.split_folder(sys.argv[1], sys.argv[2], val_fraction=0.1, test_fraction=0.2, seed=0, files="copy", say=print)
"""


def test_split__killed_and_run_again_is_whole(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "new"
    arguments = [sys.executable, "-c", _SLOWLY, str(source), str(root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("one")  # several threads print
        with pytest.raises(DataError, match="another process"):
            split(source, root)
        process.send_signal(signal.SIGKILL)
    assert not root.exists()
    split(source, root)
    assert len(of_split(root)) == 40
    assert sorted(os.listdir(tmp_path)) == ["drawn", "new", "source"]
