"""What a data set holds: pictures per split and class, sizes, formats, balance; from headers alone."""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.folder import SPLITS, Split
from dogbreed.data.images import FORMATS
from dogbreed.errors import DataError

#: The side that most backbones of ImageNet read: of pictures with a shorter one they see less than they could.
SMALL_SIDE = 224

_AT_ONCE = 256  # headers that a thread reads before it reports


class Header(NamedTuple):
    """What a picture's file says of itself; width and height as stored, before EXIF turns it."""

    format: str
    mode: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True)
class Range:
    """The least, the median and the largest of some numbers."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    Attributes:
        name: "train", "val" or "test".
        counts: pictures of each class, in the order of the summary's class names.
        skipped: how many files beside them are not used, by the reason.
        unreadable: pictures whose header cannot be read; they are in `counts`, and in nothing below.
        size_bytes: of all others.
        bytes_a_picture: None where no header could be read, as width and height.
        width: in pixels, as stored.
        height: in pixels, as stored.
        small: pictures whose shorter side is below `SMALL_SIDE`.
        formats: pictures of each format, such as "JPEG", the most frequent first.
        modes: pictures of each of Pillow's modes, such as "RGB", the most frequent first.
    """

    name: str
    counts: tuple[int, ...]
    skipped: Mapping[str, int]
    unreadable: int
    size_bytes: int
    bytes_a_picture: Range | None
    width: Range | None
    height: Range | None
    small: int
    formats: Mapping[str, int]
    modes: Mapping[str, int]

    @property
    def pictures(self) -> int:
        """How many there are."""
        return sum(self.counts)


@dataclass(frozen=True)
class Summary:
    """What a data set holds.

    Attributes:
        root: its folder.
        class_names: in their one order.
        splits: those that could be read.
        missing: of the others, by name, why not.
        files: the pictures of `splits`, by name.
    """

    root: Path
    class_names: tuple[str, ...]
    splits: tuple[SplitSummary, ...]
    missing: Mapping[str, str]
    files: Mapping[str, Split]


def summarize(datamodule: BreedDataModule) -> Summary:
    """What the splits hold, exactly as training would read them: with its fractions and its exclusions.

    Only headers are read: a million files take minutes. Without val or test the rest is summarised.

    Raises:
        DataError: there is no train, or it cannot be used.
    """
    files, missing = {"train": datamodule.split("train")}, {}
    for name in SPLITS[1:]:
        try:
            files[name] = datamodule.split(name)
        except DataError as error:
            missing[name] = error.got
    total = sum(map(len, files.values()))
    with tqdm(total=total, desc="reading headers", unit="picture", disable=None, delay=2) as progress:
        splits = [_summarize_split(split, datamodule.num_classes, progress) for split in files.values()]
    return Summary(datamodule.root, datamodule.class_names, tuple(splits), missing, files)


def read_header(path: str) -> Header | None:
    """What the file says of itself, without decoding it; None where it is no picture of a known format."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would never be read to its end
            return None
        with Image.open(path, formats=FORMATS) as image:
            return Header(image.format or "", image.mode, image.width, image.height, status.st_size)
    except Exception:  # whatever Pillow stumbles over: an audit says what is wrong with it
        return None


def evenness(counts: Sequence[int]) -> float | None:
    """How evenly pictures are spread over the classes: 1.0 for equally many of each, towards 0.0 for one class alone.

    The entropy of the classes' shares over its largest possible value, log C (Pielou, The measurement of diversity
    in different types of biological collections, 1966). None for fewer than two classes, or no picture.

    >>> evenness([5, 5]), evenness([7, 0]), evenness([7])
    (1.0, 0.0, None)
    """
    total = sum(counts)
    if len(counts) < 2 or not total:
        return None
    entropy = sum(count / total * math.log(total / count) for count in counts if count)
    return entropy / math.log(len(counts))


def _summarize_split(split: Split, num_classes: int, progress: tqdm[None]) -> SplitSummary:
    sizes = np.zeros((3, len(split)), dtype=np.int64)  # width, height, bytes
    formats, modes = Counter[str](), Counter[str]()
    read = 0
    for header in _read_headers(split.paths, progress):
        if header is not None:
            sizes[:, read] = header.width, header.height, header.size_bytes
            formats[header.format] += 1
            modes[header.mode] += 1
            read += 1
    width, height, size_bytes = sizes[:, :read]
    return SplitSummary(
        name=split.name,
        counts=tuple(split.counts(num_classes)),
        skipped=dict(sorted(Counter(entry.reason.split(":")[0] for entry in split.skipped).items())),
        unreadable=len(split) - read,
        size_bytes=int(size_bytes.sum()),
        bytes_a_picture=_range(size_bytes),
        width=_range(width),
        height=_range(height),
        small=int((np.minimum(width, height) < SMALL_SIDE).sum()),
        formats=dict(sorted(formats.items(), key=lambda item: (-item[1], item[0]))),
        modes=dict(sorted(modes.items(), key=lambda item: (-item[1], item[0]))),
    )


def _read_headers(paths: Sequence[str], progress: tqdm[None]) -> Iterator[Header | None]:
    """In the order of the paths. Threads: most of the time goes into waiting for the disk, or the network behind it."""
    chunks = [paths[first : first + _AT_ONCE] for first in range(0, len(paths), _AT_ONCE)]
    with warnings.catch_warnings(), ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of large pictures and odd EXIF: an audit says what matters of them
        for headers in pool.map(lambda chunk: [read_header(path) for path in chunk], chunks):
            progress.update(len(headers))
            yield from headers


def _range(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Range | None:
    return Range(int(values.min()), float(np.median(values)), int(values.max())) if len(values) else None
