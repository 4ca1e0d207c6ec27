"""An archive from a URL or a file becomes a data set folder: checked, whole, once.

ROOT                the folder, with .dogbreed.json, which says what it was made from
.ROOT.download/     beside it while it is made: the archive as far as it has come, and what is unpacked of it
.ROOT.lock          held by the process that makes it, and removed last
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from dogbreed.download.card import is_there, read_card, taken, write_card
from dogbreed.download.fetching import Download, Patience
from dogbreed.download.guard import CHUNK, ArchiveLimits, DamagedError, LimitError
from dogbreed.download.unpacking import Unpacked, on_disk, unpack_archive
from dogbreed.download.urls import Source, check_sha256, parse_source
from dogbreed.errors import ConfigError, DataError

_SPLITS = ("train", "valid", "val", "test")  # folders that stay, though they be the only one


def _say(line: str) -> None:
    print(line, flush=True)  # at once, also into a file


def download_dataset(
    url: str,
    root: Path | str,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    limits: ArchiveLimits,
    retries: int,
    backoff_s: float,
    timeout_s: float,
    say: Callable[[str], None] = _say,
) -> Path:
    """The folder of a data set, made from its archive unless it is already there.

    It is there whole or not at all, whatever happens meanwhile. What a break, a kill or a full disk leaves is a
    hidden folder beside it, from which the same call goes on. A single folder around everything is taken off, so that
    train/ stands directly in `root`. The archive itself is not kept.

    Args:
        url: http://, https:// or file://, or the path of a zip or tar. `#sha256=...&size_bytes=...` at its end says
            what the archive must be.
        root: the folder; its parents are made.
        sha256: that the archive must have, 64 hexadecimal digits.
        size_bytes: that the archive must have.
        limits: of what it may hold.
        retries: tries in a row, after the first, that may bring nothing new.
        backoff_s: the wait before the first of them, doubled for each that follows.
        timeout_s: how long a server may be silent.
        say: takes a line for the user.

    Raises:
        ConfigError: an argument cannot be.
        DataError: `root` holds something else, the archive cannot be had, is not what it must be, or must not be
            unpacked; its subclass DamagedError where it was damaged twice, LimitError where it is too large.
        OutputError: the disk is full or cannot be written.
    """
    wanted = _want(parse_source(url), check_sha256(sha256), size_bytes)
    patience = Patience(retries, backoff_s, timeout_s)
    root = Path(root)
    whole = Path(os.path.abspath(root))
    if not whole.name:
        raise ConfigError(f"root={root}, beside which nothing can stand", "a new folder", "set root=FOLDER")
    there = not os.path.exists(_lock_of(whole)) and is_there(whole, wanted)
    if not there:
        with _workshop(whole, lambda: say(f"another process is making {root}: waiting for it")) as work:
            if not is_there(whole, wanted):
                _make(whole, work, wanted, limits, patience, say)
            shutil.rmtree(work, ignore_errors=True)
    card = read_card(whole)
    held = f"{card['files']:,} files, {card['size_bytes'] / 1e6:,.1f} MB, from {card['source']}"
    say(f"{root} is there already: {held}" if there else f"{root}: {held}")
    if wanted.sha256 is None:
        say(f"its archive's SHA-256, to insist on the next time: sha256={card['sha256']}")
    say(f"next: python -m dogbreed.data summary {shlex.quote(str(root))}")
    return root


def _want(source: Source, sha256: str | None, size_bytes: int | None) -> Source:
    """A source with what else is known of it, which goes before what its URL says."""
    if size_bytes is not None and (isinstance(size_bytes, bool) or not isinstance(size_bytes, int) or size_bytes < 1):
        raise ConfigError(f"size_bytes={size_bytes}", "a whole number of bytes, or null", "leave it out")
    return replace(source, sha256=sha256 or source.sha256, size_bytes=size_bytes or source.size_bytes)


def _make(
    root: Path, work: Path, wanted: Source, limits: ArchiveLimits, patience: Patience, say: Callable[[str], None]
) -> None:
    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a run that was killed
    if wanted.path is not None:
        sha256 = _check_archive(wanted.path, wanted)
        found = unpack_archive(wanted.path, unpacked, limits, wanted.label)
    else:
        part = work / "archive.part"
        download = Download(
            wanted, part, size_bytes=wanted.size_bytes, max_bytes=limits.max_bytes, patience=patience, say=say
        )
        say(f"downloading {wanted.label}")
        try:
            sha256, found = _fetch(download, unpacked, limits)
        except DamagedError as damaged:
            say(f"{damaged.got}: it is thrown away and fetched once more")
            sha256, found = _fetch(download, unpacked, limits)
    top = _top(unpacked)
    write_card(top, wanted, sha256, found)
    with on_disk(root):
        os.rename(top, root)  # onto nothing, or an empty folder: the system refuses all else


def _fetch(download: Download, unpacked: Path, limits: ArchiveLimits) -> tuple[str, Unpacked]:
    """The archive's SHA-256, and what was unpacked of it; only what may still be used is kept on the disk."""
    try:
        download.fetch()
        sha256 = _check_archive(download.part, download.source)
    except DamagedError:
        download.discard()
        raise
    try:
        return sha256, unpack_archive(download.part, unpacked, limits, download.source.label)
    except LimitError:
        raise
    except DataError:
        download.discard()
        raise


def _check_archive(archive: Path, wanted: Source) -> str:
    """The SHA-256 of an archive that is as it must be.

    Raises:
        DataError: there is none that can be read.
        DamagedError: it has another size or another SHA-256.
    """
    try:
        if not archive.is_file():
            raise DataError(f"there is no file {wanted.label}", "a zip or a tar", "check url")
        size, digest = archive.stat().st_size, hashlib.sha256()
        bar = tqdm(total=size, desc="checking", unit="B", unit_scale=True, disable=None, leave=False, delay=2)
        with bar, open(archive, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                bar.update(len(chunk))
    except OSError as error:
        raise DataError(f"{wanted.label} cannot be read: {error.strerror}", "a zip or a tar", "check url") from error
    found = digest.hexdigest()
    for name, got, must in (("size_bytes", size, wanted.size_bytes), ("sha256", found, wanted.sha256)):
        if must not in (None, got):
            raise DamagedError(
                got=f"{wanted.label} has {name}={got}",
                allowed=f"{name}={must}",
                hint=f"get it again; if the archive is a new one and you trust it, set {name} to what it has",
            )
    return found


def _top(folder: Path) -> Path:
    """The folder that holds splits or classes: what archives wrap around it is passed by."""
    while True:
        entries = list(os.scandir(folder))
        only = entries[0]
        if len(entries) > 1 or not only.is_dir() or only.name in _SPLITS:
            return folder
        if not any(entry.is_dir() for entry in os.scandir(only)):  # a class
            return folder
        folder = Path(only.path)


def _lock_of(root: Path) -> Path:
    return root.with_name(f".{root.name}.lock")


@contextmanager
def _workshop(root: Path, on_wait: Callable[[], None]) -> Iterator[Path]:
    """A hidden folder beside `root` for one process at a time; what is left in it waits for the next.

    Raises:
        OutputError: it cannot be written.
        DataError: it is there and belongs to somebody else.
    """
    work = root.with_name(f".{root.name}.download")
    with _locked(_lock_of(root), on_wait) as lock:
        with on_disk(work):
            work.mkdir(mode=0o700, exist_ok=True)
            if work.is_symlink() or work.stat().st_uid != os.geteuid():
                raise taken(f"{work} is somebody else's")
        try:
            yield work
        finally:
            with suppress(OSError):
                work.rmdir()  # unless an archive waits in it
            if not work.exists():
                lock.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[Path]:
    """Be the only process that holds this file, which is made; it ends with the process, also where that is killed."""
    while True:
        with on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = open(path, "a")  # noqa: SIM115 - kept open as long as it is held
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                break
        lock.close()  # it was removed while we waited
    with lock:
        yield path
