"""A picture's content is read once, and again whenever something says that it may be another."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from dogbreed.data.images import picture_digest
from dogbreed.errors import OutputError
from dogbreed.features import pictures
from dogbreed.features.pictures import digests, forget


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"content %d" % number)
    return [str(tmp_path / f"{number}.jpg") for number in range(5)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "pictures.sqlite"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is read from now on."""
    names, original = [], pictures._read

    def note(name: bytes) -> str:
        names.append(os.fsdecode(name))
        return original(name)

    monkeypatch.setattr(pictures, "_read", note)
    return names


def plain(files: list[str]) -> list[str]:
    return [picture_digest(Path(file).read_bytes()) for file in files]


def replace(file: str, content: bytes) -> None:
    """Other content under the old size and time."""
    before = os.stat(file)
    Path(file).write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_digests__of_what_was_read_before_an_interruption_are_remembered(
    files: list[str], ledger: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = pictures._read

    def until_the_last(name: bytes) -> str:
        if name.endswith(b"4.jpg"):
            raise KeyboardInterrupt
        return noted(name)

    monkeypatch.setattr(pictures, "_AT_ONCE", 2)
    monkeypatch.setattr(pictures, "_read", until_the_last)
    with pytest.raises(KeyboardInterrupt):
        digests(files, ledger)
    monkeypatch.setattr(pictures, "_read", noted)
    assert digests(files, ledger) == plain(files)
    assert sorted(read) == files, "each once"


def test_digests__are_of_the_content_and_read_once(files: list[str], ledger: Path, read: list[str]) -> None:
    assert digests(files, ledger) == plain(files)
    assert sorted(read) == files
    assert digests(files[::-1], ledger) == plain(files)[::-1]
    assert len(read) == 5


@pytest.mark.parametrize("change", ["size", "time", "new file"])
def test_digests__of_what_has_changed_are_read_again(
    files: list[str], ledger: Path, read: list[str], change: str
) -> None:
    digests(files, ledger)
    read.clear()
    if change == "size":
        replace(files[2], b"more content")
    elif change == "time":
        Path(files[2]).write_bytes(b"content X")
        os.utime(files[2], ns=(0, os.stat(files[2]).st_mtime_ns + 1))
    else:
        Path(files[2]).unlink()
        Path(files[2]).write_bytes(b"content Y")
        os.utime(files[2], (5, 5))
    assert digests(files, ledger) == plain(files)
    assert read == [files[2]]


def test_digests__again_finds_what_size_and_time_hide(files: list[str], ledger: Path) -> None:
    digests(files, ledger)
    replace(files[1], b"CONTENT 1")
    assert digests(files, ledger) != plain(files)
    assert digests(files, ledger, again=True) == plain(files)
    assert digests(files, ledger) == plain(files)


def test_digests__again_without_a_ledger(files: list[str], ledger: Path) -> None:
    assert digests(files, ledger, again=True) == plain(files)


def test_forget__has_a_file_read_again(files: list[str], ledger: Path, read: list[str]) -> None:
    digests(files, ledger)
    replace(files[1], b"CONTENT 1")
    read.clear()
    forget([files[1]], ledger)
    assert digests(files, ledger) == plain(files)
    assert read == [files[1]]


def test_digests__what_cannot_be_read_has_none_and_is_not_remembered(files: list[str], ledger: Path) -> None:
    missing, folder = Path(files[0]).with_name("missing.jpg"), Path(files[0]).with_name("folder.jpg")
    folder.mkdir()
    assert digests([str(missing), str(folder), files[0]], ledger) == ["", "", *plain(files[:1])]
    missing.write_bytes(b"there")
    assert digests([str(missing)], ledger) == [picture_digest(b"there")]


def test_digests__of_links_names_of_any_bytes_and_the_same_file_twice(tmp_path: Path, ledger: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \n.jpg")
    Path(odd).write_bytes(b"odd")
    link = tmp_path / "link.jpg"
    link.symlink_to(odd)
    dangling = tmp_path / "dangling.jpg"
    dangling.symlink_to(tmp_path / "nothing")
    for _ in range(2):
        assert digests([odd, str(link), str(dangling), odd], ledger) == [
            *[picture_digest(b"odd")] * 2,
            "",
            picture_digest(b"odd"),
        ]


def test_digests__relative_paths_are_of_the_current_folder(
    tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(name.encode())
        os.utime(tmp_path / name / "a.jpg", (1, 1))
        monkeypatch.chdir(tmp_path / name)
        assert digests(["a.jpg"], ledger) == [picture_digest(name.encode())]


@pytest.mark.parametrize("rubbish", [b"", b"no database" * 999, b"SQLite format 3\0" + bytes(999)])
def test_digests__a_damaged_ledger_is_made_again(files: list[str], ledger: Path, rubbish: bytes) -> None:
    ledger.parent.mkdir()
    ledger.write_bytes(rubbish)
    assert digests(files, ledger) == plain(files)
    assert digests(files, ledger) == plain(files)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(place=some.floats(0, 1, exclude_max=True), bit=some.integers(0, 7))
def test_digests__one_flipped_bit_of_the_ledger_never_misleads(
    files: list[str], ledger: Path, place: float, bit: int
) -> None:
    ledger.unlink(missing_ok=True)
    digests(files, ledger)
    content = bytearray(ledger.read_bytes())
    used = [number for number, byte in enumerate(content) if byte]  # most of its pages is empty
    content[used[int(place * len(used))]] ^= 1 << bit
    ledger.write_bytes(content)
    assert digests(files, ledger) == plain(files)
    assert digests(files, ledger) == plain(files)


def test_digests__a_full_disk_is_one_clear_error(files: list[str], tiny_disk: Path) -> None:
    many = [str(Path(files[0]).with_name(f"{'x' * 200}{number}.jpg")) for number in range(40)]
    for number, path in enumerate(many):
        Path(path).write_bytes(b"%d" % number)
    with pytest.raises(OutputError, match=r"pictures.sqlite cannot be written"):
        digests(many, tiny_disk / "pictures.sqlite")
    (tiny_disk / "filler").unlink()
    assert digests(many, tiny_disk / "pictures.sqlite") == plain(many)


def test_digests__a_place_that_is_no_folder_is_one_clear_error(files: list[str]) -> None:
    with pytest.raises(OutputError):
        digests(files, Path(files[0]) / "pictures.sqlite")


def test_digests__remember_what_another_process_is_writing(files: list[str], ledger: Path) -> None:
    digests(files[:1], ledger)
    other = sqlite3.connect(ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # as it does between two statements
    assert digests(files[:1], ledger) == plain(files[:1])
    other.execute("COMMIT")
    other.close()
    assert digests(files, ledger) == plain(files)
