"""Draws a data set with every fault that an audit knows, and says which: `python -m tests.audit.dirty_tree FOLDER`."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from dogbreed.audit.looking import MAX_BYTES

CLASSES = ["001.Akita", "002.Beagle", "003.Collie", "004.Great_dane", "005.Whippet"]
COUNTS = {"train": 8, "valid": 3, "test": 3}
A, B, C = (f"train/{name}" for name in CLASSES[:3])


class Planted(NamedTuple):
    """A fault: its kind, and the files or folders that it is about."""

    kind: str
    paths: frozenset[str]


class Garden:
    """A folder to plant faults in; every picture that is drawn for it is another one.

    Args:
        root: the folder.
        seed: of the drawings.
    """

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root, self.planted, self._seed, self._drawn = root, list[Planted](), seed, 0

    def draw(self) -> Image.Image:
        """A picture unlike all others, RGB, 160 x 160: clouds of colour, for the sample's dogs share their poses."""
        self._drawn += 1
        colours = np.random.default_rng([self._seed, self._drawn]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return Image.fromarray(colours).resize((160, 160), Image.Resampling.BICUBIC)

    def place(self, path: str) -> Path:
        """Where `path` is, in folders made for it."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def add(self, path: str, picture: Image.Image | None = None, **options: Any) -> str:
        """`path`, once the picture, or a new one, is saved there; without a format in its name as JPEG."""
        options = {"quality": 90, **options} if path.lower().endswith((".jpg", ".jpeg")) else options
        (picture or self.draw()).save(self.place(path), **options)
        return path

    def write(self, path: str, content: bytes) -> str:
        """`path`, once the content is written there."""
        self.place(path).write_bytes(content)
        return path

    def change(self, path: str, change: Callable[[bytes], bytes]) -> str:
        """`path`, once its content is changed."""
        return self.write(path, change((self.root / path).read_bytes()))

    def link(self, path: str, target: str | Path) -> str:
        """`path`, once it is a link to `target`."""
        os.symlink(target, self.place(path))
        return path

    def fault(self, kind: str, *paths: str) -> None:
        """Note a fault that was planted."""
        self.planted.append(Planted(kind, frozenset(paths)))


def make_clean_tree(root: Path, seed: int = 0) -> Garden:
    """A data set without a fault: 5 classes with 8 / 3 / 3 pictures each, no two of them alike."""
    garden = Garden(root, seed)
    for folder, count in COUNTS.items():
        for name in CLASSES:
            for number in range(count):
                garden.add(f"{folder}/{name}/{number:05d}.jpg")
    return garden


def make_dirty_tree(root: Path, seed: int = 0) -> list[Planted]:
    """A data set with faults of every kind, in files and in folders, and what they are.

    Args:
        root: a new folder.
        seed: of the drawings.
    """
    garden = make_clean_tree(root, seed)
    plant_files(garden)
    plant_folders(garden)
    return garden.planted


def plant_files(garden: Garden) -> None:
    """Faults of files: an exclusion list mends all that keep a run from reading the data set."""
    for plant in (_decoys, _unusable, _damaged, _endless, _mislabelled, _odd_pixels, _odd_shapes, _beside, _links):
        plant(garden)
    _names(garden)
    _twins(garden)


def plant_folders(garden: Garden) -> None:
    """Faults of splits and classes, which no exclusion list mends."""
    shutil.rmtree(garden.root / "test")
    garden.fault("missing_split", "test")
    garden.add(f"val/{CLASSES[0]}/new.jpg")
    garden.fault("double_split", "valid", "val")
    garden.add("valid/006.Wolf/wolf.jpg")
    garden.fault("unknown_class", "valid/006.Wolf")
    shutil.rmtree(garden.root / f"valid/{CLASSES[4]}")
    garden.fault("missing_class", f"valid/{CLASSES[4]}")
    (garden.root / "train/empty class").mkdir()
    garden.add("valid/empty class/only here.jpg")
    garden.fault("missing_class", "train/empty class")
    for number in range(5):
        garden.add(f"train/{CLASSES[3].lower().replace('_', ' ')}/{number}.jpg")
    garden.add(f"valid/{CLASSES[3].lower().replace('_', ' ')}/0.jpg")
    garden.fault("similar_names", f"train/{CLASSES[3]}", f"train/{CLASSES[3].lower().replace('_', ' ')}")
    garden.add("train/007.Rare/only.jpg")
    garden.add("valid/007.Rare/other.jpg")
    garden.fault("few_pictures", "train/007.Rare")
    garden.fault("imbalance", C, "train/007.Rare")  # C holds most of what was planted
    if os.geteuid():  # root may enter it all the same
        (garden.root / "train/007.Rare/closed").mkdir(mode=0)
        garden.fault("closed", "train/007.Rare/closed")


def _decoys(garden: Garden) -> None:
    """What is odd, and no fault."""
    garden.add(f"{A}/UPPER CASE.JPG", format="JPEG")
    garden.add(f"{A}/with.two dots.jpeg")
    garden.add(f"{B}/nested/deep/inside.png")
    garden.add(f"{B}/grey.jpg", garden.draw().convert("L"))
    garden.add(f"{B}/grey.bmp", garden.draw().convert("L"))
    garden.add(f"{C}/progressive.jpg", progressive=True)
    garden.add(f"{C}/Schäferhund 犬.jpg")
    garden.add(f"{C}/upright.jpg", exif=_orientation(1))
    garden.change(garden.add(f"{C}/behind its end.jpg"), lambda content: content + b"what a phone leaves there" * 9)
    garden.add(f"{C}/square.ppm")
    garden.add(f"{C}/still.webp", lossless=True)
    garden.write("notes.txt", b"beside the splits")


def _unusable(garden: Garden) -> None:
    faulty = {
        "unreadable": [
            garden.write(f"{A}/text.jpg", b"this is no photograph\n" * 9),
            garden.write(f"{A}/phone.jpg", b"\0\0\0\x18ftypheic" + bytes(500)),
            garden.write(f"{A}/page.jpg", b"<!DOCTYPE html><title>404 Not Found</title>"),
            garden.write(f"{A}/zeros.jpg", bytes(5000)),
        ],
        "empty": [garden.write(f"{A}/empty.jpg", b""), garden.write("valid/empty.png", b"")],
        "broken_link": [garden.link(f"{A}/gone.jpg", "nowhere.jpg"), garden.link("train/009.Gone", "/nowhere/at/all")],
        "too_narrow": [garden.add(f"{A}/strip.png", garden.draw().resize((3, 400)))],
    }
    os.mkfifo(garden.place(f"{A}/pipe.jpg"))
    faulty["empty"].append(f"{A}/pipe.jpg")
    garden.add(f"{A}/float.tif", garden.draw().convert("F"))
    faulty["unreadable"].append(f"{A}/float.tif")
    for kind, paths in faulty.items():
        for path in paths:
            garden.fault(kind, path)


def _damaged(garden: Garden) -> None:
    def half(content: bytes) -> bytes:
        return content[: len(content) // 2]

    for name in ("half.jpg", "half.png", "half.webp", "half.tif", "half.bmp", "half.ppm"):
        garden.fault("truncated", garden.change(garden.add(f"valid/{CLASSES[1]}/{name}"), half))
    header = garden.add(f"valid/{CLASSES[1]}/header.jpg")
    garden.fault("truncated", garden.change(header, lambda content: content[:150]))
    padded = garden.add(f"valid/{CLASSES[1]}/padded.jpg")
    garden.fault("truncated", garden.change(padded, lambda content: half(content) + bytes(len(content) // 2)))
    damaged = garden.add(f"valid/{CLASSES[1]}/damaged.png")
    garden.fault("unreadable", garden.change(damaged, lambda content: content.replace(b"IDAT", b"IDAT" + b"\x99" * 40)))
    tables = garden.add(f"valid/{CLASSES[1]}/tables.jpg")
    garden.fault("unreadable", garden.change(tables, lambda content: content.replace(b"\xff\xdb", b"\xff\xfe")))


def _endless(garden: Garden) -> None:
    wide, sides = struct.pack(">II", 160, 160), struct.pack(">II", 20_000, 20_000)
    bomb = garden.change(garden.add(f"{A}/bomb.png"), lambda content: _with_checksum(content.replace(wide, sides, 1)))
    garden.fault("too_large", bomb)
    scans = garden.add(f"{A}/scans.jpg", progressive=True)
    garden.fault("too_large", garden.change(scans, lambda content: content[:-2] + b"\xff\xda\0\2" * 40 + content[-2:]))
    garden.place(f"{A}/endless.jpg").touch()
    os.truncate(garden.root / f"{A}/endless.jpg", MAX_BYTES + 1)  # takes no room on the disk
    garden.fault("too_large", f"{A}/endless.jpg")


def _mislabelled(garden: Garden) -> None:
    garden.fault("wrong_extension", garden.add(f"{B}/in truth a png.jpg", format="PNG"))
    garden.fault("wrong_extension", garden.add(f"{B}/in truth a jpeg.png", format="JPEG"))
    for name in ("scanned.jfif", "no extension", "backup.JPG~", "copy.jpg.bak"):
        garden.fault("unknown_extension", garden.add(f"{B}/{name}", format="JPEG"))
    garden.fault("unknown_extension", garden.write(f"{B}/phone.heic", b"\0\0\0\x18ftypheic" + bytes(500)))


def _odd_pixels(garden: Garden) -> None:
    modes = {"print.jpg": "CMYK", "fax.png": "1", "poor.gif": "P", "grey glass.png": "LA", "glass.png": "RGBA"}
    for name, mode in modes.items():
        garden.fault("odd_mode", garden.add(f"{B}/{name}", garden.draw().convert(mode)))
    deep = Image.fromarray(np.asarray(garden.draw().convert("L")).astype(np.uint16) * 257)
    garden.fault("odd_mode", garden.add(f"{B}/sixteen.png", deep))
    for colour in ("white", (20, 90, 30)):
        garden.fault("blank", garden.add(f"{B}/blank {len(garden.planted)}.jpg", Image.new("RGB", (160, 160), colour)))
    grain = np.random.default_rng(0).normal(128, 3, (160, 160, 3)).clip(0, 255).astype(np.uint8)
    garden.fault("blank", garden.add(f"{B}/lens cap.jpg", Image.fromarray(grain)))


def _odd_shapes(garden: Garden) -> None:
    frames = [garden.draw(), garden.draw()]
    garden.fault("animated", garden.add(f"{C}/moving.webp", frames[0], save_all=True, append_images=frames[1:]))
    for turn in (3, 6):
        garden.fault("turned", garden.add(f"{C}/turned {turn}.jpg", exif=_orientation(turn)))
    garden.fault("tiny", garden.add(f"{C}/stamp.jpg", garden.draw().resize((90, 48))))
    garden.fault("huge", garden.add(f"{C}/poster.jpg", garden.draw().resize((5100, 5000), Image.Resampling.NEAREST)))


def _beside(garden: Garden) -> None:
    for path in (f"{C}/.DS_Store", f"{C}/._00001.jpg", f"{C}/Thumbs.db", "valid/.DS_Store", "valid/desktop.ini"):
        garden.fault("hidden", garden.write(path, b"\0\5\x16\7" * 20))
    for folder in (f"{C}/.ipynb_checkpoints", "train/.git"):
        garden.add(f"{folder}/00001-checkpoint.jpg")
        garden.fault("hidden", folder)
    for path in (f"{C}/notes.txt", f"{C}/film.mp4", f"{C}/BMW", "valid/labels.csv"):
        garden.fault("not_a_picture", garden.write(path, b"BMW, P6 and other words\n" * 20))
    garden.fault("stray", garden.add("train/lost.jpg"))
    garden.fault("stray", garden.add("train/lost too.jfif", format="JPEG"))


def _links(garden: Garden) -> None:
    outside = Garden(garden.root.absolute().with_name(f"{garden.root.name}-outside"))
    outside.add("alone.jpg", garden.draw())
    outside.add("album/0.jpg", garden.draw())
    garden.fault("outside_link", garden.link(f"{C}/elsewhere.jpg", outside.root / "alone.jpg"))
    garden.fault("outside_link", garden.link(f"{C}/album", outside.root / "album"))
    garden.fault("link_loop", garden.link(f"{C}/again", "../.."))
    garden.fault("broken_link", garden.link(f"{C}/itself.jpg", "itself.jpg"))


def _names(garden: Garden) -> None:
    names = ["what?.jpg", "CON.jpg", 'so "called".jpg', "two\nlines.jpg", "bell\a.jpg", "right\u202eto left.jpg"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.jpg"))
    for name in names:
        garden.fault("odd_name", garden.add(f"{C}/{name}"))
    garden.add(f"{C}/ends in a dot./inside.jpg")
    garden.fault("odd_name", f"{C}/ends in a dot.")


def _twins(garden: Garden) -> None:
    def copy(source: str, path: str) -> str:
        shutil.copyfile(garden.root / source, garden.place(path))
        return path

    def anew(source: str, path: str, change: Callable[[Image.Image], Image.Image]) -> str:
        return garden.add(path, change(Image.open(garden.root / source)), quality=70)

    def resized(picture: Image.Image) -> Image.Image:
        return picture.resize((120, 120))

    def recoloured(picture: Image.Image) -> Image.Image:
        return ImageEnhance.Color(ImageEnhance.Brightness(picture).enhance(1.1)).enhance(0.7)

    first, second = (f"train/{name}" for name in CLASSES[3:5])
    pictures = [f"{first}/{number:05d}.jpg" for number in range(6)]
    garden.fault("duplicate", pictures[0], copy(pictures[0], f"{first}/copy.jpg"))
    garden.fault("duplicate_leak", pictures[1], copy(pictures[1], f"valid/{CLASSES[3]}/seen.jpg"))
    garden.fault("duplicate_label", pictures[2], copy(pictures[2], f"{second}/which.jpg"))
    garden.fault("near_duplicate", pictures[3], anew(pictures[3], f"{first}/smaller.jpg", resized))
    garden.fault("near_leak", pictures[4], anew(pictures[4], f"valid/{CLASSES[3]}/paler.jpg", recoloured))
    garden.fault("near_label", pictures[5], anew(pictures[5], f"{second}/mirrored.jpg", ImageOps.mirror))


def _with_checksum(png: bytes) -> bytes:
    """A PNG whose header has the checksum of what it says."""
    return png[:29] + struct.pack(">I", zlib.crc32(png[12:29])) + png[33:]


def _orientation(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


if __name__ == "__main__":
    for kind, paths in make_dirty_tree(Path(sys.argv[1])):
        print(kind, *sorted(map(ascii, paths)))
