"""Files and folders that are whole or not there, on real file systems that refuse."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dogbreed.errors import OutputError
from dogbreed.files import clear_leftovers, new_folder, write_csv, write_json, write_text

LARGE = "x" * 100_000


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_folder(path: Path, text: str) -> None:
    with new_folder(path) as folder:
        (folder / "inside.txt").write_text(text)


WRITERS: dict[str, Callable[[Path, str], None]] = {"file": write_text, "folder": write_folder}


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system mounted read-only: permission bits do not bind root."""
    folder = tmp_path / "readonly"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,ro", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a file system here, which root can")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_write_text__makes_the_folders_above(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "Größe\n")

    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "Größe\n"


def test_write_text__replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "c.txt", "old")
    write_text(tmp_path / "c.txt", "new")

    assert ((tmp_path / "c.txt").read_text(), names_in(tmp_path)) == ("new", ["c.txt"])


def test_write_text__keeps_the_old_file_on_a_full_disk(tiny_disk: Path) -> None:
    write_text(tiny_disk / "c.txt", "old")
    with pytest.raises(OutputError, match=r"c\.txt cannot be written: No space left"):
        write_text(tiny_disk / "c.txt", LARGE)

    assert ((tiny_disk / "c.txt").read_text(), names_in(tiny_disk)) == ("old", ["c.txt", "filler"])


def test_write_text__takes_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "names.txt", os.fsdecode(b"dog\xff.jpg"))

    assert (tmp_path / "names.txt").read_text(encoding="utf-8") == "dog\\udcff.jpg"


def test_write_json__keeps_order_and_letters(tmp_path: Path) -> None:
    value = {"z": 1, "a": ["Löwchen", None, 0.1]}
    write_json(tmp_path / "v.json", value)

    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert (list(json.loads(text).items()), "Löwchen" in text) == (list(value.items()), True)


def test_write_csv__parses_back_with_gaps_left_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"a": 'x, "y"\nz', "b": 1}, {"b": 2}], ("a", "b"))

    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ['x, "y"\nz', "1"], ["", "2"]]


def test_new_folder__takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale.txt").write_text("old")
    write_folder(tmp_path / "out", "new")

    assert (names_in(tmp_path), names_in(tmp_path / "out")) == (["out"], ["inside.txt"])


def test_new_folder__is_not_there_before_the_block_ends(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "out") as folder:
        (folder / "half.txt").write_text("half")
        seen = (tmp_path / "deep" / "out").exists()

    assert not seen
    assert names_in(tmp_path / "deep" / "out") == ["half.txt"]


def test_new_folder__leaves_the_old_one_where_the_block_fails(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", "old")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "inside.txt").write_text("half")
        _ = 1 / 0

    assert (names_in(tmp_path), (tmp_path / "out" / "inside.txt").read_text()) == (["out"], "old")


def test_new_folder__leaves_the_old_one_on_a_full_disk(tiny_disk: Path) -> None:
    write_folder(tiny_disk / "out", "old")
    with pytest.raises(OutputError, match="No space left"):
        write_folder(tiny_disk / "out", LARGE)

    assert (names_in(tiny_disk), (tiny_disk / "out" / "inside.txt").read_text()) == (["filler", "out"], "old")


def test_new_folder__leaves_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        write_folder(tmp_path / "out", "new")

    assert (names_in(tmp_path), (tmp_path / "out").read_text()) == (["out"], "a file")


KILLED = """
import os, signal, sys
from pathlib import Path
from dogbreed.files import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "inside.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_new_folder__leaves_the_old_one_where_the_process_is_killed(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out"])

    assert (killed.returncode, (tmp_path / "out" / "inside.txt").read_text()) == (-signal.SIGKILL, "old")


KILLED_WRITING = """
import os, signal, sys
from pathlib import Path
from dogbreed.files import new_file, new_folder, write_synced
with new_folder(Path(sys.argv[1], "folder")) as folder, new_file(Path(sys.argv[1], "file.txt")) as file:
    write_synced(file, b"half")
    (folder / "inside.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_clear_leftovers__removes_what_a_kill_left_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_WRITING, tmp_path])
    assert len(names_in(tmp_path)) == 2
    others = [".hidden", ".hidden.txt", ".name.12345678x", "name.12345678", ".name.ABCDEF01"]
    for name in others:
        (tmp_path / name).write_text("somebody's")
    clear_leftovers(tmp_path)

    assert names_in(tmp_path) == sorted(others)


def test_clear_leftovers__of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    clear_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", WRITERS)
def test_writing__on_a_read_only_disk_is_an_output_error(kind: str, read_only_disk: Path) -> None:
    with pytest.raises(OutputError, match="Read-only file system") as caught:
        WRITERS[kind](read_only_disk / "out", "text")
    assert "choose another place" in caught.value.hint


@pytest.mark.parametrize("kind", WRITERS)
def test_writing__below_a_file_is_an_output_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OutputError, match="Not a directory"):
        WRITERS[kind](tmp_path / "file" / "out", "text")


def test_write_text__over_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        write_text(tmp_path / "out", "text")

    assert names_in(tmp_path) == ["out"]


def test_writing__under_too_long_a_name_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        write_text(tmp_path / ("n" * 300), "text")
