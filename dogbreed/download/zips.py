"""The members of a zip, read so that no header is trusted."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from dogbreed.download.guard import CHUNK, Guard, Member
from dogbreed.download.names import shown

# zipfile unpacks bzip2 and LZMA without a bound on what one read brings; nobody packs photographs with them.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END_64, _LOCATOR_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_MAX_DIRECTORY = 128 << 20  # bytes of names and fields, all read at once


def is_zip(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a zip."""
    return head.startswith((b"PK\3\4", b"PK\5\6"))


def zip_members(file: BinaryIO, guard: Guard) -> tuple[int, Iterator[Member]]:
    """The bytes that a zip says it unpacks to, and its members in the order in which they lie in it.

    Raises:
        DataError: it is encrypted, its members overlap, or it was packed in a way that is not read here.
        LimitError: there are too many members.
    """
    guard.admit(_count(file, guard))  # before zipfile makes an object of each
    archive = zipfile.ZipFile(file)
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    starts = [*(info.header_offset for info in infos[1:]), archive.start_dir]
    for info, next_start in zip(infos, starts, strict=False):
        if info.flag_bits & 0x41:
            raise guard.refusal(f"{shown(info.orig_filename)} is encrypted")
        if info.compress_type not in _METHODS and info.compress_size:
            raise guard.refusal(f"{shown(info.orig_filename)} is packed by method {info.compress_type}, not by deflate")
        if info.header_offset + 30 + info.compress_size > next_start:
            raise guard.refusal(f"{shown(info.orig_filename)} overlaps the file after it")
    listed = sum(info.file_size for info in infos)
    guard.expect(listed)
    return listed, (_member(archive, info, guard) for info in infos)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, guard: Guard) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was not made on Unix
    is_folder = info.orig_filename.endswith("/") or kind == stat.S_IFDIR
    link = "a symbolic link" if kind == stat.S_IFLNK else "neither a file nor a folder"
    refused = "" if is_folder or kind in (0, stat.S_IFREG) else link
    return Member(_name(info), refused, is_folder, _chunks(archive, info, guard))


def _name(info: zipfile.ZipInfo) -> str:
    """The whole name: zipfile ends it at a NUL. Without a flag it is UTF-8, as many write it, or else code page 437."""
    name = info.orig_filename
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, guard: Guard) -> Iterator[bytes]:
    unpacked = 0
    with archive.open(info) as content:
        while chunk := content.read(CHUNK):
            unpacked += len(chunk)
            guard.spend(len(chunk))
            guard.check_ratio(shown(info.filename), unpacked, info.compress_size)
            yield chunk
    if unpacked != info.file_size:
        raise guard.damage(f"{shown(info.filename)} has {unpacked:,} bytes and says {info.file_size:,}")


def _count(file: BinaryIO, guard: Guard) -> int:
    """How many members the directory at the end of a zip lists, whatever it says of their number."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - 65535 - _END.size)
    file.seek(tail_start)
    tail = file.read()
    end = len(tail) - _END.size  # where there is no comment; as zipfile looks for it
    if end < 0 or not (tail.startswith(b"PK\5\6", end) and tail.endswith(b"\0\0")):
        end = tail.rfind(b"PK\5\6")
    if end < 0 or end + _END.size > len(tail):
        raise guard.damage("its end is missing")
    length, at = _END.unpack_from(tail, end)[5], tail_start + end
    if at >= _LOCATOR_64.size + _END_64.size:
        file.seek(at - _LOCATOR_64.size - _END_64.size)
        last = file.read(_LOCATOR_64.size + _END_64.size)
        if last[_END_64.size :].startswith(b"PK\6\7") and last.startswith(b"PK\6\6"):
            length, at = _END_64.unpack_from(last)[8], at - len(last)
    if length > min(at, _MAX_DIRECTORY):
        raise guard.damage(f"it says that its list of files has {length:,} bytes")
    file.seek(at - length)
    directory, position, count = file.read(length), 0, 0
    while directory.startswith(b"PK\1\2", position) and position + 46 <= length:
        position += 46 + sum(struct.unpack_from("<3H", directory, position + 28))
        count += 1
    if position != length:
        raise guard.damage("its list of files cannot be read")
    return count
