"""Every file below the splits of a data set: what training reads, and what else is there."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed.audit.findings import Finding
from dogbreed.audit.sniffing import sniff_file
from dogbreed.data.exclusions import place_of
from dogbreed.data.folder import SPLIT_FOLDERS, find_split, leads_back
from dogbreed.data.images import EXTENSIONS, FORMATS
from dogbreed.errors import DataError

#: Left by Windows; what macOS and editors leave begins with a dot.
_JUNK = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A picture that training reads, or tries to.

    Attributes:
        path: below the data set's folder, with "/".
        split: "train", "val" or "test"; "" in a folder without splits.
        class_name: the class folder that it is in, however deep.
    """

    path: str
    split: str
    class_name: str


@dataclass
class Tree:
    """What is below the splits of a data set.

    Attributes:
        root: the data set's folder.
        folders: of each split that is there, its folder; two for val where there are valid/ and val/.
        classes: of each of these folders its class folders, sorted.
        files: the pictures that training reads, in its order.
        findings: what was found beside them.
        excluded: files, below `root`, that are passed over.
    """

    root: Path
    folders: dict[str, list[str]]
    classes: dict[str, list[str]] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    excluded: Collection[str] = frozenset()

    def find(self, kind: str, path: str, detail: str) -> None:
        """Note a fault of one file or folder."""
        self.findings.append(Finding(kind, (path,), detail))


def walk_splits(root: Path, excluded: Collection[str] = frozenset()) -> Tree:
    """All that is below the split folders of `root`, whatever it is; nothing in there raises.

    What is told to be read is what `scan_split` reads.

    Args:
        root: a folder with train/, valid/ or val/, and test/, or some of them.
        excluded: files below `root` to pass over.

    Raises:
        DataError: `root` is no folder, or has none of the splits.
    """
    find_split(root, "train")  # raises for what is no folder at all
    there = {split: [name for name in names if (root / name).is_dir()] for split, names in SPLIT_FOLDERS.items()}
    tree = Tree(root, {split: names for split, names in there.items() if names}, excluded=excluded)
    if not tree.folders:
        raise _no_split(root)
    for split, names in tree.folders.items():
        for name in names:
            _note_folder(tree, str(root / name), name)
            _walk_split(tree, split, name)
    return tree


def walk_classes(source: Path) -> Tree:
    """All that is in the class folders directly below `source`, as one split without a name.

    Raises:
        DataError: `source` is no folder.
    """
    find_split(source, "train")
    tree = Tree(source, {"": ["."]})
    _walk_split(tree, "", ".")
    return tree


def _walk_split(tree: Tree, split: str, folder: str) -> None:
    tree.classes[folder] = []
    top = os.path.normpath(tree.root / folder)
    try:
        names = sorted(os.listdir(top))
    except OSError as error:
        return tree.find("closed", folder, _reason(error))
    for name in names:
        path, place = os.path.join(top, name), name if folder == "." else f"{folder}/{name}"
        if not os.path.isdir(path):
            _walk_stray(tree, path, place, name)
        elif name.startswith("."):
            tree.find("hidden", place, "a folder")
        else:
            tree.classes[folder].append(name)
            _note_folder(tree, path, place)
            _walk_class(tree, split, name, path)
    return None


def _walk_class(tree: Tree, split: str, class_name: str, top: str) -> None:
    def closed(error: OSError) -> None:
        tree.find("closed", place_of(error.filename, tree.root), _reason(error))

    for parent, folders, names in os.walk(top, followlinks=True, onerror=closed):  # as `scan_split` does
        below = place_of(parent, tree.root)
        folders[:] = [name for name in sorted(folders) if _enters(tree, parent, f"{below}/{name}", name)]
        for name in sorted(names):
            path, place = os.path.join(parent, name), f"{below}/{name}"
            if place in tree.excluded:
                continue
            kind, detail = _judge(path, name)
            if kind and not (kind == "broken_link" and _is_picture(name)):  # of these the decoder says so
                tree.find(kind, place, detail)
            else:
                tree.files.append(File(place, split, class_name))
                _note_link(tree, path, place)
                _note_name(tree, place)


def _enters(tree: Tree, parent: str, place: str, name: str) -> bool:
    path = os.path.join(parent, name)
    if name.startswith("."):
        tree.find("hidden", place, "a folder")
        return False
    if leads_back(path):
        tree.find("link_loop", place, f"leads to {os.readlink(path)}")
        return False
    _note_folder(tree, path, place)
    return True


def _walk_stray(tree: Tree, path: str, place: str, name: str) -> None:
    if place not in tree.excluded:
        kind, detail = _judge(path, name)
        if kind in ("", "unknown_extension"):
            kind, detail = "stray", "lies beside the class folders"
        tree.find(kind, place, detail)


def _judge(path: str, name: str) -> tuple[str, str]:
    """The kind of a file that training does not read, and what it is; two empty strings for one that it reads."""
    picture = _is_picture(name)
    if name.startswith(".") or name.lower() in _JUNK:
        return "hidden", "a file"
    if os.path.islink(path) and not os.path.exists(path):
        return "broken_link", f"leads to {os.readlink(path)}"
    try:
        status = os.stat(path)
    except OSError as error:  # gone meanwhile, or closed: of a picture the decoder says so
        return ("", "") if picture else ("not_a_picture", _reason(error))
    if not stat.S_ISREG(status.st_mode):  # never opened: reading a pipe waits for ever
        return "empty" if picture else "not_a_picture", "a pipe, a socket or a device"
    if status.st_size == 0:
        return "empty" if picture else "not_a_picture", "0 bytes"
    if picture:
        return "", ""
    found = sniff_file(path)
    if found in FORMATS:
        return "unknown_extension", f"a {found} picture"
    if found:
        return "unknown_extension", f"a picture in {found}, which is not decoded here: save it as JPEG"
    return "not_a_picture", f"{status.st_size:,} bytes"


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _note_folder(tree: Tree, path: str, place: str) -> None:
    _note_link(tree, path, place)
    _note_name(tree, place)


def _note_link(tree: Tree, path: str, place: str) -> None:
    if not os.path.islink(path) or not os.path.exists(path):
        return
    root, target = os.path.realpath(tree.root), os.path.realpath(path)
    if os.path.commonpath([root, target]) != root:
        tree.find("outside_link", place, f"leads to {os.readlink(path)}")


def _note_name(tree: Tree, place: str) -> None:
    name = place.rpartition("/")[2]
    if any("\udc80" <= letter <= "\udcff" for letter in name):  # how Python spells a byte that is not UTF-8
        tree.find("odd_name", place, "is not UTF-8")
    elif not name.isprintable():
        tree.find("odd_name", place, "has characters that cannot be seen")
    elif _NOT_ON_WINDOWS.search(name):
        tree.find("odd_name", place, "cannot be stored on Windows")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _no_split(root: Path) -> DataError:
    names = sorted(name for name in os.listdir(root) if not name.startswith("."))
    pictures = (path for path in root.glob("*/*") if path.suffix.lower() in EXTENSIONS)
    flat = next(pictures, None) is not None
    return DataError(
        got=f"no train/, valid/, val/ or test/ in {root}, which holds {', '.join(names[:5]) or 'nothing'}"
        + (", ..." if len(names) > 5 else ""),
        allowed="a folder with train/, valid/ (or val/) and test/, each with one folder per class",
        hint=f"{shlex.join(['python', '-m', 'dogbreed.data', 'split', str(root), f'{root}-split'])} makes one of it"
        if flat
        else "check data.root",
    )
