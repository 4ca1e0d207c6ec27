"""A data set in a store, once for each content: whole, or without a manifest.

Below `to` there are

    datasets/NAME-DIGEST/train/001.Akita/a.jpg ...   what a job's data channel names: the folder as it is here
    manifests/NAME-DIGEST.json                       path -> size and digest of each of these files, written last
    weights/NAME-DIGEST/resnet18.safetensors         what a job's weights channel names: a prefix with one file

DIGEST is of the content, so that nothing is ever written over: who trained on a data set finds it as it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

from tqdm import tqdm

from dogbreed.data.folder import Skipped
from dogbreed.errors import DataError
from launch.backends import Store
from launch.files.manifests import LocalFile, from_json, list_files, stamp_of, to_json

#: Requests at once. Sending small files is waiting: see --workers of launch.upload.
WORKERS = 16
_UNFIT = re.compile(r"[^a-zA-Z0-9._-]+")


@dataclass(frozen=True)
class Upload:
    """What has to be done for a data set to be in the store.

    Attributes:
        uri: s3://BUCKET/PREFIX/ of the data set.
        manifest_uri: of its manifest.
        manifest: its content.
        files: by their place below `uri`.
        sends: places of what has to be sent.
        copies: place -> URI of a file of the same content in the store.
        checks: places of what is there and may not be what it seems; it is looked at, and sent if it differs.
        is_whole: the manifest is there.
        skipped: what is in the folder and no part of the data set.
    """

    uri: str
    manifest_uri: str
    manifest: bytes
    files: Mapping[str, LocalFile]
    sends: Sequence[str]
    copies: Mapping[str, str]
    checks: Sequence[str]
    is_whole: bool
    skipped: Sequence[Skipped]


class Done(NamedTuple):
    """How many files were sent, copied inside of the store, and already there; and the bytes sent."""

    sent: int
    copied: int
    kept: int
    sent_bytes: int


def upload_dataset(
    store: Store, folder: Path, to: str, name: str | None = None, *, workers: int = WORKERS, verify: bool = False
) -> str:
    """The URI of a data set in the store, where it is whole now; what is there is not sent again.

    Args:
        store: where to.
        folder: with train/, valid/ or val/, and test/, each with a folder per class.
        to: s3://BUCKET/PREFIX of all data sets.
        name: of the data set; None for the folder's.
        workers: requests at once.
        verify: read every file here again, and compare what is there by checksum, not by size alone.

    Raises:
        DataError: a folder that is no data set, or that changes meanwhile.
        LaunchError: the store refuses.
    """
    upload = plan_upload(store, folder, to, name, verify=verify)
    carry_out(store, upload, workers)
    return upload.uri


def plan_upload(
    store: Store,
    folder: Path,
    to: str,
    name: str | None = None,
    *,
    verify: bool = False,
    exclude: Path | None = None,
) -> Upload:
    """What has to be done for a data set to be in the store; nothing is written.

    Args:
        store: where to.
        folder: the data set.
        to: s3://BUCKET/PREFIX of all data sets.
        name: of the data set; None for the folder's.
        verify: read every file here again, and have what is there looked at.
        exclude: a list of files that stay here; None for none.

    Raises:
        ConfigError: there is no such list.
        DataError: a folder that is no data set.
        LaunchError: the store refuses.
    """
    files, skipped = list_files(folder, again=verify, exclude=exclude)
    manifest = to_json(files)
    name = _fit(name or folder.resolve().name)
    stem = f"{name}-{hashlib.sha256(manifest).hexdigest()[:16]}"
    uri, manifests = f"{to.rstrip('/')}/datasets/{stem}/", f"{to.rstrip('/')}/manifests/"
    stored = {file.uri: file.size for file in store.files(uri)}
    is_whole = store.get_bytes(f"{manifests}{stem}.json") is not None
    there = [place for place, file in files.items() if stored.get(uri + place) == file.size]
    absent = files.keys() - set(there)
    known = _find_copies(store, {files[place] for place in absent}, manifests, name) if absent else {}
    return Upload(
        uri=uri,
        manifest_uri=f"{manifests}{stem}.json",
        manifest=manifest,
        files=files,
        sends=sorted(place for place in absent if files[place].digest not in known),
        copies={place: known[files[place].digest] for place in sorted(absent) if files[place].digest in known},
        # Without a manifest nobody has made sure that what was sent is what the digest was made of.
        checks=there if verify or not is_whole else (),
        is_whole=is_whole,
        skipped=skipped,
    )


def carry_out(store: Store, upload: Upload, workers: int = WORKERS) -> Done:
    """Do it, several files at once, with a progress bar; whatever interrupts it, a new plan goes on.

    Raises:
        DataError: files have changed meanwhile, so that the data set stays without a manifest.
        LaunchError: the store refuses.
    """

    def send(place: str) -> int:
        store.put(upload.uri + place, upload.files[place].path)
        return upload.files[place].size

    def copy(place: str) -> int:
        store.copy(upload.copies[place], upload.uri + place)
        return 0

    def check(place: str) -> int:
        return 0 if store.holds(upload.uri + place, upload.files[place].path) else send(place)

    work = [(send, place) for place in upload.sends]
    work += [(copy, place) for place in upload.copies] + [(check, place) for place in upload.checks]
    sent = _each(work, {place: file.size for place, file in upload.files.items()}, workers)
    changed = [place for place, file in upload.files.items() if stamp_of(file.path) != (file.size, file.mtime_ns)]
    if changed:
        raise DataError(
            f"{len(changed)} files changed while they were sent, such as {changed[0]}",
            "a data set that stays as it is",
            "run it again when nothing writes to it",
        )
    if not upload.is_whole:
        store.put_bytes(upload.manifest_uri, upload.manifest)
    return Done(len(sent), len(upload.copies), len(upload.files) - len(sent) - len(upload.copies), sum(sent))


def upload_weights(store: Store, path: Path, to: str, name: str | None = None) -> str:
    """The URI of a prefix in the store that holds this file of weights alone; what is there is not sent again.

    Args:
        store: where to.
        path: a safetensors file, or a state dict.
        to: s3://BUCKET/PREFIX of all weights.
        name: of the weights; None for the file's.

    Raises:
        WeightsError: it holds no weights that a job could read.
        LaunchError: the store refuses.
    """
    from dogbreed.models.weights import load_weights  # here and not above: it loads torch

    load_weights(path)
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    uri = f"{to.rstrip('/')}/weights/{_fit(name or path.stem)}-{digest.hexdigest()[:16]}/"
    target = uri + _fit(path.name)
    if not store.holds(target, path):
        store.put(target, path)
    return uri


def _each(work: Sequence[tuple[Callable[[str], int], str]], sizes: Mapping[str, int], workers: int) -> list[int]:
    """The bytes of each file that was sent; at the first error, or at Ctrl-C, no further one is begun."""
    progress = tqdm(
        total=sum(sizes[place] for _, place in work), desc="uploading", unit="B", unit_scale=True, disable=None
    )
    stopped = Event()

    def attempt(do: Callable[[str], int], place: str) -> int:
        if stopped.is_set():
            return 0
        try:
            return do(place)
        except BaseException:
            stopped.set()  # at once: the thread that waits for the results may notice later
            raise

    with progress, ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(attempt, do, place): place for do, place in work}
        sent = []
        try:
            for ended in as_completed(running):
                sent.append(ended.result())
                progress.update(sizes[running[ended]])
        finally:
            stopped.set()
    return [size for size in sent if size]


def _find_copies(store: Store, wanted: set[LocalFile], manifests: str, name: str) -> dict[str, str]:
    """Digest -> URI of what earlier data sets of this name hold."""
    missing = {file.digest for file in wanted}
    found: dict[str, str] = {}
    for file in store.files(f"{manifests}{name}-"):
        stem = file.uri.removeprefix(manifests).removesuffix(".json")
        if missing <= found.keys() or not re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", stem):
            continue
        uri = f"{manifests.removesuffix('manifests/')}datasets/{stem}/"
        stored = {entry.uri: entry.size for entry in store.files(uri)}  # what a user removed is not copied
        for place, (size, digest) in from_json(store.get_bytes(file.uri) or b"", file.uri).items():
            if digest in missing and stored.get(uri + place) == size:
                found.setdefault(digest, uri + place)
    return found


def _fit(name: str) -> str:
    """A name as a part of a key.

    >>> _fit("my dogs & cats")
    'my-dogs-cats'
    """
    return _UNFIT.sub("-", name).strip("-.") or "data"
