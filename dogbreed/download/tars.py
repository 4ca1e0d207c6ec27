"""The members of a tar, packed or not, read from front to end."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from dogbreed.download.guard import CHUNK, Guard, Member

#: What a file begins with, and what opens it.
_PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_MAX_HEADERS = 256 * 1024  # bytes of a member's name and attributes
_REFUSED = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 512 of them, is a tar, or packed as tars are."""
    if head.startswith(tuple(_PACKED)):
        return True
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return len(head) == 512 and not any(head)  # one without members
    return True


def tar_members(file: BinaryIO, guard: Guard) -> Iterator[Member]:
    """The members of a tar, in its order.

    Raises:
        DamagedError: it ends too early.
        LimitError: it unpacks to too much.
    """
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    opened = next((opener(file) for magic, opener in _PACKED.items() if head.startswith(magic)), file)
    stream = _Stream(opened, guard)
    archive = tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while True:
        stream.allowance = _MAX_HEADERS
        member = archive.next()
        if member is None:
            break
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all
        guard.admit()
        sparse = "a file with holes" if member.issparse() else ""
        refused = sparse or ("" if member.isreg() or member.isdir() else _REFUSED.get(member.type, "no file or folder"))
        yield Member(_name(member.name), refused, member.isdir(), stream.chunks(member))
    if stream.last != bytes(tarfile.BLOCKSIZE):  # tarfile ends without a word wherever a header cannot be read
        raise guard.damage("it ends too early")
    while stream.skim():  # a packed file has its checksum at the end
        pass


class _Stream:
    """What tarfile reads from: forward only, counted, and never more for a header than a header needs."""

    def __init__(self, file: Any, guard: Guard) -> None:
        self._file, self._guard, self._position = file, guard, 0
        self.allowance = _MAX_HEADERS
        self.last = b""

    def read(self, size: int) -> bytes:
        """The next bytes, `size` of them unless the file ends."""
        if not 0 <= size <= self.allowance:
            raise self._guard.refusal("a name or an attribute in it is too long")
        self.allowance -= size
        self.last = self._read(size)
        return self.last

    def seek(self, position: int) -> None:
        """Skip what nobody has asked for."""
        while self._position < position and self._read(min(CHUNK, position - self._position)):
            pass
        if self._position != position:
            raise self._guard.damage("it ends too early")

    def tell(self) -> int:
        """Bytes since the start."""
        return self._position

    def skim(self) -> bool:
        """Whether there was more to read."""
        return bool(self._read(CHUNK))

    def chunks(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The content of the member whose header was read last."""
        self.seek(member.offset_data)
        left = member.size
        while left > 0:
            chunk = self._read(min(CHUNK, left))
            if not chunk:
                raise self._guard.damage("it ends too early")
            left -= len(chunk)
            yield chunk

    def _read(self, size: int) -> bytes:
        found: bytes = self._file.read(size)
        self._position += len(found)
        self._guard.spend(len(found))
        return found


def _name(name: str) -> str:
    """As Latin-1 where it is not UTF-8: the one old encoding in which every name can be read."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name
