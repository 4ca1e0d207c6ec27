"""From a file or its bytes to the right RGB pixels."""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from dogbreed.errors import ImageError, TooLargeError

if TYPE_CHECKING:
    from torch import Tensor

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})

# What those names may hold, whichever of them a file bears: no format that starts a program (EPS) or a container.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

# A picture is decoded whole, at 3 bytes a pixel; 100 megapixels (300 MB) is more than any camera phone
# makes, and little enough for every worker of a small machine.
MAX_PIXELS = 100_000_000

# A progressive JPEG comes in about ten scans. Each costs a pass over all the pixels, and no more than 30 bytes of file.
MAX_SCANS = 30
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"

# Resizing the shorter side to a few hundred pixels makes a narrow picture enormous: 20,000 x 1 took 5 GB.
MAX_ASPECT = 100

_WHITE = (255, 255, 255, 255)

# What turns a picture upright, by its EXIF orientation. ImageOps.exif_transpose does the same, and then writes the
# other EXIF fields anew, at which it fails where a camera has left one of a wrong type.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def picture_digest(content: bytes) -> str:
    """What a picture is recognised by, wherever it stands: 32 hexadecimal digits of its file's content.

    >>> picture_digest(b"")
    'cae66941d9efbd404e4d88758ea67670'
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def decode_image(source: bytes | str | os.PathLike[str] | Image.Image, name: str | None = None) -> Tensor:
    """The picture as a uint8 RGB tensor of shape (3, H, W), upright.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits, CMYK and
    palettes are converted, and of an animation the first frame is taken.

    Args:
        source: a file's content, a file's path, or an opened picture.
        name: what errors call it; None for the path, where there is one.

    Raises:
        TooLargeError: it has more than `MAX_PIXELS`, or is a JPEG of more than `MAX_SCANS`.
        ImageError: the picture is empty, truncated, no picture at all, or narrower than 1 to `MAX_ASPECT`.
    """
    if name is None:
        name = "the picture" if isinstance(source, bytes | Image.Image) else os.fspath(source)
    try:
        if isinstance(source, Image.Image):
            check_size(*source.size, name)
            return _to_tensor(_to_rgb(source))
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        with _opened(data) as image:
            check_size(*image.size, name)
            _check_scans(data, image, name)
            pixels = _decode_upright_jpeg(data) if _is_upright_jpeg(image) else None
            return _to_tensor(_to_rgb(image) if pixels is None else pixels)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(f"{name}: {error}") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        raise ImageError(
            got=f"{name} cannot be read: {_reason(error)}",
            allowed=f"a whole picture ({', '.join(sorted(EXTENSIONS))})",
            hint="take another picture, or save this one anew",
        ) from error


def is_plain_jpeg(content: bytes, most_pixels: int = MAX_PIXELS) -> bool:
    """Whether every decoder should find the same picture in a file: a whole JPEG in YCbCr that nothing says to turn.

    Decoders differ over EXIF fields of a wrong type, colours that are stored as RGB, and files without an end.
    """
    try:
        with _opened(content) as image:
            check_size(*image.size, "")
            turn = image.getexif().get(ExifTags.Base.Orientation, None if "exif" in image.info else 1)
            components = [component[0] for component in getattr(image, "layer", [])]
            rgb = image.info.get("adobe_transform", 1) != 1 or components == list(b"RGB")
            small = image.width * image.height <= most_pixels
            return _is_upright_jpeg(image) and turn == 1 and not rgb and small and content.endswith(b"\xff\xd9")
    except Exception:  # as above; `decode_image` says what is wrong with it
        return False


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # The size is checked afterwards, against our own limit and with our own message.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image


def check_size(width: int, height: int, name: str) -> None:
    """Refuse a picture that has too many pixels, or is too narrow, to be worked on.

    Raises:
        TooLargeError: it has more than `MAX_PIXELS`.
        ImageError: it is narrower than 1 to `MAX_ASPECT`.
        ValueError: it has none.
    """
    if width * height > MAX_PIXELS:
        raise _too_large(f"{name} has {width} x {height} pixels")
    if width * height == 0:
        raise ValueError("it has no pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            got=f"{name} has {width} x {height} pixels",
            allowed=f"one side at most {MAX_ASPECT} times the other",
            hint="crop it to what it should show",
        )


def _check_scans(data: bytes, image: Image.Image, name: str) -> None:
    if image.format != "JPEG":
        return
    position, scans = 2, 0  # behind the marker that starts every JPEG
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)) and marker[1] != _END_OF_IMAGE:
        scans += marker[1] == _START_OF_SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    if scans > MAX_SCANS:
        raise TooLargeError(
            got=f"{name} is a JPEG of more than {MAX_SCANS} scans",
            allowed=f"at most {MAX_SCANS}; cameras and editors make about ten",
            hint="save it anew with any program",
        )


def picture_pixels(content: bytes) -> int:
    """How many pixels a file claims to hold; 0 for one that decoding will find out about."""
    try:
        with _opened(content) as image:
            return image.width * image.height
    except Exception:  # whatever Pillow stumbles over; `decode_image` says what is wrong with it
        return 0


def _is_upright_jpeg(image: Image.Image) -> bool:
    return image.format == "JPEG" and image.mode == "RGB" and _turn(image) is None


def _decode_upright_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels that Pillow makes of it, in 0.7 of the time; None where something is wrong with it."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:  # whether it can be read all the same, and what to say if not, Pillow knows
        return None
    return pixels


def _turn(image: Image.Image) -> Image.Transpose | None:
    return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()  # raises on a truncated file, before anything is made of its first half
    turn = _turn(image)
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip it at 255
        grey = np.asarray(image)  # of unsigned 16 bits, or of signed 32
        return Image.fromarray((grey.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _to_tensor(picture: Image.Image | NDArray[np.uint8]) -> Tensor:
    import torch  # here and not above: names and digests of files are for programs without it

    # Height, width, channel in memory, seen as (3, H, W): the layout in which torchvision resizes uint8 fast.
    pixels = picture if isinstance(picture, np.ndarray) else np.array(picture)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _too_large(got: str) -> TooLargeError:
    return TooLargeError(
        got=got,
        allowed=f"at most {MAX_PIXELS // 1_000_000} megapixels",
        hint="scale it down first: the backbone reads a few hundred pixels a side",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no picture in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
