"""The content of pictures: read once, then remembered by size and time of change."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dogbreed.data.images import picture_digest
from dogbreed.files import writing

_TABLE = """CREATE TABLE IF NOT EXISTS pictures
    (path BLOB PRIMARY KEY, size INT, mtime_ns INT, digest TEXT, checksum INT)"""

_AT_ONCE = 10_000  # pictures: at most these are read again when a process is killed

# What SQLite says where the disk, and not the ledger, is at fault.
_DISK = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)

Entry = tuple[int, int, str]  # size, time of change, digest
T = TypeVar("T")


def digests(paths: Sequence[str], ledger: Path, *, again: bool = False) -> list[str]:
    """The `picture_digest` of each file; the empty string where it cannot be read.

    Args:
        paths: the files.
        ledger: an SQLite file that remembers them; made on first use.
        again: read every file, whatever is remembered.

    Raises:
        OutputError: the ledger cannot be written.
    """
    with writing(ledger):
        ledger.parent.mkdir(parents=True, exist_ok=True)
    names = [os.fsencode(os.path.abspath(path)) for path in paths]
    stamps = [_stamp(name) for name in names]
    known = {} if again else _use(ledger, partial(_recall, wanted=set(names))) or {}
    found = [_remembered(known.get(name), stamp) for name, stamp in zip(names, stamps, strict=True)]
    unknown = [i for i, (digest, stamp) in enumerate(zip(found, stamps, strict=True)) if stamp and not digest]
    if unknown:
        progress = tqdm(total=len(unknown), desc="reading pictures", unit="picture", disable=None, delay=2)
        # Reading and hashing both let other threads run.
        with progress, ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
            for first in range(0, len(unknown), _AT_ONCE):  # what was read is remembered, whatever comes after it
                some = unknown[first : first + _AT_ONCE]
                for i, digest in zip(some, pool.map(_read, [names[i] for i in some]), strict=True):
                    found[i] = digest
                    progress.update()
                rows = [(names[i], *(stamps[i] or (0, 0)), found[i]) for i in some if found[i]]
                _use(ledger, partial(_remember, rows=rows))
    return found


def forget(paths: Sequence[str], ledger: Path) -> None:
    """Read these files again the next time: they turned out not to be what was remembered.

    Raises:
        OutputError: the ledger cannot be written.
    """
    if paths:
        _use(ledger, partial(_forget, names=[os.fsencode(os.path.abspath(path)) for path in paths]))


def _remembered(entry: Entry | None, stamp: tuple[int, int] | None) -> str:
    return entry[2] if entry is not None and entry[:2] == stamp else ""


def _stamp(name: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read(name: bytes) -> str:
    try:
        with open(name, "rb") as file:
            return picture_digest(file.read())
    except OSError:
        return ""


def remembered(ledger: Path) -> dict[str, str]:
    """The digest of every picture that the ledger knows, by path; nothing where it is damaged."""
    names = (
        _use(ledger, lambda connection: {row[0] for row in connection.execute("SELECT path FROM pictures")}) or set()
    )
    known = _use(ledger, lambda connection: _recall(connection, names)) or {}
    return {os.fsdecode(name): str(entry[2]) for name, entry in known.items()}


def _use(ledger: Path, do: Callable[[sqlite3.Connection], T]) -> T | None:
    """What `do` makes of the ledger; None where it is damaged, and removed, since it can be made again."""
    with writing(ledger):
        try:
            with closing(sqlite3.connect(ledger, timeout=60)) as connection, connection:
                connection.execute(_TABLE)
                return do(connection)
        except (sqlite3.DatabaseError, UnicodeError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DISK:
                raise OSError(str(error)) from error
            for damaged in (ledger, ledger.with_name(f"{ledger.name}-journal")):
                damaged.unlink(missing_ok=True)
    return None


def _recall(connection: sqlite3.Connection, wanted: set[bytes]) -> dict[bytes, Entry]:
    rows = connection.execute("SELECT path, size, mtime_ns, digest, checksum FROM pictures")
    return {row[0]: row[1:4] for row in rows if row[0] in wanted and row[4] == _checksum(row[:4])}


def _remember(connection: sqlite3.Connection, rows: Sequence[tuple[bytes, int, int, str]]) -> None:
    checked = [(*row, _checksum(row)) for row in rows]
    connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", checked)


def _forget(connection: sqlite3.Connection, names: Sequence[bytes]) -> None:
    connection.executemany("DELETE FROM pictures WHERE path = ?", [(name,) for name in names])


def _checksum(row: tuple[object, ...]) -> int:
    return zlib.crc32(repr(row).encode("utf-8", "surrogatepass"))
