"""A data set directory: its splits, its class names in one fixed order, what is skipped and why."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed.data.images import EXTENSIONS
from dogbreed.errors import ConfigError, DataError, did_you_mean

SPLITS = ("train", "val", "test")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SPLIT_FOLDERS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not used, and why."""

    split: str
    path: str
    reason: str


@dataclass(frozen=True)
class Split:
    """The pictures of one split, in the order of their class and path.

    Attributes:
        name: "train", "val" or "test".
        paths: the files, length N.
        targets: the class index of each file, length N.
        skipped: what was found beside them.
    """

    name: str
    paths: list[str]
    targets: list[int]
    skipped: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self, num_classes: int) -> list[int]:
        """Pictures of each class, length `num_classes`."""
        found = Counter(self.targets)
        return [found[index] for index in range(num_classes)]


def find_split(root: Path, split: str) -> Path | None:
    """The folder of a split under `root`, or None where there is none.

    Raises:
        DataError: `root` is no directory, or holds the split twice (valid and val).
    """
    if not root.is_dir():
        raise DataError(
            got=f"no data set at {root}",
            allowed="a folder with train/, valid/ (or val/) and test/, each with one folder per class",
            hint="set data.root=FOLDER, or try the drawn sample: python -m dogbreed.train experiment=quickstart",
        )
    found = [root / name for name in SPLIT_FOLDERS[split] if (root / name).is_dir()]
    if len(found) > 1:
        raise DataError(f"both {found[0]} and {found[1]}", "one of them", "merge them or remove one")
    return found[0] if found else None


def require_split(root: Path, split: str) -> Path:
    """The folder of a split under `root`.

    Raises:
        DataError: it is not there.
    """
    folder = find_split(root, split)
    if folder is None:
        names = " or ".join(f"{name}/" for name in SPLIT_FOLDERS[split])
        entries = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
        listed = ", ".join(entries[:5]) + (", ..." if len(entries) > 5 else "") if entries else "nothing"
        hint = (
            f"put one folder per class under {root / 'train'}"
            if split == "train"
            else f"add it, or split it off train: data.{split}_fraction=0.1"
        )
        raise DataError(f"no {names} in {root}, which holds {listed}", f"{names} with one folder per class", hint)
    return folder


def list_class_names(folder: Path) -> tuple[str, ...]:
    """The class names of a split, sorted: the one order that everything trained is saved with.

    Raises:
        DataError: there are fewer than two classes, or a name would end lines or steer terminals.
    """
    names = tuple(sorted(entry.name for entry in os.scandir(folder) if _is_class(entry)))
    if odd := [name for name in names if _CONTROL.search(name)]:
        raise DataError(
            got=f"the class {odd[0]!r} in {folder}",
            allowed="names without line ends and other control characters: they stand in logs and tables",
            hint="rename the folder",
        )
    if len(names) < 2:
        raise DataError(
            got=f"{len(names)} class{'' if len(names) == 1 else 'es'} in {folder}" + (f": {names[0]}" if names else ""),
            allowed="at least two folders, one per class",
            hint=f"put the pictures of each class into a folder of its own under {folder}",
        )
    return names


def scan_split(name: str, folder: Path, class_names: Sequence[str]) -> Split:
    """The pictures of a split, matched to `class_names` by folder name.

    Hidden folders and files, files that are no pictures, and empty files are skipped and listed. A class
    without a folder keeps its index and has no pictures.

    Raises:
        DataError: a folder is none of `class_names`, or there is no picture at all.
    """
    index_of = {class_name: index for index, class_name in enumerate(class_names)}
    split = Split(name, [], [])
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not _is_class(entry):
            reason = "hidden" if entry.name.startswith(".") else "not in a class folder"
            split.skipped.append(Skipped(name, entry.path, reason))
        elif entry.name not in index_of:
            raise DataError(
                got=f"{entry.path}: {entry.name} is none of the {len(class_names)} classes"
                + did_you_mean(entry.name, class_names),
                allowed="the class folders of train (or of the artifact)",
                hint="rename or remove the folder",
            )
        else:
            _scan_class(split, entry.path, index_of[entry.name])
    if not split.paths:
        raise DataError(
            got=f"no picture in {folder}" + (f" ({describe_skipped(split.skipped)})" if split.skipped else ""),
            allowed=f"one folder per class, with pictures ({', '.join(sorted(EXTENSIONS))})",
            hint="check data.root; the data set may be half unpacked",
        )
    return split


def split_off(source: Split, name: str, fraction: float, seed: int, whole: int | None = None) -> tuple[Split, Split]:
    """`source` without a share of each class, and that share as the split `name`.

    Which pictures go depends on the seed and on each file's own class and name, so that a picture that
    is added later moves as few others as possible.

    Args:
        source: what to take from.
        name: of the new split.
        fraction: the share to take, in (0, 1).
        seed: of the choice.
        whole: how many pictures the fraction is a share of; None for those of `source`.

    Raises:
        DataError: `fraction` is not in (0, 1), or a class would lose all its pictures.
    """
    if not 0 < fraction < 1:
        raise DataError(f"a {name} fraction of {fraction}", "between 0 and 1", f"set data.{name}_fraction=0.1")
    members: dict[int, list[str]] = {}
    for path, target in zip(source.paths, source.targets, strict=True):
        members.setdefault(target, []).append(path)
    share = fraction * (whole or len(source)) / max(1, len(source))
    taken: set[str] = set()
    for paths in members.values():
        count = max(1, round(len(paths) * share))
        if count >= len(paths):
            raise DataError(
                got=f"{len(paths)} picture(s) in {Path(paths[0]).parent}, too few to split off {name}",
                allowed="at least two pictures a class, and some left over for train",
                hint=f"add pictures, or lower data.{name}_fraction (now {fraction})",
            )
        taken.update(sorted(paths, key=lambda path: _rank(seed, name, path))[:count])
    rest = [(p, t) for p, t in zip(source.paths, source.targets, strict=True) if p not in taken]
    part = [(p, t) for p, t in zip(source.paths, source.targets, strict=True) if p in taken]
    return (
        Split(source.name, [p for p, _ in rest], [t for _, t in rest], source.skipped),
        Split(name, [p for p, _ in part], [t for _, t in part]),
    )


def leads_back(path: str) -> bool:
    """Whether a folder is a link to one of the folders that it stands in: to follow it would never end."""
    if not os.path.islink(path):
        return False
    target, standing = Path(os.path.realpath(path)), [Path(os.path.realpath(above)) for above in Path(path).parents]
    return any(target == above or target in above.parents for above in standing)


def describe_skipped(skipped: Iterable[Skipped]) -> str:
    """A count of each reason.

    >>> describe_skipped([Skipped("train", "a.txt", "not a picture"), Skipped("train", "b.txt", "not a picture")])
    'skipped: 2 not a picture'
    """
    reasons = Counter(entry.reason.split(":")[0] for entry in skipped)
    return "skipped: " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))


def _scan_class(split: Split, folder: str, target: int) -> None:
    for parent, folders, files in os.walk(folder, followlinks=True):  # as torchvision's ImageFolder reads it
        for hidden in [name for name in folders if name.startswith(".")]:
            split.skipped.append(Skipped(split.name, os.path.join(parent, hidden), "hidden"))
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not leads_back(os.path.join(parent, n)))
        for name in sorted(files):
            path = os.path.join(parent, name)
            reason = _why_skipped(path, name)
            if reason:
                split.skipped.append(Skipped(split.name, path, reason))
            else:
                split.paths.append(path)
                split.targets.append(target)


def _why_skipped(path: str, name: str) -> str | None:
    if name.startswith("."):
        return "hidden"
    if os.path.splitext(name)[1].lower() not in EXTENSIONS:
        return "not a picture"
    # A dangling link is left to the decoder, where data.on_error decides what becomes of it.
    return "empty" if os.path.exists(path) and os.path.getsize(path) == 0 else None


def _is_class(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry) and not entry.name.startswith(".")  # entry.is_dir() raises at a link to itself


def _rank(seed: int, name: str, path: str) -> bytes:
    class_and_file = "/".join(Path(path).parts[-2:])
    return hashlib.sha256(f"{seed}/{name}/{class_and_file}".encode("utf-8", "surrogateescape")).digest()


def find_pictures(paths: Iterable[str]) -> Iterator[str]:
    """The files named, and the pictures in the folders named, hidden ones left out, in sorted order.

    Raises:
        ConfigError: a folder holds no picture.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        found = [
            os.path.join(parent, name)
            for parent, _, files in sorted(os.walk(path))
            if not any(part.startswith(".") for part in os.path.relpath(parent, path).split(os.sep) if part != ".")
            for name in sorted(files)
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
        if not found:
            raise ConfigError(
                f"no picture in {path}", f"{', '.join(sorted(EXTENSIONS))}", "name other files or folders"
            )
        yield from found
