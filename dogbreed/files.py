"""Files and folders that are whole or not there: written under another name, then renamed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dogbreed.errors import OutputError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.old)?")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads to a place in a folder, also where links on the way are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))  # links in a loop are no error here


def from_here(path: str | Path) -> Path:
    """The path as it is typed in the working directory, where it leads to a place below that; else in full.

    >>> from_here(Path.cwd() / "runs" / "first"), from_here("/elsewhere")
    (PosixPath('runs/first'), PosixPath('/elsewhere'))
    """
    full, here = Path(os.path.abspath(path)), Path.cwd()
    return full.relative_to(here) if here in full.parents else full


_ELSEWHERE = "free some space or choose another place (hydra.run.dir=FOLDER for a run)"


@contextmanager
def writing(path: Path, hint: str = _ELSEWHERE) -> Iterator[None]:
    """Turn what the system says about a full disk or a read-only folder into an error that names `path`.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            got=f"{path} cannot be written: {error.strerror or error}",
            allowed="a folder that can be written, with room on its disk",
            hint=hint,
        ) from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for a file that takes its place when the block ends well, and is gone otherwise.

    Whoever writes the file syncs it: see `write_synced`.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = _beside(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_synced(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is on its disk when this returns; a kill can leave half of it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file, or leave the one that was there, whatever happens meanwhile.

    Raises:
        OutputError: it cannot be written.
    """
    with new_file(path) as temporary:
        write_synced(temporary, content)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or leave the one that was there.

    Raises:
        OutputError: it cannot be written.
    """
    # A file name that is not UTF-8 comes as lone surrogates, which are written escaped.
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows under a header of `columns`; what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well, and is gone otherwise.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = _beside(path)
    with writing(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if path.is_dir():
                old = path.with_name(f"{temporary.name}.old")
                os.rename(path, old)
                os.rename(temporary, path)
                shutil.rmtree(old)
            else:
                os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A temporary name in the same folder, which tells whose it is."""
    if not path.name:
        raise OutputError(f"'{path}' as a name to write to", "a path that ends in a name of its own", "give it one")
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left directly in `folder`.

    Only for a folder that one process at a time writes to: what another is writing looks the same.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # it only takes room
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
