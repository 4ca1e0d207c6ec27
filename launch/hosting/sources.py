"""Pictures as a user names them: files, folders, and what is in S3."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dogbreed.data.folder import find_pictures
from dogbreed.data.images import EXTENSIONS
from dogbreed.errors import ConfigError, ImageError
from launch.backends import Store

_S3 = "s3://"


@dataclass(frozen=True)
class Source:
    """A picture that is still to be read.

    Attributes:
        name: its path or URI.
        size: in bytes; None where the file is not there or cannot be looked at.
    """

    name: str
    size: int | None

    def read(self, store: Store) -> bytes:
        """Its content.

        Raises:
            ImageError: it cannot be read.
            LaunchError: S3 cannot be reached, or refuses.
        """
        if self.name.startswith(_S3):
            content = store.get_bytes(self.name)
            if content is None:
                raise ImageError(f"{self.name} is not there", "a picture in S3", "check the URI")
            return content
        try:
            return Path(self.name).read_bytes()
        except OSError as error:
            raise ImageError(
                f"{self.name}: {error.strerror or error}", "a picture file that can be read", "check the path"
            ) from error


def find_sources(names: Iterable[str], store: Store) -> Iterator[Source]:
    """The pictures named, and those in the folders and below the S3 prefixes named, in the order of their names.

    Raises:
        ConfigError: there is no picture in a folder or below a prefix.
        LaunchError: S3 cannot be reached, or refuses.
    """
    for name in names:
        if name.startswith(_S3):
            yield from stored_pictures(name, store)
        else:
            for path in find_pictures([name]):
                yield Source(path, os.path.getsize(path) if os.path.isfile(path) else None)


def stored_pictures(uri: str, store: Store) -> list[Source]:
    """The picture at a URI, or else those below it as a folder; hidden ones are left out.

    Raises:
        ConfigError: there is none.
        LaunchError: S3 cannot be reached, or refuses.
    """
    folder = uri if uri.endswith("/") else f"{uri}/"
    files = [Source(file.uri, file.size) for file in store.files(uri)]
    alone = [file for file in files if file.name == uri and not uri.endswith("/")]
    found = alone or [file for file in files if _is_picture(file.name, folder)]
    if not found:
        raise ConfigError(f"no picture at or below {uri}", ", ".join(sorted(EXTENSIONS)), "check the URI")
    return found


def _is_picture(uri: str, folder: str) -> bool:
    if not uri.startswith(folder):
        return False
    hidden = any(part.startswith(".") for part in uri[len(folder) :].split("/"))
    return not hidden and os.path.splitext(uri)[1].lower() in EXTENSIONS
