"""The exclusion list: files of a data set that are not to be used, and why; an audit writes it, a person may edit it.

A CSV with the columns path and reason. A path is that of a file below the data set's folder, with "/", so that the
list goes wherever the data goes. It can only take files away: nothing that it names is ever opened.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dogbreed.data.folder import Skipped, Split
from dogbreed.errors import ConfigError, DataError
from dogbreed.files import write_bytes

_COLUMNS = ["path", "reason"]
#: Of a list: 10 million files with names of a hundred letters.
_MOST_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Exclusion:
    """A file that is not to be used.

    Attributes:
        path: below the data set's folder, with "/".
        reason: why, for a person.
    """

    path: str
    reason: str


def write_exclusions(file: Path, exclusions: Sequence[Exclusion]) -> None:
    """Write the list, one line a file.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_COLUMNS, *([entry.path, entry.reason] for entry in exclusions)])
    # A name that is not UTF-8 is written as it is on the disk: it has to be found again.
    write_bytes(file, text.getvalue().encode("utf-8", "surrogateescape"))


def read_exclusions(file: str | Path, root: Path) -> dict[str, str]:
    """The reason for each file of the list, by its path below `root`.

    Raises:
        ConfigError: there is no such list, or it is something else.
        DataError: not one of its files is in `root`: it is the list of another data set.
    """
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise ValueError(f"no file, or one of more than {_MOST_BYTES:,} bytes")
        content = Path(file).read_bytes().decode("utf-8-sig", "surrogateescape")
        header, *rows = list(csv.reader(io.StringIO(content, newline=""), strict=True)) or [[]]
        if header != _COLUMNS or not all(len(row) in (0, len(_COLUMNS)) for row in rows):
            raise ValueError(f"its columns are not {' and '.join(_COLUMNS)}")
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            got=f"data.exclude={file}: {reason}",
            allowed="a CSV with the columns path and reason",
            hint=f"python -m dogbreed.data audit {root} writes one; null excludes nothing",
        ) from error
    found = dict(row for row in rows if row)  # an editor may leave empty lines
    if found and not any(_is_below(root, path) for path in found):
        raise DataError(
            got=f"data.exclude={file}: none of its {len(found)} files is in {root}, such as {next(iter(found))}",
            allowed="a list of files of this data set",
            hint="check data.exclude and data.root; where the files are gone, leave data.exclude out",
        )
    return found


def leave_out(split: Split, root: Path, exclusions: Mapping[str, str]) -> Split:
    """`split` without the files of the list, which are told among its skipped ones.

    Raises:
        DataError: no picture would be left.
    """
    reasons = [exclusions.get(place_of(path, root)) for path in split.paths]
    kept = [index for index, reason in enumerate(reasons) if reason is None]
    if not kept:
        raise DataError(
            got=f"data.exclude lists all {len(split)} pictures of {split.name}",
            allowed="a list that leaves some",
            hint="look through the list, or leave data.exclude out",
        )
    told = [
        Skipped(split.name, path, f"excluded: {reason}")
        for path, reason in zip(split.paths, reasons, strict=True)
        if reason is not None
    ]
    return Split(split.name, [split.paths[i] for i in kept], [split.targets[i] for i in kept], [*split.skipped, *told])


def place_of(path: str | Path, root: str | Path) -> str:
    """The path of a file below `root`, with "/".

    >>> place_of("photos/train/001.Akita/a.jpg", "photos")
    'train/001.Akita/a.jpg'
    """
    return os.path.relpath(path, root).replace(os.sep, "/")


def _is_below(root: Path, path: str) -> bool:
    below = PurePosixPath(path)
    if below.is_absolute() or ".." in below.parts or "\0" in path:
        return False
    return os.path.lexists(root / below)
