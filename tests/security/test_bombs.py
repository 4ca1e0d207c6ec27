"""Small files that claim, or unpack to, a great deal: each is answered for in bounded time and memory."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

#: What decoding may take beside Python and torch: far more than any of these needs, far less than they claim.
MOST_BYTES = 1_500_000_000

#: Each in a child of its own, since memory is counted by process.
PROGRAM = """
import json, os, resource, sys
from dogbreed.data.images import decode_image, is_plain_jpeg, picture_pixels
from dogbreed.errors import ImageError

def look(name):
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    content = open(name, "rb").read()
    try:
        found = str(tuple(decode_image(content).shape))
    except ImageError as error:
        found = error.got
    is_plain_jpeg(content), picture_pixels(content)
    taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    print(json.dumps([name, found, taken]), flush=True)

decode_image("plain.jpg")
for name in sorted(os.listdir()):
    if os.fork() == 0:
        look(name)
        os._exit(0)
    os.wait()
"""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *extra: bytes, pixels: bytes | None = None) -> bytes:
    """A grey PNG; without pixels of its own, black."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes((width + 1) * height) if pixels is None else pixels, 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")])


def jpeg(*segments: bytes) -> bytes:
    """A small JPEG with segments behind its start."""
    content = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 100, 50)).save(content, "JPEG")
    parts = b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in segments)
    return content.getvalue()[:2] + parts + content.getvalue()[2:]


def saved(form: str, frames: int) -> bytes:
    """An animation of tiny frames that differ."""
    content = io.BytesIO()
    pictures = [Image.new("L", (2, 2), number % 256) for number in range(frames)]
    pictures[0].save(content, form, save_all=True, append_images=pictures[1:])
    return content.getvalue()


def directories(count: int, *, loop: bool = False) -> bytes:
    """A TIFF of 1 x 1 pixels with so many directories, or one that leads back to itself."""
    content, tags = bytearray(b"II*\x00" + struct.pack("<I", 8)), []
    for tag, value in ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 4), (277, 1), (278, 1), (279, 1)):
        tags.append(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value))
    body = struct.pack("<H", len(tags)) + b"".join(tags)
    for number in range(count):
        last = number == count - 1
        following = 8 if last and loop else 0 if last else 8 + (number + 1) * (len(body) + 4)
        content += body + struct.pack("<I", following)
    return bytes(content)


def exif(count: int) -> bytes:
    """EXIF of so many fields, each pointing at the same content."""
    fields = b"".join(struct.pack("<HHII", 0x9286, 7, 60_000, 8) for _ in range(count))
    return b"Exif\x00\x00II*\x00" + struct.pack("<I", 8) + struct.pack("<H", count) + fields + bytes(4)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png of zeros, 90 megapixels": lambda: png(9500, 9500),
    "png that claims 2^31 pixels": lambda: png(2**31 - 1, 2**31 - 1, pixels=b""),
    "png with a profile of 1 GB": lambda: png(4, 4, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**9), 9))),
    "png with texts of 1 GB": lambda: png(4, 4, *[chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8), 9))] * 10),
    "png with international texts": lambda: png(
        4, 4, *[chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(10**8), 9))] * 10
    ),
    "png with 200,000 chunks": lambda: png(4, 4, *[chunk(b"tEXt", b"k\0v")] * 200_000),
    "jpeg with 20,000 segments": lambda: jpeg(*[b"x" * 100] * 20_000),
    "jpeg with a profile in 255 parts": lambda: jpeg(*[b"ICC_PROFILE\0\1\1" + bytes(60_000)] * 255),
    "jpeg with 5,000 fields of EXIF": lambda: jpeg(exif(5_000)),
    "gif of 20,000 frames": lambda: saved("GIF", 20_000),
    "webp of 2,000 frames": lambda: saved("WEBP", 2_000),
    "tiff of 100,000 directories": lambda: directories(100_000),
    "tiff that leads back to itself": lambda: directories(2, loop=True),
    "ppm that claims 10^18 pixels": lambda: b"P6 1000000000 1000000000 255\n" + bytes(100),
    "ppm with a comment of 2 MB": lambda: b"P6\n#" + b"x" * 2_000_000 + b"\n1 1 255\nabc",
    "bmp that claims 2^31 pixels": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 2**31 - 1, 1, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    """What was found in each bomb, and the bytes of memory that it took."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    (folder / "plain.jpg").write_bytes(jpeg())
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, timeout=1200)
    return {name: (found, taken) for name, found, taken in map(json.loads, ran.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in kilobytes")
@pytest.mark.parametrize("name", BOMBS)
def test_picture__takes_bounded_time_and_memory(name: str, looked_at: dict[str, tuple[str, int]]) -> None:
    assert name in looked_at, "it took more than a minute of the processor, or ended the process"
    found, taken = looked_at[name]
    assert taken < MOST_BYTES, found
