"""Damaged pictures: decoded to the pixels that Pillow finds, or refused, by every reader alike."""

from __future__ import annotations

import base64
import io
import random
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dogbreed.audit.findings import KINDS
from dogbreed.audit.looking import look_at
from dogbreed.audit.walking import File
from dogbreed.data.images import MAX_PIXELS, decode_image, is_plain_jpeg, picture_digest, picture_pixels
from dogbreed.errors import ImageError
from tests.fuzzing.bases import drawn_pictures, photographs
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.splices import draw_splices, splice

_SMALL = 12_000  # bytes that a seed holds as they are
_PNG = b"\x89PNG\r\n\x1a\n"


def draw_picture(rng: random.Random) -> Case:
    """A damaged picture of any format; of a photograph where there are some."""
    drawn, files = drawn_pictures(), photographs()
    name = rng.choice(list(files)) if files and rng.random() < 0.3 else rng.choice(list(drawn))
    content = _undamaged(name)
    case: Case = {"base": name, "splices": draw_splices(content, rng, drawn[rng.choice(list(drawn))])}
    case["mend"] = rng.random() < 0.7
    damaged = picture_of(case)
    return {"content": base64.b64encode(damaged).decode()} if len(damaged) < _SMALL else case


def picture_of(case: Case) -> bytes:
    """The content of a case's picture."""
    if "content" in case:
        return base64.b64decode(case["content"])
    content = splice(_undamaged(case["base"]), case["splices"])
    return _mended(content) if case["mend"] and content.startswith(_PNG) else content


def _undamaged(name: str) -> bytes:
    drawn = drawn_pictures()
    return drawn[name] if name in drawn else photographs()[name].read_bytes()


def _mended(content: bytes) -> bytes:
    """A PNG whose checksums are right again, so that what is behind them is read."""
    found, at = bytearray(_PNG), len(_PNG)
    while at + 12 <= len(content):
        end = min(at + 8 + int.from_bytes(content[at : at + 4], "big"), len(content))
        found += content[at:end] + zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(found) + content[at:]


class Cases:
    """A case is a file's content."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._work = work

    def make(self, rng: random.Random, number: int) -> Case:
        """A damaged picture."""
        return draw_picture(rng)

    def check(self, case: Case) -> str:
        """Every reader of pictures agrees about it."""
        content = picture_of(case)
        plain, claimed = is_plain_jpeg(content), picture_pixels(content)
        try:
            pixels = decode_image(content)
        except ImageError:
            pixels = None
        self._compare_look(content, pixels)
        if pixels is None:
            return "refused"
        if pixels.dtype != torch.uint8 or pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.numel():
            wrong("no picture", f"{pixels.dtype} {pixels.shape}")
        height, width = pixels.shape[1:]
        if height * width > MAX_PIXELS or claimed != height * width:
            wrong("another size than it claims", f"{claimed:,} and {height} x {width}")
        _compare(content, pixels.permute(1, 2, 0).numpy(), plain)
        return "right"

    def _compare_look(self, content: bytes, pixels: torch.Tensor | None) -> None:
        """What an audit sees of it fits what the decoder says."""
        (self._work / "a.jpg").write_bytes(content)
        (look,), thumbnails = look_at(self._work, [File("a.jpg", "train", "a")], 0)
        if (look.problem is None) != (pixels is not None):
            wrong("the audit sees another fault than the decoder", look)
        if look.digest != picture_digest(content) or look.size_bytes != len(content):
            wrong("the audit sees another file", look)
        if look.problem is not None and look.problem not in KINDS:
            wrong("the audit names a kind that there is none of", look)
        if pixels is not None and {look.width, look.height} != set(pixels.shape[1:]):
            wrong("the audit sees another size", look)
        if pixels is None and thumbnails.any():
            wrong("a thumbnail of nothing", look)


def _compare(content: bytes, pixels: NDArray[np.uint8], plain: bool) -> None:
    """The pixels are those that Pillow alone finds in a picture of 8 bits."""
    with Image.open(io.BytesIO(content)) as image:
        if image.mode not in ("RGB", "L") or image.has_transparency_data:
            return
        try:
            image.load()
        except Exception:  # what Pillow raises for a broken file
            wrong("Pillow cannot read it", image.format)
        try:
            turned = image if plain else ImageOps.exif_transpose(image)
        except Exception:  # it writes the other fields of EXIF anew, and stumbles over broken ones
            return
        if not np.array_equal(np.asarray(turned.convert("RGB")), pixels):
            wrong("other pixels than Pillow's", f"{image.format} {image.size}")
