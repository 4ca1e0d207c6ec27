"""Rows of features on disk, found by key: appended whole or not at all, checked before they are read.

features.bin   rows of float16 or float32, D numbers each, one chunk after the other
index.jsonl    a line for each chunk: where it stands, its keys and its checksum, and a checksum of the line
lock           held by the process that appends

A chunk counts once its line is there; whatever a kill or a full disk leaves behind the last whole line is
overwritten by the next chunk. A later row of a key takes the place of an earlier one.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogbreed.files import write_bytes, writing

KEY_BYTES = 16
Keys = NDArray[np.uint64]  # (n, 2): 16 bytes each

_verified: set[tuple[str, int, int]] = set()  # (file, first row, checksum) of what this process has checked


@dataclass(frozen=True)
class Chunk:
    """Rows `first` to `first + rows` were written together."""

    first: int
    rows: int
    crc32: int
    keys: Keys


class FeatureStore:
    """The rows in `folder`.

    Args:
        folder: made by the first chunk.
        num_features: D.
        dtype: "float16" or "float32".
    """

    def __init__(self, folder: Path, num_features: int, dtype: str) -> None:
        self.folder, self.num_features, self.dtype = folder, num_features, np.dtype(dtype)
        self._damaged: set[int] = set()  # first rows of chunks that are not what was written
        self._chunks: list[Chunk] = []
        self.refresh()

    @property
    def data(self) -> Path:
        """The file of the rows."""
        return self.folder / "features.bin"

    def refresh(self) -> None:
        """Read the index again: another process may have appended."""
        try:
            lines = (self.folder / "index.jsonl").read_bytes().split(b"\n")[:-1]  # the rest has no end yet
        except FileNotFoundError:
            lines = []
        self._lines = len(lines)
        self._chunks = [chunk for line in lines if (chunk := _parse(line)) is not None]
        keys = [chunk.keys for chunk in self._chunks if chunk.first not in self._damaged]
        rows = [np.arange(c.first, c.first + c.rows) for c in self._chunks if c.first not in self._damaged]
        all_keys = np.concatenate(keys) if keys else np.empty((0, 2), np.uint64)
        order = np.argsort(all_keys[:, 0], kind="stable")  # equal keys stay in the order in which they were written
        self._keys, self._rows = all_keys[order], (np.concatenate(rows) if rows else np.empty(0, np.int64))[order]

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """The row of each key, int64 (n,), and -1 where there is none that can be trusted.

        Every chunk that holds one of the rows is compared with its checksum, once in a process.
        """
        rows = self._look_up(keys)
        if self._check(rows):
            self.refresh()
            return self.find(keys)
        return rows

    def array(self) -> NDArray[np.floating]:
        """All rows that the file has, (R, D), mapped from it: it may be shorter than its index says."""
        size = self.data.stat().st_size if self.data.exists() else 0
        rows = size // self._row_bytes
        if not rows:
            return np.empty((0, self.num_features), self.dtype)
        return np.memmap(self.data, self.dtype, "r", shape=(rows, self.num_features))

    def append(self, keys: Keys, features: NDArray[np.floating]) -> None:
        """Add a chunk: rows (n, D) and their keys (n, 2). Only while `writer` is held.

        Raises:
            OutputError: it cannot be written; the store is as it was.
        """
        content = np.ascontiguousarray(features, self.dtype)
        chunk = Chunk(self._end, len(keys), zlib.crc32(content.data.cast("B")), keys)
        line = _line(chunk)
        index = self.folder / "index.jsonl"
        with writing(self.data):
            size = index.stat().st_size if index.exists() else 0
            try:
                _write_at(self.data, chunk.first * self._row_bytes, content.data.cast("B"))
                _write_at(index, size, memoryview(line))
            except OSError:
                with open(self.data, "ab") as file:
                    file.truncate(chunk.first * self._row_bytes)
                with open(index, "ab") as file:
                    file.truncate(size)
                raise
        self._chunks.append(chunk)

    @contextmanager
    def writer(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Be the one process that appends, and see what others have appended before.

        The lock is POSIX's, which ends with the process that holds it and is not inherited by its children.
        """
        path = self.folder / "lock"
        while True:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = open(path, "a")  # noqa: SIM115 - kept open as long as the lock is held
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                on_wait()
                fcntl.lockf(lock, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                break
            lock.close()  # the store was removed while we waited
        with lock:
            self._drop_torn_line()
            self._damaged.clear()  # others may have put whole chunks in their place; what has not is found again
            self.refresh()
            yield
            self.refresh()

    def verify(self) -> tuple[int, int]:
        """Read every chunk again: how many there were, and how many were damaged; these are forgotten.

        Raises:
            OutputError: there are some, and the index cannot be written.
        """
        if not self.folder.exists():
            return 0, 0
        self._damaged.clear()
        self.refresh()
        for chunk in self._chunks:
            _verified.discard(self._name(chunk))
        self._check(np.concatenate([np.empty(0, np.int64), *(np.array([c.first]) for c in self._chunks)]))
        chunks, found = self._lines, set(self._damaged)
        damaged = chunks - len(self._chunks) + len(found)
        if damaged:
            with self.writer(on_wait=lambda: None):
                good = b"".join(_line(chunk) for chunk in self._chunks if chunk.first not in found)
                write_bytes(self.folder / "index.jsonl", good)
        return chunks, damaged

    def __len__(self) -> int:
        return len(np.unique(self._keys, axis=0))

    @property
    def _end(self) -> int:
        return max((chunk.first + chunk.rows for chunk in self._chunks), default=0)

    @property
    def _row_bytes(self) -> int:
        return self.num_features * self.dtype.itemsize

    def _name(self, chunk: Chunk) -> tuple[str, int, int]:
        return str(self.data), chunk.first, chunk.crc32

    def _look_up(self, keys: Keys) -> NDArray[np.int64]:
        if not len(self._keys):
            return np.full(len(keys), -1)
        at = np.searchsorted(self._keys[:, 0], keys[:, 0], side="right") - 1  # the last of equal ones
        return np.where((at >= 0) & (self._keys[at] == keys).all(axis=1), self._rows[at], -1)

    def _check(self, rows: NDArray[np.int64]) -> bool:
        """Whether a chunk that holds one of these rows turned out to be damaged."""
        firsts = np.array([chunk.first for chunk in self._chunks])
        order = np.argsort(firsts)
        touched = np.unique(np.searchsorted(firsts[order], rows[rows >= 0], side="right") - 1)
        array, found = None, False
        for chunk in (self._chunks[order[number]] for number in touched):
            if self._name(chunk) in _verified:
                continue
            array = self.array() if array is None else array
            content = np.ascontiguousarray(array[chunk.first : chunk.first + chunk.rows])
            if len(content) == chunk.rows and zlib.crc32(content.data.cast("B")) == chunk.crc32:
                _verified.add(self._name(chunk))
            else:
                self._damaged.add(chunk.first)
                found = True
        return found

    def _drop_torn_line(self) -> None:
        index = self.folder / "index.jsonl"
        content = index.read_bytes() if index.exists() else b""
        if content and not content.endswith(b"\n"):
            os.truncate(index, content.rfind(b"\n") + 1)


def _write_at(path: Path, offset: int, content: memoryview) -> None:
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _line(chunk: Chunk) -> bytes:
    fields = {"first": chunk.first, "rows": chunk.rows, "crc32": chunk.crc32, "keys": chunk.keys.tobytes().hex()}
    text = json.dumps(fields).encode()
    return text + b"\t%08x\n" % zlib.crc32(text)


def _parse(line: bytes) -> Chunk | None:
    """The chunk of a line, None where the line is torn or damaged."""
    text, _, checksum = line.rpartition(b"\t")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        return None
    fields: dict[str, Any] = json.loads(text)
    keys = np.frombuffer(bytes.fromhex(fields["keys"]), np.uint64).reshape(-1, 2)
    return Chunk(fields["first"], fields["rows"], fields["crc32"], keys)
