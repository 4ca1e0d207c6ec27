"""The page of an audit: what was found, with its pictures, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dogbreed.audit.audit import Audit
from dogbreed.audit.duplicates import Pair
from dogbreed.audit.findings import KINDS, Finding, Kind
from dogbreed.audit.looking import Look
from dogbreed.errors import ImageError
from dogbreed.reports.audit_contents import (
    PAIR_KINDS,
    Twins,
    changed_classes,
    count_kinds,
    count_severities,
    next_commands,
    rank_pairs,
    total,
)
from dogbreed.reports.audit_verdict import judge_audit
from dogbreed.reports.names import legible
from dogbreed.reports.page import write_page
from dogbreed.reports.pictures import thumbnail
from dogbreed.reports.words import count

# What the page shows of a large audit; audit.json has the rest. It stays below 5 MB.
_PAIRS, _PAIRS_A_KIND = 200, 20  # in all, and of each kind however many worse ones there are
_FILES = 50  # of a kind
_PATHS = 5  # of a finding
_FILE_THUMBNAILS = 300
_CLASSES = 100
_THUMBNAIL_BYTES = 2_700_000  # before base64, which makes 4 bytes of 3

_PAIR_SIDE, _PAIR_BYTES = 200, 6_500
_FILE_SIDE, _FILE_BYTES = 140, 3_500

_MOST_BYTES = 50_000_000  # of a file that training does not read, to see whether it is a picture
_LETTERS = 240  # of a path or a detail, which may be as long as a file system allows


@dataclass(frozen=True)
class Shown:
    """A file as the page shows it.

    Attributes:
        path: below the data set's folder, on one line.
        uri: of its thumbnail; None where it cannot be decoded, is none, or no room is left.
        look: what is known of it; None for what is no picture.
        reason: why it is left out; None where it stays.
    """

    path: str
    uri: str | None
    look: Look | None
    reason: str | None

    @property
    def about(self) -> str:
        """Its format and sizes; nothing of what is no picture."""
        if self.look is None:
            return ""
        parts = [
            self.look.format,
            f"{self.look.width:,} x {self.look.height:,}",
            f"{self.look.size_bytes / 1000:,.0f}\N{NO-BREAK SPACE}kB",
        ]
        return " · ".join(filter(None, parts))


@dataclass(frozen=True)
class PairGroup:
    """The pairs of a kind that the page shows, each with its two files, and how many there are."""

    kind: Kind
    number: int
    shown: Sequence[tuple[Pair, Shown, Shown]]


@dataclass(frozen=True)
class FileGroup:
    """The findings of a kind that the page shows, as (detail, files), and how many there are."""

    kind: Kind
    number: int
    shown: Sequence[tuple[str, Sequence[Shown]]]

    @property
    def pictured(self) -> list[tuple[str, Shown]]:
        """The files with a thumbnail."""
        return [(detail, file) for detail, files in self.shown for file in files if file.uri]

    @property
    def listed(self) -> list[tuple[str, list[Shown]]]:
        """The others; a finding may be about no file at all."""
        found = [(detail, files, [file for file in files if not file.uri]) for detail, files in self.shown]
        return [(detail, rest) for detail, files, rest in found if rest or not files]


def write_audit_page(path: Path, audit: Audit) -> Path:
    """Write the page of `audit` to `path`, beside which its exclusion list stands.

    Raises:
        OutputError: it cannot be written.
    """
    twins, numbers = rank_pairs(audit), dict(count_kinds(audit))
    gallery = _Gallery(audit)
    severities = count_severities(audit)
    problems = severities["error"] + severities["warning"]
    content = {
        "title": f"{count(problems, 'problem') if problems else 'No problem'} in {legible(audit.root.resolve().name)}",
        "audit": audit,
        "root": legible(str(audit.root), _LETTERS),
        "tiles": list(_tiles(audit, severities)),
        "verdict": judge_audit(audit, twins, path.parent),
        "kinds": list(numbers.items()),
        "splits": [(name, total(before), total(audit.after[name])) for name, before in audit.before.items()],
        "classes": changed_classes(audit),
        "most_classes": _CLASSES,
        "commands": next_commands(audit, path.parent),
        "pairs": _pairs(gallery, twins),
        "files": _files(gallery, audit, numbers),
    }
    return write_page(path, "audit.html.j2", **content)


class _Gallery:
    """Thumbnails of the audited files as data URIs, until their bytes are used up."""

    def __init__(self, audit: Audit) -> None:
        self._root = audit.root
        self._looks = {look.path: look for look in audit.looks}
        self._reasons = {exclusion.path: exclusion.reason for exclusion in audit.exclusions}
        self._left = _THUMBNAIL_BYTES

    def show(self, path: str, side: int, most_bytes: int) -> Shown:
        """A file; with a thumbnail if it is a picture that can be decoded, `side` is not 0 and there is room."""
        look = self._looks.get(path)
        worth_it = look.problem is None if look is not None else _is_small_file(self._root / path)
        uri = self._uri(path, side, most_bytes) if side and worth_it and self._left else None
        return Shown(legible(path, _LETTERS), uri, look, self._reasons.get(path))

    def _uri(self, path: str, side: int, most_bytes: int) -> str | None:
        try:
            content = thumbnail(str(self._root / path), side, most_bytes)
        except ImageError:  # no picture, or changed since it was looked at
            return None
        if len(content) > self._left:
            self._left = 0
            return None
        self._left -= len(content)
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _is_small_file(path: Path) -> bool:
    """Whether it is worth trying to decode a file that was not looked at: no link, no pipe, nothing enormous."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):  # ValueError: what no name of a file can hold
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES


def _tiles(audit: Audit, severities: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    yield "pictures looked at", len(audit.looks)
    for severity, number in severities.items():
        yield severity if number == 1 else f"{severity}s", number
    yield "to leave out", len(audit.exclusions)


def _pairs(gallery: _Gallery, twins: Sequence[Twins]) -> list[PairGroup]:
    found = Counter(one.kind for one in twins)
    shown: dict[str, list[tuple[Pair, Shown, Shown]]] = {kind: [] for kind in PAIR_KINDS if found[kind]}
    most = _shares([found[kind] for kind in shown], _PAIRS, _PAIRS_A_KIND)
    for kind, share in zip(shown, most, strict=True):
        some = [one for one in twins if one.kind == kind][:share]
        for one in tqdm(some, f"drawing {kind}", unit="pair", disable=None, delay=2):
            first, second = (gallery.show(look.path, _PAIR_SIDE, _PAIR_BYTES) for look in (one.first, one.second))
            shown[kind].append((one.pair, first, second))
    return [PairGroup(KINDS[kind], found[kind], pairs) for kind, pairs in shown.items()]


def _shares(numbers: Sequence[int], whole: int, least: int) -> list[int]:
    """How many of each to show, of `whole`: as many as there are of the first, if `least` of each other are left.

    >>> _shares([500, 3, 40], 200, 20)
    [177, 3, 20]
    """
    shares: list[int] = []
    for place, number in enumerate(numbers):
        kept = sum(min(least, other) for other in numbers[place + 1 :])
        shares.append(min(number, whole - sum(shares) - kept))
    return shares


def _files(gallery: _Gallery, audit: Audit, numbers: Mapping[Kind, int]) -> list[FileGroup]:
    found: dict[str, list[Finding]] = {kind.name: [] for kind in numbers if kind.name not in PAIR_KINDS}
    for finding in audit.findings:
        if finding.kind in found and len(found[finding.kind]) < _FILES:
            found[finding.kind].append(finding)
    thumbnails = _FILE_THUMBNAILS // max(1, len(found))
    groups = []
    for name, findings in tqdm(found.items(), "drawing files", unit="kind", disable=None, delay=2):
        shown = [
            (
                legible(finding.detail, _LETTERS),
                [
                    gallery.show(path, _FILE_SIDE if place < thumbnails else 0, _FILE_BYTES)
                    for path in finding.paths[:_PATHS]
                ],
            )
            for place, finding in enumerate(findings)
        ]
        groups.append(FileGroup(KINDS[name], numbers[KINDS[name]], shown))
    return groups
