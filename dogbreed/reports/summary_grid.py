"""Draws samples of a data set: a row of pictures for each class."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

from dogbreed.data.folder import Split
from dogbreed.data.images import decode_image
from dogbreed.errors import ImageError
from dogbreed.reports.names import legible
from dogbreed.reports.words import count
from dogbreed.seeding import derive_seed
from dogbreed.serving.names import readable

_SIDE, _GAP, _MARGIN = 144, 6, 24
_LABEL = 210  # the column of names
_LETTERS, _LINES = 22, 3  # of a name
_INK, _MUTED, _PAGE, _SUNKEN = "#1c1e21", "#5b5f66", "#f8f8f6", "#e6e6e0"


def draw_grid(split: Split, class_names: Sequence[str], *, classes: int, pictures: int, seed: int) -> Image.Image:
    """A row for each of some classes: its name, and some of its pictures, each cropped to its middle.

    Args:
        split: what to draw from.
        class_names: of all its classes.
        classes: at most so many rows, spread evenly over the classes that have pictures.
        pictures: so many in a row, as far as there are some that can be decoded.
        seed: of the choice.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for path, target in zip(split.paths, split.targets, strict=True):
        members[target].append(path)
    there = sorted(members)
    chosen = [there[round(place)] for place in np.linspace(0, len(there) - 1, min(classes, len(there)))]
    width = 2 * _MARGIN + _LABEL + pictures * (_SIDE + _GAP) - _GAP
    grid = Image.new("RGB", (width, 2 * _MARGIN + len(chosen) * (_SIDE + _GAP) - _GAP), _PAGE)
    for row, index in enumerate(tqdm(chosen, "drawing samples", unit="class", disable=None, delay=2)):
        top = _MARGIN + row * (_SIDE + _GAP)
        _write_label(grid, top, class_names[index], len(members[index]))
        shown = list(_thumbnails(members[index], pictures, derive_seed(seed, "samples", index)))
        for column in range(pictures):
            place = (_MARGIN + _LABEL + column * (_SIDE + _GAP), top)
            grid.paste(shown[column] if column < len(shown) else _SUNKEN, (*place, place[0] + _SIDE, place[1] + _SIDE))
    return grid


def _thumbnails(paths: Sequence[str], number: int, seed: int) -> Iterator[Image.Image]:
    for index in np.random.default_rng(seed).permutation(len(paths)):
        if number == 0:
            return
        try:
            pixels = decode_image(paths[index]).permute(1, 2, 0).numpy()
        except ImageError:  # another one then: an audit says what is wrong with it
            continue
        number -= 1
        yield ImageOps.fit(Image.fromarray(pixels), (_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _write_label(grid: Image.Image, top: int, class_name: str, pictures: int) -> None:
    pen = ImageDraw.Draw(grid)
    lines = textwrap.wrap(legible(readable(class_name)), _LETTERS, max_lines=_LINES, placeholder="…")
    height = 22
    y = top + (_SIDE - height * (len(lines) + 1)) // 2
    for line in lines:
        pen.text((_MARGIN, y), line, _INK, _font(17))
        y += height
    pen.text((_MARGIN, y + 2), count(pictures, "picture"), _MUTED, _font(13))


@lru_cache(maxsize=2)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own knows few letters beyond English."""
    import matplotlib  # here, as everywhere: loading it takes a while

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
