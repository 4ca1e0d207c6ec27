"""A file fetched over HTTP, resumed where it broke off, whatever the server or the line does."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path

from tqdm import tqdm

from dogbreed.download.asking import Broken, ask
from dogbreed.download.guard import CHUNK, DamagedError, LimitError
from dogbreed.download.unpacking import check_room, on_disk
from dogbreed.download.urls import Source
from dogbreed.errors import ConfigError, DataError
from dogbreed.files import write_json

_MAX_WAIT_S = 60.0  # between two tries, also where a server asks for more


@dataclass(frozen=True)
class Patience:
    """How long a server is given.

    Attributes:
        retries: tries after the first that may bring nothing new, in a row.
        backoff_s: the wait before the first of them, doubled for each that follows, up to a minute.
        timeout_s: how long a server may be silent.

    Raises:
        ConfigError: one of them is no number, or too low.
    """

    retries: int
    backoff_s: float
    timeout_s: float

    def __post_init__(self) -> None:
        for name, least in (("retries", 0), ("backoff_s", 0), ("timeout_s", 0.01)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e6:
                raise ConfigError(f"{name}={value!r}", f"a number, {least} or more", f"set {name}=NUMBER")


@dataclass(frozen=True)
class Version:
    """Which version of a file the bytes on the disk belong to.

    Attributes:
        label: where it comes from.
        validator: its ETag or date, by which the server knows it again; "" where it gave none.
        size_bytes: of the whole file; None where the server did not say.
    """

    label: str
    validator: str
    size_bytes: int | None


class Download:
    """The file at a URL on its way to `part`, which a small card beside it describes.

    Args:
        source: the URL.
        part: where the bytes go, in an existing folder.
        size_bytes: that it must have; None where this is not known.
        max_bytes: that it may have.
        patience: with the server.
        say: takes a line for the user.
    """

    def __init__(
        self,
        source: Source,
        part: Path,
        *,
        size_bytes: int | None,
        max_bytes: int,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self.source, self.part, self.card = source, part, part.with_name(f"{part.name}.json")
        self.size_bytes, self.max_bytes, self.patience, self.say = size_bytes, max_bytes, patience, say

    def discard(self) -> None:
        """Forget what has come so far."""
        with on_disk(self.part):
            self.card.unlink(missing_ok=True)
            self.part.unlink(missing_ok=True)

    def fetch(self) -> None:
        """Bring the whole file, or what is missing of it.

        Raises:
            DamagedError: it has another size than it must have.
            DataError: the server does not give it, or not after all retries; what has come stays.
            OutputError: the disk is full; what has come stays.
        """
        failures, farthest = 0, self._have()
        while True:
            try:
                self._try()
                return
            except Broken as broken:
                failures = 1 if self._have() > farthest else failures + 1
                farthest = max(farthest, self._have())
                if failures > self.patience.retries:
                    raise self._given_up(broken) from broken
                backoff_s = self.patience.backoff_s * 2 ** min(failures - 1, 16) * random.uniform(0.5, 1)
                wait_s = min(_MAX_WAIT_S, max(broken.after_s, backoff_s))
                self.say(f"{broken}: trying again in {wait_s:.1f} s ({failures} of {self.patience.retries:g})")
                time.sleep(wait_s)

    def _try(self) -> None:
        have, version = self._have(), self._version()
        if version and version.size_bytes == have:
            self._check_size(have)
            return
        headers = {"Accept-Encoding": "identity"}
        resumable = version is not None and have > 0 and version.validator != ""
        if version and resumable:
            headers |= {"Range": f"bytes={have}-", "If-Range": version.validator}
        with ask(self.source, headers, self.patience.timeout_s) as answer:
            if answer.status == 200:
                total = answer.length
                if have:
                    self.say("the server sends it from the start, as it has another version or cannot resume")
                self._begin(Version(self.source.label, _validator(answer.headers), total))
            elif version and resumable and (whole := _continued(answer, have, version)):
                total = whole.size_bytes
                self.say(f"resuming after {have / 1e6:,.1f} MB")
            else:
                self.discard()
                raise Broken("the server does not go on where it broke off")
            self._receive(answer, total)
        self._end(total)

    def _begin(self, version: Version) -> None:
        """Make way for a version that is sent from its start."""
        if version.size_bytes is not None:
            self._check_size(version.size_bytes)
            check_room(self.part.parent, version.size_bytes, f"{self.source.label} has")
        self.discard()
        write_json(self.card, asdict(version))

    def _receive(self, answer: HTTPResponse, total: int | None) -> None:
        """Append what is sent to the part."""
        name = self.source.label.removesuffix("?...").rpartition("/")[2]
        bar = tqdm(total=total, desc=name, initial=self._have(), unit="B", unit_scale=True, disable=None, leave=False)
        with on_disk(self.part):
            file = open(self.part, "ab", buffering=0)  # noqa: SIM115 - closed below; a broken line is no broken disk
        with bar, file:
            while chunk := answer.read1(CHUNK):
                if file.tell() + len(chunk) > self.max_bytes:
                    raise self._too_large(file.tell() + len(chunk))
                with on_disk(self.part):
                    left = memoryview(chunk)
                    while left:
                        left = left[file.write(left) :]
                bar.update(len(chunk))

    def _end(self, total: int | None) -> None:
        """Compare what came with what was said."""
        have = self._have()
        if total is not None and have < total:
            raise Broken(f"the connection broke after {have / 1e6:,.1f} of {total / 1e6:,.1f} MB")
        self._check_size(have)
        version = self._version()
        if version and total is None:
            write_json(self.card, asdict(version) | {"size_bytes": have})

    def _have(self) -> int:
        """Bytes that have come."""
        return self.part.stat().st_size if self.part.exists() else 0

    def _version(self) -> Version | None:
        """What the card says; None where there is none that belongs to this URL."""
        try:
            version = Version(**json.loads(self.card.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        known = isinstance(version.size_bytes, int) or version.size_bytes is None
        safe = isinstance(version.validator, str) and version.validator == _safe(version.validator)
        return version if version.label == self.source.label and known and safe else None

    def _check_size(self, size_bytes: int) -> None:
        if self.size_bytes not in (None, size_bytes):
            raise DamagedError(
                got=f"{self.source.label} has {size_bytes:,} bytes",
                allowed=f"size_bytes={self.size_bytes}",
                hint="try again later; if the archive is a new one, set size_bytes to its size or leave it out",
            )
        if size_bytes > self.max_bytes:
            raise self._too_large(size_bytes)

    def _too_large(self, size_bytes: int) -> LimitError:
        return LimitError(
            got=f"{self.source.label} has {size_bytes / 1e9:,.2f} GB or more, before it is unpacked",
            allowed=f"limits.max_gb={self.max_bytes / 1e9:g}",
            hint="if you trust it, raise limits.max_gb",
        )

    def _given_up(self, broken: Broken) -> DataError:
        have = self._have()
        kept = f"; {have / 1e6:,.1f} MB have come and are kept" if have else ""
        return DataError(
            got=f"{self.source.label}: {broken}, {self.patience.retries + 1:g} times in a row{kept}",
            allowed="a server that answers and sends all of it",
            hint="check the network, and run the same command again: it goes on where it stopped (or raise retries)",
        )


def _validator(headers: HTTPMessage) -> str:
    """What If-Range may name: a strong ETag, or else the date; "" without."""
    etag = _safe(headers.get("ETag", ""))
    return etag if etag.startswith('"') else _safe(headers.get("Last-Modified", ""))


def _safe(value: str) -> str:
    """A header's value that can be sent back; "" for any other."""
    return value if re.fullmatch('"[!#-~]{0,200}"|[A-Za-z]{3}, [0-9A-Za-z: ]{10,40}', value) else ""


def _continued(answer: HTTPResponse, have: int, version: Version) -> Version | None:
    """The version that an answer goes on with after `have` bytes, with its size; None where it does not go on."""
    found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", answer.headers.get("Content-Range", ""))
    if answer.status != 206 or not found or int(found[1]) != have:
        return None
    rest = None if answer.length is None else have + answer.length
    size = rest if found[2] == "*" else int(found[2])
    same = _validator(answer.headers) in ("", version.validator) and version.size_bytes in (None, size)
    return replace(version, size_bytes=size) if same else None
