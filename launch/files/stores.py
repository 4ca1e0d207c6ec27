"""Files by s3:// URI: in S3, or in a folder of this machine that stands for it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.files import writing
from launch.aws.errors import asking_aws
from launch.backends import StoredFile
from launch.errors import LaunchError, missing_extra

if TYPE_CHECKING:
    import boto3

#: Files from here on are sent in parts, each of which is tried again by itself; a picture goes in one request.
_WHOLE, _PART = 64 << 20, 16 << 20
#: Connections at once, the threads of an upload and of boto3's own transfers together.
_CONNECTIONS = 64
#: The bucket of a FolderStore that is this machine's own files.
_LOCAL = "local"
#: A file that is being written, or was when its process was killed, see dogbreed.files.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key.

    >>> split_uri("s3://dogs/photos/a.jpg")
    ('dogs', 'photos/a.jpg')

    Raises:
        LaunchError: it is no s3:// URI.
    """
    found = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri, re.DOTALL)
    if not found:
        raise LaunchError(f"{uri} is no place in S3", "s3://BUCKET/KEY", "correct the URI")
    return found[1], found[2] or ""


class S3Store:
    """Files in S3 (a launch.backends.Store). Its methods may be called by several threads at once.

    Args:
        session: whose credentials, region and patience are used.

    Raises:
        LaunchError: boto3 is not installed, or settings of AWS that cannot be.
    """

    def __init__(self, session: boto3.Session) -> None:
        try:
            from boto3.s3.transfer import TransferConfig
            from botocore.config import Config
        except ImportError as error:
            raise missing_extra("boto3", "sagemaker") from error
        with asking_aws("connecting to S3"):
            self._client = session.client("s3", config=Config(max_pool_connections=_CONNECTIONS))
        self._transfer = TransferConfig(multipart_threshold=_WHOLE, multipart_chunksize=_PART)

    def put(self, uri: str, path: Path) -> None:
        """Store a file; it is whole or not there, and S3 has checked its SHA-256."""
        bucket, key = split_uri(uri)
        with asking_aws(f"sending {path} to {uri}"), _refusing(f"reading {path}"):
            if path.stat().st_size < _WHOLE:  # without the threads that a transfer starts
                self._put(bucket, key, path.read_bytes())
            else:
                extra = {"ChecksumAlgorithm": "SHA256"}
                self._client.upload_file(str(path), bucket, key, ExtraArgs=extra, Config=self._transfer)

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Store a small file from memory."""
        with asking_aws(f"writing {uri}"):
            self._put(*split_uri(uri), content)

    def get(self, uri: str, path: Path) -> None:
        """Fetch a file to `path`, whole or not at all."""
        bucket, key = split_uri(uri)
        with writing(path), asking_aws(f"fetching {uri}"), _beside(path) as temporary:
            self._client.download_file(bucket, key, str(temporary), Config=self._transfer)

    def get_bytes(self, uri: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        bucket, key = split_uri(uri)
        with asking_aws(f"reading {uri}"):
            try:
                content: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None
        return content

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """Every file whose URI starts with `prefix`, in the order of their URIs."""
        bucket, start = split_uri(prefix)
        with asking_aws(f"listing {prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
                for entry in page.get("Contents", []):
                    yield StoredFile(f"s3://{bucket}/{entry['Key']}", int(entry["Size"]))

    def copy(self, source: str, target: str) -> None:
        """Store under `target` what is stored under `source`, without sending it; of at most 5 GB."""
        from_bucket, from_key = split_uri(source)
        bucket, key = split_uri(target)
        with asking_aws(f"copying {source} to {target}"):
            self._client.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": from_bucket, "Key": from_key})

    def holds(self, uri: str, path: Path) -> bool:
        """Whether what is stored is the file `path`, by the SHA-256 that S3 has; False where it has none."""
        bucket, key = split_uri(uri)
        with asking_aws(f"checking {uri}"):
            try:
                found = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            except self._client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        known, _, _ = str(found.get("ChecksumSHA256", "")).partition("-")  # behind it, the number of parts
        with _refusing(f"reading {path}"):
            return known in _checksums(path)

    def remove(self, uri: str) -> None:
        """Take a file away; nothing where there is none."""
        bucket, key = split_uri(uri)
        with asking_aws(f"removing {uri}"), suppress(self._client.exceptions.NoSuchBucket):
            self._client.delete_object(Bucket=bucket, Key=key)

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        self._client.put_object(
            Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256", ChecksumSHA256=_sha256(content)
        )


class FolderStore:
    """Files in a folder (a launch.backends.Store): s3://BUCKET/KEY is root/BUCKET/KEY.

    The bucket `local` is this machine's own files, and only read: s3://local/home/me/photos is /home/me/photos.

    Args:
        root: the folder, made on first use.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, uri: str) -> Path:
        """Where a file or a folder of files is.

        Raises:
            LaunchError: the URI leaves its bucket.
        """
        bucket, key = split_uri(uri)
        parts = key.rstrip("/").split("/") if key else []
        if bucket in (".", "..") or {"", ".", ".."} & set(parts) or "\0" in uri:
            raise LaunchError(f"{uri} is no place in a folder", "a key without . or .. or // in it", "correct the URI")
        return (Path("/") if bucket == _LOCAL else self.root / bucket).joinpath(*parts)

    def put(self, uri: str, path: Path) -> None:
        """Store a file; it is whole or not there."""
        self._copy(path, uri)

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Store a small file from memory."""
        target = self._writable(uri)
        with _refusing(f"writing {uri}"), _beside(target) as temporary:
            temporary.write_bytes(content)

    def get(self, uri: str, path: Path) -> None:
        """Fetch a file to `path`, whole or not at all."""
        with ExitStack() as stack:
            with _refusing(f"fetching {uri}"):
                source = stack.enter_context(self.path(uri).open("rb"))
            with writing(path), _beside(path) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(source, target, _PART)

    def get_bytes(self, uri: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        with _refusing(f"reading {uri}"):
            try:
                return self.path(uri).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """Every file whose URI starts with `prefix`, in the order of their URIs."""
        bucket, key = split_uri(prefix)
        folder, _, start = key.rpartition("/")
        base = self.path(f"s3://{bucket}/{folder}")
        found: list[str] = []
        with _refusing(f"listing {prefix}"):
            for entry in os.scandir(base) if base.is_dir() else ():
                if not entry.name.startswith(start):
                    continue
                if entry.is_dir():
                    for parent, _, names in os.walk(entry.path, followlinks=True):
                        found += [os.path.join(parent, name) for name in names]
                else:
                    found.append(entry.path)
            whole = [
                path for path in found if os.path.isfile(path) and not _UNFINISHED.fullmatch(os.path.basename(path))
            ]
            at = f"s3://{bucket}/{folder}/" if folder else f"s3://{bucket}/"
            uris = {f"{at}{os.path.relpath(path, base).replace(os.sep, '/')}": path for path in whole}
            for uri in sorted(uris, key=os.fsencode):
                try:
                    size = os.path.getsize(uris[uri])
                except FileNotFoundError:  # it has been removed since
                    continue
                yield StoredFile(uri, size)

    def copy(self, source: str, target: str) -> None:
        """Store under `target` what is stored under `source`."""
        self._copy(self.path(source), target)

    def holds(self, uri: str, path: Path) -> bool:
        """Whether what is stored is the file `path`, by their content."""
        stored = self.path(uri)
        with _refusing(f"checking {uri}"):
            return stored.is_file() and _checksums(stored) == _checksums(path)

    def remove(self, uri: str) -> None:
        """Take a file away; nothing where there is none."""
        with _refusing(f"removing {uri}"):
            self._writable(uri).unlink(missing_ok=True)

    def _copy(self, source: Path, uri: str) -> None:
        target = self._writable(uri)
        with _refusing(f"storing {source} as {uri}"), _beside(target) as temporary:
            shutil.copyfile(source, temporary)

    def _writable(self, uri: str) -> Path:
        bucket, key = split_uri(uri)
        if bucket == _LOCAL or not key:
            raise LaunchError(
                f"{uri} cannot be written", "a key in another bucket than local", "choose s3://BUCKET/KEY"
            )
        return self.path(uri)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well, and is gone otherwise."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _refusing(doing: str) -> Iterator[None]:
    """What the system says about a file of the store becomes a LaunchError."""
    try:
        yield
    except OSError as error:
        raise LaunchError(
            f"{doing}: {error.strerror or error}",
            "files that can be read and written",
            "check the disk and the permissions",
        ) from error


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _checksums(path: Path) -> tuple[str, str]:
    """What S3 keeps of a file that was sent, or copied, in one request, and of one that was sent in parts.

    That is the SHA-256 of the parts' own, one after the other. Source: the guide of Amazon S3, "Checking object
    integrity", composite checksums.
    """
    whole, parts = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(_PART), b""):
            whole.update(part)
            parts.update(hashlib.sha256(part).digest())
    return base64.b64encode(whole.digest()).decode(), base64.b64encode(parts.digest()).decode()
