"""A data set as it is on this machine: its files by their place, and the manifest that says what they hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dogbreed.data.exclusions import leave_out, read_exclusions
from dogbreed.data.folder import SPLITS, Skipped, find_split, list_class_names, require_split, scan_split
from dogbreed.data.images import picture_pixels
from dogbreed.errors import DataError
from dogbreed.features.pictures import digests
from dogbreed.files import is_inside
from launch.connect import jobs_folder
from launch.errors import LaunchError

#: Remembers what pictures hold, by size and time of change. The features' own stands in a room that loads Lightning.
_LEDGER = "pictures.sqlite"
#: What S3 cannot list in XML, and the lone surrogates that stand for bytes that are no UTF-8.
_NO_KEY = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class LocalFile(NamedTuple):
    """A file to be stored.

    Attributes:
        path: where it is.
        size: in bytes.
        mtime_ns: when it was changed last.
        digest: of its content, see dogbreed.data.images.picture_digest.
    """

    path: Path
    size: int
    mtime_ns: int
    digest: str


def list_files(
    folder: Path, *, again: bool = False, exclude: Path | None = None
) -> tuple[dict[str, LocalFile], list[Skipped]]:
    """The pictures of a data set by their place below its folder, in order, and what is no part of it.

    Args:
        folder: the data set.
        again: read every file, also those that are remembered by size and time of change.
        exclude: a list of files that stay here; None for none.

    Raises:
        ConfigError: there is no such list.
        DataError: a folder that is no data set, or that a store cannot hold as it is.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", "a folder with train/, and a folder per class in it", "check the path")
    class_names = list_class_names(require_split(folder, "train"))
    splits = [scan_split(name, found, class_names) for name in SPLITS if (found := find_split(folder, name))]
    if exclude is not None and (exclusions := read_exclusions(exclude, folder)):
        splits = [leave_out(split, folder, exclusions) for split in splits]
    for name, count in zip(class_names, splits[0].counts(len(class_names)), strict=True):
        if not count:  # a folder of the user's, but no key of a store: the job would number the classes otherwise
            raise DataError(
                f"no picture of {name} in {folder / 'train'}",
                "a picture of each class: a store has no empty folders, so a job would not know the class",
                "add pictures, or remove the folder",
            )
    paths = sorted(path for split in splits for path in split.paths)
    stamps = [stamp_of(path) for path in paths]
    found_digests = digests(paths, jobs_folder(None) / _LEDGER, again=again)
    files = {}
    for path, (size, mtime_ns), digest in zip(paths, stamps, found_digests, strict=True):
        place = os.path.relpath(path, folder).replace(os.sep, "/")
        if not digest:
            raise DataError(f"{path} cannot be read", "pictures that can be read", "repair or remove it")
        if _NO_KEY.search(place):
            raise DataError(f"{place!r} in {folder}", "a name of UTF-8 without control characters", "rename it")
        if not is_inside(Path(path), folder) and not picture_pixels(Path(path).read_bytes()):
            raise DataError(
                f"{path} is a link to {os.path.realpath(path)}, which is no picture",
                "pictures: what a data set from elsewhere links to could be anything on this machine",
                "remove the link",
            )
        files[place] = LocalFile(Path(path), size, mtime_ns, digest)
    return files, [entry for split in splits for entry in split.skipped]


def to_json(files: Mapping[str, LocalFile]) -> bytes:
    """The manifest: place -> size and digest; the same bytes for the same content."""
    entries = {place: [file.size, file.digest] for place, file in files.items()}
    return json.dumps({"files": entries}, sort_keys=True, separators=(",", ":")).encode()


def from_json(content: bytes, uri: str) -> dict[str, tuple[int, str]]:
    """Place -> size and digest, of a manifest.

    Args:
        content: what `to_json` made.
        uri: where it was found, for the error.

    Raises:
        LaunchError: it is damaged.
    """
    try:
        files = json.loads(content)["files"]
        return {str(place): (int(size), str(digest)) for place, (size, digest) in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LaunchError(f"{uri} is damaged", "a manifest as it was written", "remove it: nothing is lost") from error


def stamp_of(path: str | Path) -> tuple[int, int]:
    """Size and time of change; (-1, 0) of a file that is not there, which the digest of it says too."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns
