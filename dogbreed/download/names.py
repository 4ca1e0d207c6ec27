"""Names in an archive: each becomes a path that stays below one folder, on every file system, or is refused."""

from __future__ import annotations

import re
import unicodedata

from dogbreed.errors import legible

CARD = ".dogbreed.json"  # what a download writes into the folder that it has unpacked; never taken from an archive
_MAX_PART, _MAX_PATH, _MAX_DEPTH = 255, 1024, 32  # bytes, bytes, folders: within what common file systems take


class NameRefused(Exception):
    """Why a name is not unpacked."""


class Names:
    """The paths that an archive has named so far."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}  # folded path -> (path, whether it is a file)

    def place(self, name: str, is_folder: bool) -> str:
        """The path below the folder, "/" between its parts, "" for the folder itself.

        Raises:
            NameRefused: it leads elsewhere, is too long, or is taken, also where case is not told apart.
        """
        parts = parts_of(name)
        if not parts and not is_folder:
            raise NameRefused(f"{shown(name)} names no file")
        for depth in range(1, len(parts) + 1):
            path, is_file = "/".join(parts[:depth]), depth == len(parts) and not is_folder
            folded = _fold(path)
            known = self._known.get(folded)
            if known is None:
                self._known[folded] = (path, is_file)
            elif known[0] != path:
                raise NameRefused(f"{shown(path)} and {shown(known[0])} are one name where case is not told apart")
            elif known[1] != is_file:
                raise NameRefused(f"{shown(path)} is both a file and a folder")
            elif is_file:
                raise NameRefused(f"{shown(path)} is there twice")
        return "/".join(parts)


def parts_of(name: str) -> list[str]:
    r"""The parts of a name, those that say nothing ("." and empty ones) left out.

    >>> parts_of("./train/001.Affenpinscher/a.jpg")
    ['train', '001.Affenpinscher', 'a.jpg']
    >>> parts_of("train/../../a.jpg")
    Traceback (most recent call last):
    dogbreed.download.names.NameRefused: train/../../a.jpg leads out of its folder

    Raises:
        NameRefused: it does not lead to a file below a folder, or could be read so elsewhere.
    """
    if not name.isprintable() and any(unicodedata.category(character) == "Cc" for character in name):
        raise NameRefused(f"{shown(name)} has a control character in its name")
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        raise NameRefused(f"{shown(name)} is an absolute path")
    if ".." in re.split(r"[/\\]", name):
        raise NameRefused(f"{shown(name)} leads out of its folder")
    if "\\" in name:
        raise NameRefused(f"{shown(name)} has a backslash in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > _MAX_DEPTH:
        raise NameRefused(f"{shown(name)} is {len(parts)} folders deep, more than {_MAX_DEPTH}")
    if len(name.encode()) > _MAX_PATH or any(len(part.encode()) > _MAX_PART for part in parts):
        raise NameRefused(f"{shown(name)} is a name of more than {_MAX_PART} bytes, or {_MAX_PATH} with its folders")
    return parts


def is_left_out(name: str) -> bool:
    """Whether a file is a system's note to itself: what macOS adds to an archive, or a card of ours.

    >>> [is_left_out(name) for name in ("__MACOSX/train/a.jpg", "train/._a.jpg", "train/.DS_Store", "train/a.jpg")]
    [True, True, True, False]
    """
    parts = name.split("/")
    last = next((part for part in reversed(parts) if part), "")
    return "__MACOSX" in parts or CARD in parts or last.startswith("._") or last == ".DS_Store"


def shown(name: str) -> str:
    r"""A name for a message: short, and without what a terminal would obey.

    >>> print(shown("a\x1b[2Jb"), shown(""))
    a\x1b[2Jb ''
    """
    return legible(name if len(name) <= 100 else f"{name[:60]}...{name[-30:]}") or "''"


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
