"""Every kind of picture that people have becomes the right RGB pixels, or an ImageError that says what to do."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from dogbreed.data import images
from dogbreed.data.images import decode_image
from dogbreed.errors import ImageError, TooLargeError

RAMP = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)

# What the picture in the file has been through, by EXIF orientation (section 4.6.4 of Exif 2.3: where the first row
# and the first column of the file belong in the upright picture).
STORE = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 1),  # to be turned clockwise
    7: lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
    8: lambda pixels: np.rot90(pixels, -1),  # to be turned anticlockwise
}


def photo(width: int = 48, height: int = 32) -> np.ndarray:
    """Smooth pixels (H, W, 3), different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (30 + 190 * x / width, 220 - 180 * y / height, 40 + 90 * x / width + 90 * y / height)
    return np.stack(channels, axis=2).astype(np.uint8)


def encode(picture: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """The content of a file of that kind."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def make_png(width: int, height: int, depth: int, colour_type: int, data: bytes) -> bytes:
    """A PNG of any kind, some of which Pillow reads but does not write; `data`: a zlib stream of filtered rows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def make_deep_png(pixels: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel: uint16 (H, W, C)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return make_png(pixels.shape[1], pixels.shape[0], 16, colour_type, zlib.compress(rows))


def make_huge_png(side: int) -> bytes:
    """A whole black PNG of side x side pixels at one bit each, in a few kilobytes."""
    packer, row = zlib.compressobj(1), bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return make_png(side, side, 1, 0, data)


def pixels_of(source) -> np.ndarray:
    """What `decode_image` makes of it, as (H, W, 3)."""
    return decode_image(source).permute(1, 2, 0).numpy()


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The textbook formula of laying (H, W, 3) with alpha (H, W) in [0, 255] on white."""
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


# The tensor


def test_decode_image__lossless_rgb_is_exact():
    image = decode_image(encode(photo()))
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(photo()).permute(2, 0, 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_decode_image__reads_the_format(kind):
    assert np.abs(pixels_of(encode(photo(), kind)).astype(int) - photo()).mean() < 8


@pytest.mark.parametrize("extension", sorted(images.EXTENSIONS))
def test_decode_image__reads_every_extension(tmp_path, extension):
    path = tmp_path / f"picture{extension}"
    grey = extension == ".pgm"
    Image.fromarray(photo()[..., 0] if grey else photo()).save(path)
    assert decode_image(path).shape == (3, 32, 48)


def test_decode_image__bytes_path_and_picture_agree(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(photo(), "JPEG", exif=make_exif(6)))
    with Image.open(path) as opened:
        views = [decode_image(source) for source in (path, str(path), path.read_bytes(), opened)]
    assert all(torch.equal(views[0], view) for view in views[1:])


def test_decode_image__result_may_be_written_to():
    picture = Image.fromarray(photo())
    decode_image(picture).zero_()
    assert np.array_equal(np.asarray(picture), photo())


# Orientation


def make_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_decode_image__exif_orientation_is_applied(kind, options, orientation):
    stored = np.ascontiguousarray(STORE[orientation](photo()))
    upright = pixels_of(encode(stored, kind, exif=make_exif(orientation), **options))
    assert upright.shape == photo().shape
    assert np.abs(upright.astype(int) - photo()).mean() < 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_decode_image__unknown_orientation_is_ignored(orientation):
    assert np.array_equal(pixels_of(encode(photo(), exif=make_exif(orientation))), photo())


def test_decode_image__deep_grey_is_turned_too():
    stored = np.ascontiguousarray(STORE[6](RAMP))
    upright = pixels_of(encode(stored, "PNG", exif=make_exif(6)))
    assert np.abs(upright[..., 0] - RAMP / 257).max() < 1


def test_decode_image__odd_exif_field_does_not_spoil_the_picture():
    # XResolution written as text, at which ImageOps.exif_transpose raises a TypeError.
    text = struct.pack("<HHI4s", 0x011A, 2, 3, b"72\0\0")
    turn = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + turn + text + bytes(4)
    assert decode_image(encode(photo(), "JPEG", exif=exif)).shape == (3, 48, 32)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x09"])
@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
def test_decode_image__broken_exif_does_not_spoil_the_picture(exif):
    assert decode_image(encode(photo(), "JPEG", exif=exif)).shape == (3, 32, 48)


# Colours


def test_decode_image__cmyk():
    cmyk = Image.fromarray(photo()).convert("CMYK")
    assert np.abs(pixels_of(encode(cmyk, "JPEG", quality=95)).astype(int) - photo()).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_decode_image__palette(kind):
    rng = np.random.default_rng(0)
    palette, indices = rng.integers(0, 256, (16, 3), dtype=np.uint8), rng.integers(0, 16, (20, 30), dtype=np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    assert np.array_equal(pixels_of(encode(picture, kind)), palette[indices])


def test_decode_image__transparent_colour_of_a_palette_is_white():
    rng = np.random.default_rng(1)
    palette, indices = rng.integers(0, 200, (16, 3), dtype=np.uint8), rng.integers(0, 16, (20, 30), dtype=np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    palette[5] = 255
    assert np.array_equal(pixels_of(encode(picture, transparency=5)), palette[indices])


def test_decode_image__translucent_palette_is_laid_on_white():
    rng = np.random.default_rng(2)
    palette, indices = rng.integers(0, 256, (16, 3), dtype=np.uint8), rng.integers(0, 16, (20, 30), dtype=np.uint8)
    alphas = np.linspace(0, 255, 16).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    pixels = pixels_of(encode(picture, transparency=alphas.tobytes()))
    assert np.abs(pixels - on_white(palette[indices], alphas[indices])).max() <= 1


def test_decode_image__transparent_key_colour_is_white():
    pixels = photo()
    pixels[:8] = (1, 2, 3)
    expected = pixels.copy()
    expected[:8] = 255
    assert np.array_equal(pixels_of(encode(pixels, transparency=(1, 2, 3))), expected)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encode(RAMP, "PNG"), id="png"),
        pytest.param(encode(RAMP, "TIFF"), id="tiff"),
        pytest.param(encode(Image.frombytes("I;16B", (64, 48), RAMP.astype(">u2").tobytes()), "TIFF"), id="tiff-big"),
        pytest.param(b"P5 64 48 65535\n" + RAMP.astype(">u2").tobytes(), id="pgm"),
    ],
)
def test_decode_image__deep_grey_is_scaled(content):
    pixels = pixels_of(content)
    assert np.abs(pixels - RAMP[..., None] / 257).max() < 1


def test_decode_image__deep_rgb_is_scaled():
    deep = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
    assert np.abs(pixels_of(make_deep_png(deep, colour_type=2)) - deep / 257).max() <= 1


def test_decode_image__deep_grey_with_alpha_is_laid_on_white():
    deep = np.stack([RAMP, RAMP[::-1]], axis=2)
    expected = on_white(deep[..., :1] / 257, deep[..., 1] / 257)
    assert np.abs(pixels_of(make_deep_png(deep, colour_type=4)) - expected).max() <= 2


def test_decode_image__deep_alpha_is_laid_on_white():
    deep = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1], RAMP], axis=2)
    expected = on_white(deep[..., :3] / 257, deep[..., 3] / 257)
    assert np.abs(pixels_of(make_deep_png(deep, colour_type=6)) - expected).max() <= 2


def test_decode_image__one_bit():
    bits = np.random.default_rng(3).integers(0, 2, (20, 30)).astype(bool)
    assert np.array_equal(pixels_of(encode(bits)), np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def test_decode_image__grey():
    grey = photo()[..., 0]
    assert np.array_equal(pixels_of(encode(grey)), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_decode_image__grey_with_alpha_is_laid_on_white(kind):
    both = photo()[..., :2]
    pixels = pixels_of(encode(Image.fromarray(both, "LA"), kind))
    assert np.abs(pixels - on_white(both[..., :1], both[..., 1])).max() <= 1


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_decode_image__alpha_is_laid_on_white(kind, options):
    alpha = np.linspace(0, 255, 48 * 32).astype(np.uint8).reshape(32, 48)
    pixels = pixels_of(encode(np.dstack([photo(), alpha]), kind, **options))
    assert np.abs(pixels - on_white(photo(), alpha)).max() <= 1


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_decode_image__first_frame_of_an_animation(kind, options):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(content))))) == 3
    assert np.array_equal(pixels_of(content), np.asarray(frames[0]))


def test_decode_image__floating_point_has_no_range():
    with pytest.raises(ImageError, match="no fixed range"):
        decode_image(encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


# Pictures that are already open


def test_decode_image__picture_that_was_used_before():
    picture = Image.open(io.BytesIO(encode(photo(), "JPEG")))
    expected = decode_image(picture)
    picture.getpixel((3, 3))
    picture.thumbnail((400, 400))
    assert torch.equal(decode_image(picture), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16"])
def test_decode_image__picture_of_every_mode(mode):
    assert decode_image(Image.new(mode, (6, 4))).shape == (3, 4, 6)


def test_decode_image__leaves_the_picture_as_it_was():
    picture = Image.open(io.BytesIO(encode(np.dstack([photo(), photo()[..., 0]]), exif=make_exif(6))))
    decode_image(picture)
    assert (picture.mode, picture.size, picture.getexif()[0x0112]) == ("RGBA", (48, 32), 6)


def test_decode_image__closed_picture():
    picture = Image.open(io.BytesIO(encode(photo())))
    picture.close()
    with pytest.raises(ImageError, match="the picture cannot be read"):
        decode_image(picture)


def test_decode_image__picture_without_pixels():
    with pytest.raises(ImageError, match="no pixels"):
        decode_image(Image.new("RGB", (0, 7)))


# What is no picture, or no whole one


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_decode_image__truncated(kind, share):
    content = encode(np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8), kind)
    with pytest.raises(ImageError):
        decode_image(content[: int(len(content) * share)])


def test_decode_image__truncated_picture_that_is_already_open():
    content = encode(np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8), "JPEG")
    with pytest.raises(ImageError, match="truncated"):
        decode_image(Image.open(io.BytesIO(content[: len(content) // 2])))


def test_decode_image__broken_chunk_at_which_pillow_raises_a_syntax_error():
    packer = zlib.compressobj()
    rows = packer.compress(bytes(9)) + packer.flush(zlib.Z_SYNC_FLUSH)  # one of eight, more to come
    with pytest.raises(ImageError, match="broken PNG file"):
        decode_image(make_png(8, 8, 8, 0, rows)[:-12] + b"\0\0\0\4\1\2\3\4abcd1234")


def test_decode_image__text_named_jpg(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a photograph")
    with pytest.raises(ImageError, match="no picture in a known format"):
        decode_image(path)


def test_decode_image__no_bytes():
    with pytest.raises(ImageError, match="no picture in a known format"):
        decode_image(b"")


def test_decode_image__missing_file(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg cannot be read: no such file"):
        decode_image(tmp_path / "gone.jpg")


def test_decode_image__directory(tmp_path):
    with pytest.raises(ImageError, match="is a directory"):
        decode_image(str(tmp_path))


def test_decode_image__nul_in_the_path():
    with pytest.raises(ImageError):
        decode_image("a\0b.jpg")


@pytest.mark.parametrize("kind", [str, Path])
def test_decode_image__error_names_the_path_and_what_to_do(tmp_path, kind):
    path = tmp_path / "broken.jpg"
    path.write_bytes(encode(photo(), "JPEG")[:300])
    with pytest.raises(ImageError) as caught:
        decode_image(kind(path))
    assert str(path) in caught.value.got
    assert "save this one anew" in str(caught.value)


def test_decode_image__error_about_bytes_speaks_of_the_picture():
    with pytest.raises(ImageError) as caught:
        decode_image(b"nothing")
    assert caught.value.got.startswith("the picture ")


# Pictures that must not be decoded


HUGE = {
    "png": make_png(30_000, 30_000, 1, 0, zlib.compress(bytes(100))),
    "ppm": b"P6 30000 30000 255\n",
    "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "gif": b"GIF89a"
    + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0)
    + b","
    + struct.pack("<HHHHB", 0, 0, 30_000, 30_000, 0)
    + b"\x02\x01\x00\x00;",
    "png of 144 megapixels": make_png(12_000, 12_000, 1, 0, zlib.compress(bytes(100))),
    "ppm of 144 megapixels": b"P6 12000 12000 255\n",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HUGE)
def test_decode_image__huge_picture_is_refused_by_its_header(tmp_path, name):
    path = tmp_path / "huge"
    path.write_bytes(HUGE[name])
    with pytest.raises(ImageError) as caught:
        decode_image(path)
    assert str(path) in caught.value.got
    assert caught.value.allowed == "at most 100 megapixels"


@pytest.mark.filterwarnings("error")
def test_decode_image__large_picture_below_the_limit_is_decoded_without_a_warning():
    # 94 megapixels: more than Pillow's own limit. Its end is missing, so that decoding it takes no time.
    with pytest.raises(ImageError, match="truncated"):
        decode_image(make_png(9_700, 9_700, 1, 0, zlib.compress(bytes(100))))


def cost_of_refusing(paths: list[str]) -> tuple[int, float]:
    """Peak memory in KiB (on Linux) and seconds that it takes to refuse these pictures."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for path in paths:
        with pytest.raises(ImageError):
            decode_image(path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start


def test_decode_image__huge_picture_takes_little_time_and_memory(tmp_path):
    for side in (30_000, 12_000):
        (tmp_path / f"{side}.png").write_bytes(make_huge_png(side))
    # A process of its own, whose peak is not hidden below that of the tests before.
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        grown, seconds = pool.submit(cost_of_refusing, [str(path) for path in tmp_path.iterdir()]).result()
    assert grown < 20_000  # decoded at one byte a pixel they would take 880,000 and 140,000
    assert seconds < 1


def test_decode_image__huge_picture_that_is_already_open(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as people do who trust their files
    with pytest.raises(ImageError, match="30000 x 30000 pixels"):
        decode_image(Image.open(io.BytesIO(HUGE["png"])))


@pytest.mark.parametrize(("limit", "allowed"), [(48 * 32, True), (48 * 32 - 1, False)])
def test_decode_image__limit_is_inclusive(monkeypatch, limit, allowed):
    monkeypatch.setattr(images, "MAX_PIXELS", limit)
    if allowed:
        decode_image(encode(photo()))
    else:
        with pytest.raises(ImageError, match="48 x 32 pixels"):
            decode_image(encode(photo()))


@pytest.mark.parametrize("size", [(101, 1), (1, 101), (20_000, 1)])
def test_decode_image__narrow_picture_is_refused(size):
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels"):
        decode_image(encode(Image.new("RGB", size)))


@pytest.mark.parametrize("size", [(100, 1), (1, 100), (1, 1)])
def test_decode_image__smallest_pictures_are_read(size):
    assert decode_image(encode(Image.new("RGB", size))).shape == (3, size[1], size[0])


def with_scans(jpeg: bytes, wanted: int) -> bytes:
    """A progressive JPEG with its last scan repeated, so that it has `wanted` in all."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:start] + jpeg[start:-2] * (wanted - jpeg.count(b"\xff\xda") + 1) + jpeg[-2:]


@pytest.mark.parametrize("scans", [images.MAX_SCANS + 1, 3000])
def test_decode_image__jpeg_of_many_scans_is_refused_before_they_are_decoded(scans):
    content = with_scans(encode(photo(4000, 3000), "JPEG", progressive=True), scans)
    began = time.process_time()
    with pytest.raises(TooLargeError, match="30 scans"):
        decode_image(content)
    assert time.process_time() - began < 2  # 3,000 scans would take a minute


@pytest.mark.parametrize("trailer", [b"", b"\xff\xda" * 100])
def test_decode_image__jpeg_of_ordinary_scans_is_read_whatever_follows_it(trailer):
    plain = encode(photo(), "JPEG", progressive=True)
    inside = encode(photo(), "JPEG", progressive=True, comment=b"\xff\xda" * 100)
    for content in (plain, inside, with_scans(plain, images.MAX_SCANS)):
        assert decode_image(content + trailer).shape == (3, 32, 48)


# Whatever the bytes


def _real_files() -> dict[str, bytes]:
    small, exif = photo(12, 9), make_exif(6)
    frames = [Image.fromarray(small), Image.fromarray(small[::-1].copy())]
    animated = {"save_all": True, "append_images": frames[1:]}
    return {
        "jpeg": encode(small, "JPEG", exif=exif),
        "cmyk jpeg": encode(Image.fromarray(small).convert("CMYK"), "JPEG"),
        "png": encode(small, "PNG", exif=exif),
        "deep png": encode(RAMP[:9, :12].copy(), "PNG"),
        "palette png": encode(Image.fromarray(small).quantize(8), "PNG", transparency=3),
        "webp": encode(small, "WEBP", exif=exif),
        "animated webp": encode(frames[0], "WEBP", **animated),
        "gif": encode(small, "GIF"),
        "animated gif": encode(frames[0], "GIF", **animated),
        "tiff": encode(small, "TIFF", exif=exif),
        "lzw tiff": encode(small, "TIFF", compression="tiff_lzw"),
    }


FILES = _real_files()


def is_read_or_refused(content: bytes) -> bool:
    """Whether it is a picture or an ImageError; any other error is raised."""
    try:
        image = decode_image(content)
    except ImageError:
        return True
    return image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == 3 and image.numel() > 0


@pytest.mark.parametrize("name", FILES)
def test_files__are_pictures(name):
    assert decode_image(FILES[name]).shape in {(3, 9, 12), (3, 12, 9)}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF89a", b"II*\0", b"BM", b"P6 "]),
    rest=st.binary(max_size=200),
)
def test_decode_image__any_bytes_are_read_or_refused(start, rest):
    assert is_read_or_refused(start + rest)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata before it goes on
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    length=st.integers(1, 20_000),
)
def test_decode_image__damaged_files_are_read_or_refused(name, changes, length):
    content = bytearray(FILES[name])
    for place, value in changes:
        content[place % len(content)] = value
    assert is_read_or_refused(bytes(content[:length]))


def test_decode_image__opens_no_format_that_starts_a_program() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    with pytest.raises(ImageError, match="no picture in a known format"):
        decode_image(eps)


# JPEGs, which take a way of their own: Pillow's pixels, or its refusal


def by_pillow(content: bytes) -> torch.Tensor | None:
    """What Pillow makes of a file, by the way that every opened picture takes; None where it is refused."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return decode_image(opened)
    except (ImageError, OSError, SyntaxError, ValueError):
        return None


def is_by_pillow(content: bytes) -> bool:
    try:
        ours = decode_image(content)
    except ImageError:
        return by_pillow(content) is None
    theirs = by_pillow(content)
    return theirs is not None and torch.equal(ours, theirs)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    colours=st.sampled_from([{"subsampling": way} for way in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")] + [{"keep_rgb": 1}]),
    options=st.fixed_dictionaries(
        {
            "quality": st.integers(1, 100),
            "progressive": st.booleans(),
            "optimize": st.booleans(),
            "restart_marker_blocks": st.integers(0, 3),
            "exif": st.integers(0, 8).map(make_exif),
        }
    ),
)
def test_decode_image__of_a_jpeg_is_pillows(height, width, colours, options):
    assert is_by_pillow(encode(photo(width, height), "JPEG", **colours, **options))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    progressive=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3),
    length=st.integers(1, 5_000),
    after=st.binary(max_size=3),
)
def test_decode_image__of_a_damaged_jpeg_is_pillows(progressive, changes, length, after):
    content = bytearray(encode(photo(40, 30), "JPEG", progressive=progressive))
    for place, value in changes:
        content[place % len(content)] = value
    assert is_by_pillow(bytes(content[:length]) + after)


def test_decode_image__takes_the_quick_way_for_a_jpeg(monkeypatch):
    taken, original = [], simplejpeg.decode_jpeg

    def decode(data: bytes, *rest: object, **options: object) -> np.ndarray:
        taken.append(data)
        return original(data, *rest, **options)

    monkeypatch.setattr("dogbreed.data.images.simplejpeg.decode_jpeg", decode)
    upright = encode(photo(), "JPEG")
    for content in (upright, encode(photo(), "JPEG", exif=make_exif(3)), encode(photo(), "PNG")):
        decode_image(content)
    assert taken == [upright]
