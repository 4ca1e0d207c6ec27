"""One look at every picture: what its file says, whether it can be decoded, and a thumbnail of it."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dogbreed.audit.sniffing import ends_early, sniff
from dogbreed.audit.walking import File
from dogbreed.data.images import FORMATS, MAX_ASPECT, MAX_PIXELS, decode_image, picture_digest
from dogbreed.data.loading import available_cores
from dogbreed.errors import ConfigError, DataError, ImageError, TooLargeError

THUMBNAIL = 64
#: Colours a side of a picture.
TINTS = 8

#: Of a file: a picture of `MAX_PIXELS` that is not compressed, in four channels of 16 bits.
MAX_BYTES = 8 * MAX_PIXELS

_AT_ONCE = 32  # pictures that a worker looks at before it reports


class _Seen(NamedTuple):
    size_bytes: int = 0
    digest: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    orientation: int = 1
    deviation: float = 0.0
    tints: bytes = bytes(2 * TINTS**2)
    problem: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a picture.

    Attributes:
        path: below the data set's folder, with "/".
        split: "train", "val" or "test".
        class_name: its class folder.
        size_bytes: of the file.
        digest: `picture_digest` of its content; "" if it could not be read.
        format: "JPEG", "PNG", ...; "" if its header cannot be read.
        mode: Pillow's name for how its pixels are stored, such as "RGB".
        width: in pixels, as stored.
        height: in pixels, as stored.
        frames: 1, or 2 for two or more.
        orientation: EXIF, 1 to 8; 1 is upright.
        deviation: standard deviation of the grey thumbnail, 0 to 127.5.
        tints: `make_tints`, as bytes.
        problem: the kind of fault for which it cannot be decoded; None for none.
        reason: the details of it.
    """

    path: str
    split: str
    class_name: str
    size_bytes: int
    digest: str
    format: str
    mode: str
    width: int
    height: int
    frames: int
    orientation: int
    deviation: float
    tints: bytes
    problem: str | None
    reason: str


def look_at(root: Path, entries: Sequence[File], workers: int | None) -> tuple[list[Look], NDArray[np.uint8]]:
    """What is seen of each picture, and its thumbnail: uint8 (N, 64, 64), grey; zeros where it cannot be decoded.

    Args:
        root: the data set's folder.
        entries: its pictures.
        workers: processes; 0 for this one; None for one a core, if there is enough to do.

    Raises:
        ConfigError: `workers` is no number of processes.
        DataError: a process was killed.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise ConfigError(f"workers={workers!r}", "a whole number, 0 or more, or null", "leave workers out")
    if workers is None:
        workers = available_cores() if len(entries) > 4 * _AT_ONCE else 0
    loader: DataLoader[Any] = DataLoader(
        _Pictures(root, entries),
        batch_size=_AT_ONCE,
        num_workers=workers,
        collate_fn=_stack,
        generator=torch.Generator(),  # of its own: reading pictures is nothing that should change the chance of others
    )
    looks: list[Look] = []
    thumbnails = np.zeros((len(entries), THUMBNAIL, THUMBNAIL), np.uint8)
    with tqdm(total=len(entries), desc="looking at pictures", unit="picture", disable=None) as progress:
        try:
            for batch in loader:
                seen, some = batch
                first, last = len(looks), len(looks) + len(seen)
                thumbnails[first:last] = some.numpy()
                looks += [
                    Look(entry.path, entry.split, entry.class_name, *what)
                    for entry, what in zip(entries[first:last], seen, strict=True)
                ]
                progress.update(len(seen))
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise DataError(
                got=f"a process that reads pictures died after {len(looks)} of {len(entries)} pictures",
                allowed="processes that live until all is read",
                hint="most often memory was short: run it again with workers=0",
            ) from error
    return looks, thumbnails


def tints_of(looks: Sequence[Look]) -> NDArray[np.int8]:
    """The colours of pictures, int8 (N, 8, 8, 2)."""
    return np.frombuffer(b"".join(look.tints for look in looks), np.int8).reshape(-1, TINTS, TINTS, 2)


def make_thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in grey, averaged over boxes, whatever its shape: uint8 (64, 64).

    Args:
        pixels: uint8 (H, W, 3), RGB, upright. Grey is that of ITU-R BT.601.
    """
    small = Image.fromarray(pixels).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small)


def make_tints(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """How far a picture is from grey, over boxes: int8 (8, 8, 2), blue and red difference of ITU-R BT.601.

    Args:
        pixels: uint8 (H, W, 3), RGB, upright.
    """
    small = Image.fromarray(pixels).resize((TINTS, TINTS), Image.Resampling.BOX).convert("YCbCr")
    return (np.asarray(small)[..., 1:].astype(np.int16) - 128).astype(np.int8)


class _Pictures(Dataset[tuple[_Seen, NDArray[np.uint8]]]):
    def __init__(self, root: Path, entries: Sequence[File]) -> None:
        # One array instead of a list of objects: forked workers would copy a million reference counts.
        self._root, self._paths = os.fspath(root), np.array([os.fsencode(entry.path) for entry in entries])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[_Seen, NDArray[np.uint8]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's about odd fields: training does not heed them either
            return _look(os.path.join(self._root, os.fsdecode(self._paths[index])))


def _stack(batch: Sequence[tuple[_Seen, NDArray[np.uint8]]]) -> tuple[list[_Seen], Tensor]:
    """What was seen, and the thumbnails, uint8 (n, 64, 64), in memory that is shared.

    Through a pipe they would fill it, and a worker that waits for it to be emptied outlives a killed parent.
    """
    return [seen for seen, _ in batch], torch.from_numpy(np.stack([thumbnail for _, thumbnail in batch]))


def _look(path: str) -> tuple[_Seen, NDArray[np.uint8]]:
    nothing = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            reason = f"{size:,} bytes, more than a picture of {MAX_PIXELS // 10**6} megapixels can take"
            return _Seen(size, problem="too_large", reason=reason), nothing
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES)
    except OSError as error:
        if os.path.islink(path):
            return _Seen(problem="broken_link", reason=f"leads to {os.readlink(path)}"), nothing
        return _Seen(problem="unreadable", reason=(error.strerror or str(error)).lower()), nothing
    seen = _read_header(content)._replace(size_bytes=len(content), digest=picture_digest(content))
    try:
        pixels = decode_image(content, "it")
    except ImageError as error:
        problem, reason = _explain(error, content, seen)
        return seen._replace(problem=problem, reason=reason), nothing
    upright = pixels.permute(1, 2, 0).numpy()
    thumbnail = make_thumbnail(upright)
    deviation = round(float(thumbnail.std()), 3)
    return seen._replace(deviation=deviation, tints=make_tints(upright).tobytes()), thumbnail


def _read_header(content: bytes) -> _Seen:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # A photograph with a preview or a depth map behind it is a JPEG to every reader, and not animated.
            jpeg = image.format in ("JPEG", "MPO")
            turn = image.getexif().get(ExifTags.Base.Orientation, 1)
            return _Seen(
                format="JPEG" if jpeg else image.format or "",
                mode=image.mode,
                width=image.width,
                height=image.height,
                frames=2 if not jpeg and getattr(image, "is_animated", False) else 1,
                orientation=int(turn) if turn in range(1, 9) else 1,
            )
    except Exception:  # whatever Pillow stumbles over; `decode_image` says what is wrong with it
        return _Seen()


def _explain(error: ImageError, content: bytes, seen: _Seen) -> tuple[str, str]:
    """The kind of fault for which a picture cannot be decoded, and its details."""
    reason = error.got.removeprefix("it ").removeprefix("cannot be read: ")
    if isinstance(error, TooLargeError):
        claimed = f"claims more than {MAX_PIXELS // 10**6} megapixels"  # Pillow's own refusal names another limit
        return "too_large", claimed if isinstance(error.__cause__, Image.DecompressionBombError) else reason
    if max(seen.width, seen.height) > MAX_ASPECT * min(seen.width, seen.height):
        return "too_narrow", reason
    found = sniff(content)
    if found and found not in FORMATS:
        return "unreadable", f"a picture in {found}, which is not decoded here: save it as JPEG"
    return "truncated" if ends_early(content) or "truncated" in reason else "unreadable", reason
