"""The content of pictures: read once, then remembered by size and time of change."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from dogbreed.data.images import picture_digest
from dogbreed.files import writing

_TABLE = "CREATE TABLE IF NOT EXISTS pictures (path BLOB PRIMARY KEY, size INT, mtime_ns INT, digest TEXT)"


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
    try:
        known = {} if again else _recall(ledger, names)
    except sqlite3.DatabaseError:  # damaged: it can be made again
        ledger.unlink(missing_ok=True)
        known = {}
    found = [_remembered(known.get(name), stamp) for name, stamp in zip(names, stamps, strict=True)]
    unknown = [i for i, (digest, stamp) in enumerate(zip(found, stamps, strict=True)) if stamp and not digest]
    if unknown:
        # Reading and hashing both let other threads run.
        with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
            read = pool.map(_read, [names[i] for i in unknown])
            progress = tqdm(read, "reading pictures", len(unknown), unit="picture", disable=None, delay=2)
            for i, digest in zip(unknown, progress, strict=True):
                found[i] = digest
        _remember(ledger, [(names[i], *(stamps[i] or ()), found[i]) for i in unknown if found[i]])
    return found


def _remembered(entry: tuple[int, int, str] | None, stamp: tuple[int, int] | None) -> str:
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


def _recall(ledger: Path, names: Sequence[bytes]) -> dict[bytes, tuple[int, int, str]]:
    wanted = set(names)
    with writing(ledger), closing(sqlite3.connect(ledger, timeout=60)) as connection, connection:
        connection.execute(_TABLE)
        rows = connection.execute("SELECT path, size, mtime_ns, digest FROM pictures")
        return {path: (size, mtime_ns, digest) for path, size, mtime_ns, digest in rows if path in wanted}


def _remember(ledger: Path, rows: Sequence[tuple[bytes, int, int, str]]) -> None:
    with closing(sqlite3.connect(ledger, timeout=60)) as connection, connection:
        connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", rows)
