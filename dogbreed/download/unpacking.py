"""Archives, unpacked whole and safely into a new folder, or not at all."""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from tqdm import tqdm

from dogbreed.download.guard import ArchiveLimits, Guard, Member
from dogbreed.download.names import NameRefused, Names, is_left_out, shown
from dogbreed.download.tars import is_tar, tar_members
from dogbreed.download.zips import is_zip, zip_members
from dogbreed.errors import DataError, OutputError
from dogbreed.files import writing

Item = TypeVar("Item")

#: What the readers of the standard library raise for bytes that are not as they should be.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # gzip's and bz2's
    ValueError,
    OverflowError,
    LookupError,
    RuntimeError,
    struct.error,
)


class Unpacked(NamedTuple):
    """What came out of an archive."""

    files: int
    size_bytes: int


def unpack_archive(archive: Path, folder: Path, limits: ArchiveLimits, label: str = "") -> Unpacked:
    """Unpack a zip or a tar (plain, gzip, bzip2 or xz) into a folder that is made for it, and count what came out.

    What it is, its content says. Files become 0644 and folders 0755, whatever the archive wants. Left out are the
    files that macOS adds. Archives inside it are files like any other. What fails leaves no folder.

    Args:
        archive: the file.
        folder: not there yet.
        limits: of what it may hold, by what really comes out of it.
        label: what messages call it; its path if "".

    Raises:
        DamagedError: it is cut off or was changed.
        LimitError: it holds more than `limits`.
        DataError: it is no archive, is empty, is encrypted, or holds links, devices or names that lead elsewhere.
        OutputError: the disk is full or cannot be written.
    """
    guard = Guard(label or str(archive), limits, archive.stat().st_size)
    with open(archive, "rb") as file:
        with _telling_damage(guard):
            listed, members = _open(file, guard)
        with on_disk(folder):
            folder.mkdir(mode=0o755)
        try:
            check_room(folder, listed or 0, f"{guard.label} unpacks to")
            unpacked = _unpack(members, folder, guard, listed)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return unpacked


#: Turns what the system says about a full disk or a read-only folder into an error that names the path.
on_disk = partial(writing, hint="free some space, or choose another root, and run the same command again")


def check_room(path: Path, needed: int, what: str) -> None:
    """Compare the room on the disk of an existing folder with what will be written there.

    Raises:
        OutputError: there is less than `needed` bytes.
    """
    with on_disk(path):
        free = shutil.disk_usage(path).free
    if needed > free:
        raise OutputError(
            got=f"{what} {needed / 1e9:,.2f} GB, and the disk of {path.parent} has room for {free / 1e9:,.2f} GB",
            allowed="a disk with room for it",
            hint="free some space, or choose another root, and run the same command again",
        )


def _open(file: BinaryIO, guard: Guard) -> tuple[int | None, Iterator[Member]]:
    """The bytes that an archive unpacks to, where it says so, and its members."""
    head = file.read(512)
    if is_zip(head):
        listed, members = zip_members(file, guard)
        return listed, members
    if is_tar(head):
        return None, tar_members(file, guard)
    if not head:
        raise guard.damage("it is empty")
    raise DataError(
        got=f"{guard.label} is no archive that is read here: it begins with {shown(ascii(head[:16])[2:-1])}",
        allowed="a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz",
        hint="check that the URL or path leads to the archive itself, or pack it anew",
    )


def _unpack(members: Iterator[Member], folder: Path, guard: Guard, listed: int | None) -> Unpacked:
    names, made, files, size_bytes = Names(), {""}, 0, 0
    with tqdm(total=listed, desc="unpacking", unit="B", unit_scale=True, disable=None, leave=False) as progress:
        for member in _told(members, guard):
            if is_left_out(member.name):
                continue
            path = _place(member, names, guard)
            with on_disk(folder):
                _make_folders(folder, path if member.is_folder else path.rpartition("/")[0], made)
                if not member.is_folder:
                    files += 1
                    for count in _write(folder / path, _told(member.chunks, guard)):
                        size_bytes += count
                        progress.update(count)
    if not files:
        raise guard.refusal("it holds no file")
    return Unpacked(files, size_bytes)


def _place(member: Member, names: Names, guard: Guard) -> str:
    try:
        path = names.place(member.name, member.is_folder)
    except NameRefused as refused:
        raise guard.refusal(str(refused)) from None
    if member.refused:
        raise guard.refusal(f"{shown(member.name)} is {member.refused}")
    return path


def _make_folders(folder: Path, path: str, made: set[str]) -> None:
    if path not in made:
        _make_folders(folder, path.rpartition("/")[0], made)
        os.mkdir(folder / path, mode=0o755)
        made.add(path)


def _write(path: Path, chunks: Iterator[bytes]) -> Iterator[int]:
    """The bytes of each chunk, once it is written to a new file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(file, "wb", buffering=0) as opened:
        for chunk in chunks:
            left = memoryview(chunk)
            while left:
                left = left[opened.write(left) :]
            yield len(chunk)


def _told(items: Iterator[Item], guard: Guard) -> Iterator[Item]:
    with _telling_damage(guard):
        yield from items


@contextmanager
def _telling_damage(guard: Guard) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:  # of zipfile, for what it does not read
        raise guard.refusal(shown(str(error))) from error
    except _DAMAGE as error:
        raise guard.damage(shown(str(error) or type(error).__name__)) from error
