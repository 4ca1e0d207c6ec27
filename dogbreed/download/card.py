"""What a downloaded folder says of itself: where it is from, and what it holds as long as it is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dogbreed.download.names import CARD, is_left_out
from dogbreed.download.unpacking import Unpacked
from dogbreed.download.urls import Source
from dogbreed.errors import DataError
from dogbreed.files import write_json

_FORMAT = 1


def write_card(root: Path, wanted: Source, sha256: str, found: Unpacked) -> None:
    """Write the card of what was unpacked into `root`, before it gets its name."""
    write_json(root / CARD, {"format": _FORMAT, "source": _origin(wanted), "sha256": sha256, **found._asdict()})


def is_there(root: Path, wanted: Source) -> bool:
    """Whether `root` is the whole data set that is asked for; False where there is nothing.

    Raises:
        DataError: it is something else.
    """
    if not os.path.lexists(root) or (root.is_dir() and not root.is_symlink() and not any(root.iterdir())):
        return False
    card = read_card(root)
    if card["source"] != _origin(wanted) and card["sha256"] != wanted.sha256:
        raise taken(f"{root} was made from {card['source']}, not from {wanted.label}")
    if wanted.sha256 not in (None, card["sha256"]):
        raise taken(f"{root} was made from an archive with sha256={card['sha256']}, not {wanted.sha256}")
    found = [
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(root)
        for name in names
        if not is_left_out(name)
    ]
    if (len(found), sum(found)) != (card["files"], card["size_bytes"]):
        was = f"{card['files']:,} files of {card['size_bytes']:,} bytes"
        raise taken(f"{root} has {len(found):,} files of {sum(found):,} bytes, and had {was} when it was unpacked")
    return True


def read_card(root: Path) -> dict[str, Any]:
    """The source, sha256, files and size_bytes of a downloaded folder.

    Raises:
        DataError: it is none.
    """
    try:
        card = json.loads((root / CARD).read_text(encoding="utf-8"))
        if card["format"] == _FORMAT and isinstance(card["files"], int) and isinstance(card["size_bytes"], int):
            return {name: card[name] for name in ("source", "sha256", "files", "size_bytes")}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise taken(f"{root} is there already, and not from a download")


def taken(got: str) -> DataError:
    """The error for a place that holds something else."""
    return DataError(
        got=f"{got}; nothing was changed",
        allowed="a new folder, or the one that this archive was unpacked into, as it was",
        hint="choose another root, or move this one away; to train on it as it is, no download is needed",
    )


def _origin(wanted: Source) -> str:
    return wanted.label if wanted.path is None else os.path.abspath(wanted.path)
