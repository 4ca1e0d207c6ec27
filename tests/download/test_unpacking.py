"""Archives of every good and bad kind, made by the standard library or byte by byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dogbreed.download.guard import ArchiveLimits, DamagedError, LimitError
from dogbreed.download.unpacking import unpack_archive
from dogbreed.errors import ConfigError, DataError, OutputError

LIMITS = ArchiveLimits(max_files=50, max_gb=0.005, max_ratio=20)
NOISE = os.urandom(60_000)
TREE = {"train/001.Beagle/a.jpg": NOISE, "train/002.Boxer/Größe.jpg": b"b" * 2000, "valid/001.Beagle/inner.zip": b"PK"}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **attributes: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.external_attr = attributes.get(name, 0o777 | stat.S_ISUID) << 16
            archive.writestr(info, content)
    return packed.getvalue()


def tarred(files: dict[str, bytes], *members: tarfile.TarInfo, encoding: str = "utf-8") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", encoding=encoding) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o6777
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return packed.getvalue()


def special(kind: bytes, name: str = "train/x", target: str = "/etc/passwd") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return tarred(TREE, member)


def unpacked(tmp_path: Path, content: bytes, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    """What came out; after an error, that nothing stayed is asserted."""
    archive, folder = tmp_path / "archive", tmp_path / "folder"
    archive.write_bytes(content)
    try:
        found = unpack_archive(archive, folder, limits, "dogs")
    except (DataError, OutputError):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]
        raise
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    contents = {name: path.read_bytes() for name, path in files.items()}
    assert found == (len(contents), sum(map(len, contents.values())))
    for path in folder.rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o755 if path.is_dir() else 0o644)
    return contents


GOOD: dict[str, Callable[[], bytes]] = {
    "deflated zip": lambda: zipped(TREE),
    "stored zip": lambda: zipped(TREE, zipfile.ZIP_STORED),
    "zip with a comment and a prefix in its offsets": lambda: _commented(zipped(TREE)),
    "tar": lambda: tarred(TREE),
    "tar.gz": lambda: gzip.compress(tarred(TREE)),
    "tar.gz in two parts": lambda: gzip.compress(tarred(TREE)[:9999]) + gzip.compress(tarred(TREE)[9999:]),
    "tar.bz2": lambda: bz2.compress(tarred(TREE)),
    "tar.xz": lambda: lzma.compress(tarred(TREE)),
    "tar of dot names": lambda: tarred({f"./{name}": content for name, content in TREE.items()}),
}


def _commented(content: bytes) -> bytes:
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.comment = b"dogs" * 100
    return packed.getvalue()


@pytest.mark.parametrize("kind", GOOD)
def test_unpack_archive__gives_back_the_tree(kind: str, tmp_path: Path) -> None:
    assert unpacked(tmp_path, GOOD[kind]()) == TREE


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_unpack_archive__leaves_out_what_macos_adds(pack: Callable[..., bytes], tmp_path: Path) -> None:
    added = {"__MACOSX/train/._a.jpg": b"x", "train/._a.jpg": b"x", "train/.DS_Store": b"x", ".dogbreed.json": b"{}"}

    assert unpacked(tmp_path, pack(added | TREE)) == TREE


def test_unpack_archive__reads_utf8_in_a_zip_that_does_not_say_so(tmp_path: Path) -> None:
    packed = zipped({"Größe.jpg": b"x"})
    flagged = packed.count(struct.pack("<H", 0x800))
    unflagged = packed.replace(struct.pack("<H", 0x800), b"\0\0")

    assert flagged == 2
    assert unpacked(tmp_path, unflagged) == {"Größe.jpg": b"x"}


def test_unpack_archive__reads_latin_1_in_a_tar(tmp_path: Path) -> None:
    assert unpacked(tmp_path, tarred({"Größe.jpg": b"x"}, encoding="latin-1")) == {"Größe.jpg": b"x"}


def test_unpack_archive__reads_old_tars_without_a_magic_word(tmp_path: Path) -> None:
    header = bytearray(tarred({"a.jpg": b"x" * 512}))
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])

    assert unpacked(tmp_path, bytes(header)) == {"a.jpg": b"x" * 512}


NAMES = {
    "../x.jpg": "leads out",
    "train/../../x.jpg": "leads out",
    "train\\..\\..\\x.jpg": "leads out",
    "train\\x.jpg": "backslash",
    "/etc/x.jpg": "absolute",
    "\\\\host\\x.jpg": "absolute",
    "C:/x.jpg": "absolute",
    "c:x.jpg": "absolute",
    "train/a\x1b[2Jb.jpg": "control character",
    "train/a\nb.jpg": "control character",
    "train/" + "a" * 300 + ".jpg": "255 bytes",
    "ab/" * 400 + "x.jpg": "folders deep",
    "TRAIN/001.beagle/A.JPG": "one name where case",
    "train/002.Boxer/Gro\u0308\u00dfe.jpg": "one name where case",
    "train/001.Beagle": "both a file and a folder",
    "train/001.Beagle/a.jpg/b.jpg": "both a file and a folder",
    "./train//001.Beagle/a.jpg": "is there twice",
}


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_unpack_archive__refuses_names(pack: Callable[..., bytes], name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=NAMES[name]) as raised:
        unpacked(tmp_path, pack(TREE | {name: b"x"}))

    assert "\x1b" not in str(raised.value)


def test_unpack_archive__refuses_a_nul_in_a_zip_where_zipfile_would_cut_the_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="control character"):
        unpacked(tmp_path, zipped({"trainXx.jpg": b"x"}).replace(b"trainX", b"train\0"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_unpack_archive__refuses_a_name_that_is_there_twice(kind: str, tmp_path: Path) -> None:
    packed = io.BytesIO(zipped(TREE))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("train/001.Beagle/a.jpg", b"other")
    twice = tarfile.TarInfo("train/001.Beagle/a.jpg")

    with pytest.raises(DataError, match="is there twice"):
        unpacked(tmp_path, packed.getvalue() if kind == "zip" else tarred(TREE, twice))


SPECIAL = {
    "symbolic link": lambda: special(tarfile.SYMTYPE),
    "hard link": lambda: special(tarfile.LNKTYPE, target="train/001.Beagle/a.jpg"),
    "device": lambda: special(tarfile.CHRTYPE),
    "a device": lambda: special(tarfile.BLKTYPE),
    "pipe": lambda: special(tarfile.FIFOTYPE),
    "a file with holes": lambda: _with_holes(),
    "no file or folder": lambda: special(b"Z"),
    "is a symbolic link": lambda: zipped({"link": b"/etc"}, link=stat.S_IFLNK | 0o777),
    "neither a file": lambda: zipped({"pipe": b""}, pipe=stat.S_IFIFO | 0o777),
    "is encrypted": lambda: _set_flag(zipped(TREE), 1),
    "method 12": lambda: zipped(TREE, zipfile.ZIP_BZIP2),
    "method 14": lambda: zipped(TREE, zipfile.ZIP_LZMA),
    "'' names no file": lambda: zipped({"": b"x"}),
    "no file": lambda: zipped({}),
    "it holds no file": lambda: zipped({"train/": b"", "__MACOSX/x": b"x"}),
    "holds no file": lambda: tarred({}),
    "begins with 7z": lambda: b"7z\xbc\xaf\x27\x1c" + NOISE,
    "begins with <!doctype": lambda: b"<!doctype html><p>404</p>",
    "too long": lambda: _long_name(),
}


def _with_holes() -> bytes:
    """A file of one byte behind a hole of a terabyte, as GNU's tar packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("train/a.jpg")
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "train/a.jpg"}
        content = b"1\n1000000000000\n1\n".ljust(512, b"\0") + b"x"
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _set_flag(content: bytes, flag: int) -> bytes:
    changed = bytearray(content)
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[content.index(magic) + offset] |= flag
    return bytes(changed)


def _long_name() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a" * 1_000_000))
    return gzip.compress(packed.getvalue())


@pytest.mark.parametrize("message", SPECIAL)
def test_unpack_archive__refuses_what_is_no_plain_file(message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as raised:
        unpacked(tmp_path, SPECIAL[message]())

    assert not isinstance(raised.value, DamagedError | LimitError)


def _overlapping() -> bytes:
    """Two entries of the list name one kernel: the second says that it begins inside of the first."""
    packed = bytearray(zipped({"a.jpg": zipped({"b.jpg": NOISE}, zipfile.ZIP_STORED)}, zipfile.ZIP_STORED))
    inner = packed.index(b"PK\3\4", 4)
    central = packed.rindex(b"PK\1\2")
    end = packed.rindex(b"PK\5\6")
    second = bytearray(packed[central:end].replace(b"a.jpg", b"b.jpg"))
    second[16:20] = packed[inner + 14 : inner + 18]  # CRC
    second[20:28] = struct.pack("<2L", len(NOISE), len(NOISE))
    second[42:46] = struct.pack("<L", inner)
    packed[end:end] = second
    struct.pack_into("<2HL", packed, end + len(second) + 8, 2, 2, 2 * len(second))
    return bytes(packed)


def test_unpack_archive__refuses_members_that_overlap(tmp_path: Path) -> None:
    (tmp_path / "overlapping.zip").write_bytes(_overlapping())
    with zipfile.ZipFile(tmp_path / "overlapping.zip") as archive:
        assert archive.namelist() == ["a.jpg", "b.jpg"]
    (tmp_path / "overlapping.zip").unlink()

    with pytest.raises(DataError, match=r"a\.jpg overlaps"):
        unpacked(tmp_path, _overlapping())


ZEROS = bytes(3_000_000)
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip of many": ("max_files", lambda: zipped({f"{n}.jpg": b"" for n in range(60)})),
    "tar of many": ("max_files", lambda: tarred({f"{n}.jpg": b"" for n in range(60)})),
    "zip of zeros": ("max_ratio", lambda: zipped({"a.jpg": ZEROS})),
    "zip with one file of zeros": ("max_ratio", lambda: zipped({"a.jpg": ZEROS, "b.jpg": NOISE})),
    "tar.gz of zeros": ("max_ratio", lambda: gzip.compress(tarred({"a.jpg": ZEROS}))),
    "tar.bz2 of zeros": ("max_ratio", lambda: bz2.compress(tarred({"a.jpg": ZEROS}))),
    "tar.xz of zeros": ("max_ratio", lambda: lzma.compress(tarred({"a.jpg": ZEROS}))),
    "zeros after the tar": ("max_ratio", lambda: gzip.compress(tarred(TREE) + bytes(4_000_000))),
    "zeros in what is left out": ("max_ratio", lambda: gzip.compress(tarred({"._a": ZEROS}))),
    "large zip": ("max_gb", lambda: zipped({"a.jpg": NOISE * 100}, zipfile.ZIP_STORED)),
    "large tar": ("max_gb", lambda: tarred({"a.jpg": NOISE * 100})),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_unpack_archive__refuses_bombs(kind: str, tmp_path: Path) -> None:
    limit, make = BOMBS[kind]

    with pytest.raises(LimitError, match=rf"raise limits\.{limit}"):
        unpacked(tmp_path, make())


def test_unpack_archive__goes_by_what_comes_out_and_not_by_what_is_said(tmp_path: Path) -> None:
    said = zipped({"a.jpg": ZEROS}).replace(struct.pack("<L", len(ZEROS)), struct.pack("<L", 5))

    with pytest.raises(DamagedError):
        unpacked(tmp_path, said, ArchiveLimits(max_files=5, max_gb=1, max_ratio=1e6))


def test_unpack_archive__counts_the_list_of_a_zip_and_not_what_it_says_of_its_length(tmp_path: Path) -> None:
    packed = bytearray(zipped({f"{n}.jpg": b"" for n in range(60)}))
    struct.pack_into("<2H", packed, packed.rindex(b"PK\5\6") + 8, 1, 1)

    with pytest.raises(LimitError, match="max_files"):
        unpacked(tmp_path, bytes(packed))


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.8])
def test_unpack_archive__tells_of_one_that_is_cut_off(kind: str, share: float, tmp_path: Path) -> None:
    content = GOOD[kind]()

    with pytest.raises(DamagedError):
        unpacked(tmp_path, content[: int(len(content) * share)])


@pytest.mark.parametrize("kind", ["deflated zip", "stored zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_unpack_archive__tells_of_one_changed_byte(kind: str, tmp_path: Path) -> None:
    content = bytearray(GOOD[kind]())
    content[len(content) // 2] ^= 0xFF

    with pytest.raises(DamagedError):
        unpacked(tmp_path, bytes(content))


def test_unpack_archive__tells_of_a_broken_header_inside_a_tar(tmp_path: Path) -> None:
    content = bytearray(tarred(TREE))
    content[content.index(b"valid/001.Beagle")] ^= 0xFF

    with pytest.raises(DamagedError):
        unpacked(tmp_path, bytes(content))


def test_unpack_archive__takes_an_endless_chain_of_headers_for_damage(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x").create_pax_global_header({"comment": "x"})

    with pytest.raises(DataError):
        unpacked(tmp_path, header * 5000 + tarred(TREE))


def test_unpack_archive__leaves_nothing_on_a_full_disk(tiny_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tarred(TREE))

    with pytest.raises(OutputError, match="No space left"):
        unpack_archive(tmp_path / "archive", tiny_disk / "folder", LIMITS)

    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]


def test_unpack_archive__asks_for_room_before_it_begins(tiny_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(zipped(TREE))

    with pytest.raises(OutputError, match="has room for"):
        unpack_archive(tmp_path / "archive", tiny_disk / "folder", LIMITS)

    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("value", [0, -1, None, "many", True, float("nan")])
def test_archive_limits__are_numbers_above_zero(value: object) -> None:
    with pytest.raises(ConfigError, match=r"limits\.max_gb"):
        ArchiveLimits(max_files=1, max_gb=value, max_ratio=1)  # type: ignore[arg-type]
