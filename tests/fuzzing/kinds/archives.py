"""Damaged and hostile archives: unpacked whole inside one folder, or refused without a trace."""

from __future__ import annotations

import base64
import gzip
import io
import random
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as some

from dogbreed.download.guard import ArchiveLimits
from dogbreed.download.unpacking import unpack_archive
from dogbreed.errors import DogbreedError
from launch.files.fetching import fetch_run
from launch.names import output_uri
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import example
from tests.launch.scripted import Scene, ScriptedBackend, scenes_of

_LIMITS = ArchiveLimits(max_files=200, max_gb=0.01, max_ratio=200)
_MOST_BYTES = 10_000_000

_PARTS = some.sampled_from(
    ["a", "b", "..", ".", "", "/", "dogs", "A", "con", "C:", "\\", "a\0b", "é", "x" * 300, " ", "\n"]
)
_NAMES = some.lists(_PARTS | some.text(max_size=6), min_size=1, max_size=6).map("/".join)
_KINDS = some.sampled_from(["file", "file", "file", "folder", "link", "hard", "device", "bomb"])
_MEMBERS = some.lists(some.tuples(_NAMES, _KINDS, _NAMES, some.binary(max_size=200)), min_size=1, max_size=8)


class Cases:
    """A case is an archive's content."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._work = work

    def make(self, rng: random.Random, number: int) -> Case:
        """Members of any name and kind, or good ones; then, mostly, some of the bytes are changed."""
        good = [(f"dogs/{i // 4}/{i}.txt", "file", "", bytes(i * 20)) for i in range(8)]
        hostile = rng.random() < 0.5
        content, packed = _pack(example(_MEMBERS, number) if hostile else good, rng)
        if not hostile or rng.random() < 0.3:
            content = splice(content, draw_splices(content, rng, _pack(good, rng)[0]))
        return {"content": base64.b64encode(gzip.compress(content, mtime=0) if packed else content).decode()}

    def check(self, case: Case) -> str:
        """All of it is in its folder, as regular files within the limits; or nothing is."""
        content = base64.b64decode(case["content"])
        return max(self._unpack(content), self._fetch(content))  # "right" where either takes it

    def _unpack(self, content: bytes) -> str:
        place = self._fresh("data")
        (place / "archive").write_bytes(content)
        try:
            unpacked = unpack_archive(place / "archive", place / "folder", _LIMITS)
        except DogbreedError:
            _look_round(place, ["archive"])
            return "refused"
        _look_round(place, ["archive", "folder"])
        files = [path for path in (place / "folder").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if len(files) != unpacked.files or size != unpacked.size_bytes or size > _MOST_BYTES:
            wrong("another number of files or bytes", f"{len(files)} {size} {unpacked}")
        return "right"

    def _fetch(self, content: bytes) -> str:
        place = self._fresh("job")
        backend = ScriptedBackend(place / "store")
        *_, last = scenes_of("dogs")
        backend.play("dogs", Scene(last.description, []))
        backend.store.put_bytes(output_uri(last.description, "output.tar.gz"), content)
        try:
            fetch_run(backend, "dogs", place / "run", say=lambda line: None)
        except DogbreedError:
            _look_round(place, ["store"])
            return "refused"
        _look_round(place, ["run", "store"])
        return "right"

    def _fresh(self, name: str) -> Path:
        place = self._work / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place


def _look_round(place: Path, expected: list[str]) -> None:
    """Nothing is there but what belongs there, and no links."""
    found = sorted(path.name for path in place.iterdir())
    if found != expected:
        wrong("something else is left", f"{found} instead of {expected}")
    if any(not (path.is_dir() or path.is_file()) or path.is_symlink() for path in place.rglob("*")):
        wrong("a link or a device", place)


def _pack(members: list[Any], rng: random.Random) -> tuple[bytes, bool]:
    """A zip or a tar of these, and whether it is still to be compressed."""
    if rng.random() < 0.5:
        return _zip(members, rng), False
    mode = rng.choice(("w", "w", "w:gz", "w:bz2", "w:xz"))
    return _tar(members, mode, rng), mode == "w" and rng.random() < 0.7


def _zip(members: list[Any], rng: random.Random) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, kind, target, data in members:
            about = zipfile.ZipInfo(name.replace("\0", "") or "x")
            about.compress_type = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            about.external_attr = {"folder": 0o040755, "link": 0o120777, "device": 0o020644}.get(kind, 0o100644) << 16
            about.filename += "/" if kind == "folder" else ""
            about.flag_bits |= rng.choice((0, 0, 0, 1, 8))
            what = target.encode(errors="replace") if kind == "link" else b"" if kind == "folder" else data
            archive.writestr(about, bytes(2_000_000) if kind == "bomb" else what)
    return content.getvalue()


def _tar(members: list[Any], mode: str, rng: random.Random) -> bytes:
    content = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    types = {"folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    with tarfile.open(fileobj=content, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, kind, target, data in members:
            about = tarfile.TarInfo(name)
            about.type, about.linkname = types.get(kind, tarfile.REGTYPE), target if kind in ("link", "hard") else ""
            what = bytes(2_000_000) if kind == "bomb" else data if kind == "file" else b""
            about.size = len(what)
            archive.addfile(about, io.BytesIO(what))
    return content.getvalue()
