"""Pictures that a request names instead of sending them: from S3, below the prefixes that were named at start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dogbreed.errors import ConfigError, RequestError

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_URI = re.compile(rf"s3://({_BUCKET})/([^\x00-\x1f\x7f?#*\[\]\\%]+)")
_PREFIX = re.compile(rf"s3://{_BUCKET}/(?:[^\x00-\x1f\x7f?#*\[\]\\%]+/)?")
_TIMEOUT_S = 10  # to connect, and for each answer


class S3:
    """Fetches objects below some prefixes, and nothing else.

    Args:
        prefixes: s3://bucket/prefix/, each with its last slash.

    Raises:
        ConfigError: a prefix is none, or s3fs is not installed.
    """

    def __init__(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            if not _PREFIX.fullmatch(prefix) or _climbs(prefix):
                raise ConfigError(f"--s3-prefix {prefix}", "s3://BUCKET/ or s3://BUCKET/PREFIX/", "end it on a slash")
        self._prefixes = tuple(prefixes)
        self._files = _open_s3()

    def fetch(self, uri: str, most: int) -> bytes:
        """The object's content, at most so many bytes.

        Raises:
            RequestError: 400 for an object that is not below a prefix, or cannot be fetched; 413 for a large one.
        """
        if not _URI.fullmatch(uri) or _climbs(uri) or uri.endswith("/") or not uri.startswith(self._prefixes):
            raise not_allowed(uri, self._prefixes)
        try:
            size = self._files.info(uri)["size"]
            if size is None or size > most:
                raise _too_large(uri, size, most)
            content: bytes = self._files.cat_file(uri, start=0, end=most + 1)
        except RequestError:
            raise
        except Exception as error:  # botocore's, aiohttp's, the system's: what goes wrong on the way to S3
            # What went wrong there is the operator's to know: an account's number may stand in it.
            reason = "there is no such object" if isinstance(error, FileNotFoundError) else "it cannot be fetched"
            raise RequestError(
                400, f"{uri[:200]}: {reason}", "an object that this server may read", "look at its log"
            ) from error
        if len(content) > most:
            raise _too_large(uri, len(content), most)
        return content


def not_allowed(uri: str, prefixes: Sequence[str] = ()) -> RequestError:
    """The error for an object that must not be fetched."""
    allowed = "objects below this server's prefixes" if prefixes else "pictures in the request itself"
    hint = "ask who runs it for its --s3-prefix" if prefixes else "ask a server that was started with --s3-prefix"
    return RequestError(400, f"the s3_uri {uri[:200]!r}", allowed, hint)


def _too_large(uri: str, size: int | None, most: int) -> RequestError:
    found = "unknown size" if size is None else f"{size:,} bytes"
    return RequestError(413, f"{uri[:200]} of {found}", f"at most {most:,} bytes a request", "name smaller pictures")


def _climbs(uri: str) -> bool:
    """Whether a part of the path stands for another place than it names."""
    return any(part in (".", "..") for part in uri.split("/")) or "//" in uri.removeprefix("s3://")


def _open_s3() -> Any:
    try:
        import fsspec
        import s3fs  # noqa: F401  (fsspec opens s3:// by it, and says less when it is missing)
    except ImportError as error:
        raise ConfigError(
            f"--s3-prefix without the package {error.name}", "the extra sagemaker", "pip install 'dogbreed[sagemaker]'"
        ) from error
    retries = {"max_attempts": 2}
    config = {"connect_timeout": _TIMEOUT_S, "read_timeout": _TIMEOUT_S, "retries": retries}
    return fsspec.filesystem("s3", config_kwargs=config, use_listings_cache=False, skip_instance_cache=True)
