"""What the files and folders of a data set, as they were walked and looked at, are found to lack."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from dogbreed.audit.findings import Finding
from dogbreed.audit.looking import Look
from dogbreed.audit.walking import Tree
from dogbreed.data.folder import SPLIT_FOLDERS
from dogbreed.errors import ConfigError, did_you_mean

#: Usable pictures by split and class.
Counts = Mapping[str, Mapping[str, int]]

#: What each extension promises.
_PROMISED = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
_PLAIN_MODES = ("RGB", "L")

#: Of the grey thumbnail, 0 to 127.5. One colour saved as JPEG has 0, with a camera's noise less than 1; the flattest
#: of 8,400 photographs of dogs has 16.
_BLANK = 2.0


@dataclass(frozen=True)
class Limits:
    """From where on a picture or a class is worth a word.

    Attributes:
        min_side: pixels; a picture with a shorter side is tiny.
        max_megapixels: a picture of more is huge.
        min_per_class: usable pictures that a class has in train at least.
        max_imbalance: how many times as many the largest class of train may have as the smallest.

    Raises:
        ConfigError: one of them is no number, or below 0.
    """

    min_side: int
    max_megapixels: float
    min_per_class: int
    max_imbalance: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigError(
                    f"limits.{field.name}={value!r}", "a number, 0 or more", f"leave limits.{field.name} out, or set it"
                )


def judge_pictures(looks: Sequence[Look], limits: Limits) -> list[Finding]:
    """What is wrong with each picture by itself; of one that cannot be decoded nothing else is said."""
    found = []
    for look in looks:
        faults = [(look.problem, look.reason)] if look.problem else _faults(look, limits)
        found += [Finding(kind, (look.path,), detail) for kind, detail in faults]
    return found


def judge_folders(tree: Tree, class_names: Sequence[str], counts: Counts, limits: Limits) -> list[Finding]:
    """What is wrong with splits and classes.

    Args:
        tree: the folders.
        class_names: of train.
        counts: usable pictures in each split that there is, or that is split off train.
        limits: from where on a class is worth a word.
    """
    return [
        *_splits(tree, counts),
        *_unknown_classes(tree, class_names),
        *_missing_classes(tree, class_names, counts),
        *_similar_names(tree.classes.get("train", [])),
        *_sizes(counts.get("train", {}), limits),
    ]


def _faults(look: Look, limits: Limits) -> Iterator[tuple[str, str]]:
    extension = os.path.splitext(look.path)[1].lower()
    if look.format != _PROMISED[extension]:
        yield "wrong_extension", f"a {look.format} picture"
    if look.mode not in _PLAIN_MODES:
        yield "odd_mode", _MODES.get(look.mode, look.mode)
    if look.frames > 1:
        yield "animated", f"a {look.format} picture of several frames"
    if look.orientation != 1:
        yield "turned", f"orientation {look.orientation}"
    size = f"{look.width} x {look.height} pixels"
    if min(look.width, look.height) < limits.min_side:
        yield "tiny", size
    if look.width * look.height > limits.max_megapixels * 1e6:
        yield "huge", size
    if look.deviation < _BLANK:
        yield "blank", f"grey levels differ by {look.deviation:.1f} of 255"


#: Pillow's modes in words.
_MODES = {
    "1": "black and white (1 bit)",
    "P": "a palette",
    "PA": "a palette with transparency",
    "LA": "grey with transparency",
    "RGBA": "colour with transparency",
    "RGBX": "colour with a spare channel",
    "CMYK": "CMYK, made for print",
    "YCbCr": "YCbCr",
    "LAB": "L*a*b*",
    "I": "grey of 32 bits",
    "I;16": "grey of 16 bits",
    "I;16B": "grey of 16 bits",
    "I;16L": "grey of 16 bits",
}


def _splits(tree: Tree, counts: Counts) -> Iterator[Finding]:
    for split, names in SPLIT_FOLDERS.items():
        folders = tree.folders.get(split, [])
        if len(folders) > 1:
            yield Finding("double_split", tuple(folders), f"{split} is read from one folder")
        if not folders and split not in counts:
            what = "nothing can be trained" if split == "train" else f"data.{split}_fraction=0.1 takes it from train"
            yield Finding("missing_split", (names[0],), what)
    classes = tree.classes.get("train")
    if classes is not None and len(classes) < 2:
        yield Finding("one_class", ("train",), f"{len(classes)} class folder{'s' if not classes else ''}")


def _unknown_classes(tree: Tree, class_names: Sequence[str]) -> Iterator[Finding]:
    for folder, classes in tree.classes.items():
        for name in sorted(set(classes) - set(class_names)):
            yield Finding("unknown_class", (f"{folder}/{name}",), f"not in train{did_you_mean(name, class_names)}")


def _missing_classes(tree: Tree, class_names: Sequence[str], counts: Counts) -> Iterator[Finding]:
    for split, of_class in counts.items():
        for name in class_names:
            if not of_class.get(name):
                folder = tree.folders.get(split, ["train"])[0]
                yield Finding("missing_class", (f"{folder}/{name}",), f"no usable picture in {split}")


def _similar_names(class_names: Sequence[str]) -> Iterator[Finding]:
    alike = defaultdict(list)
    for name in class_names:
        alike[_core(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            yield Finding("similar_names", tuple(f"train/{name}" for name in names), " and ".join(names))


def _core(name: str) -> str:
    """A class's name without its number, case, spaces and signs.

    >>> _core("012.Saint_Bernard") == _core("13-saint bernard")
    True
    >>> _core("class 1") == _core("class 2")
    False
    """
    letters = unicodedata.normalize("NFKC", name).casefold()
    letters = re.sub(r"^\d+[\W_]+(?=.*[^\W\d_])", "", letters)
    return "".join(letter for letter in letters if unicodedata.category(letter)[0] in "LMN") or name


def _sizes(of_class: Mapping[str, int], limits: Limits) -> Iterator[Finding]:
    some = {name: count for name, count in of_class.items() if count}
    for name, count in some.items():
        if count < limits.min_per_class:
            yield Finding("few_pictures", (f"train/{name}",), f"{count} usable in train")
    if len(some) < 2:
        return
    smallest, largest = min(some, key=some.__getitem__), max(some, key=some.__getitem__)
    ratio = some[largest] / some[smallest]
    if ratio > limits.max_imbalance:
        detail = (
            f"{largest} has {some[largest]} usable pictures, {smallest} {some[smallest]}: {ratio:.1f} times as many"
        )
        yield Finding("imbalance", (f"train/{largest}", f"train/{smallest}"), detail)
