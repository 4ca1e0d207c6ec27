"""What a file holds by its first bytes, and whether it ends where its format says that it should."""

from __future__ import annotations

import re

_HEAD = 32  # bytes: every signature below is shorter

#: What cameras and phones make, whether it is decoded here or not: the name of each format, and how its files begin.
_SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "BMP": re.compile(rb"BM....\0\0\0\0", re.DOTALL),
    "PPM": re.compile(rb"P[1-6]\s+(#|\d+\s)"),
    "HEIC": re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb"....ftyp(avif|avis)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "Photoshop": re.compile(rb"8BPS\0"),
}


def sniff(content: bytes) -> str:
    """The format of a picture by its first bytes, such as "JPEG"; the empty string for anything else.

    >>> sniff(b"GIF89a...")
    'GIF'
    """
    return next((name for name, signature in _SIGNATURES.items() if signature.match(content)), "")


def sniff_file(path: str) -> str:
    """The format of a picture by the first bytes of its file; the empty string for what cannot be read."""
    try:
        with open(path, "rb") as file:
            return sniff(file.read(_HEAD))
    except OSError:
        return ""


def ends_early(content: bytes) -> bool:
    """Whether a picture that cannot be decoded was cut off, as far as its format tells.

    Where the format marks its end, zeros behind it do not count: a download that was broken off leaves them.
    """
    match sniff(content):
        case "JPEG":
            return content.find(b"\xff\xd9", _start_of_scan(content)) < 0
        case "PNG":
            return b"IEND" not in content
        case "GIF":
            return not content.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return len(content) < 8 + int.from_bytes(content[4:8], "little")
        case "BMP":
            return len(content) < int.from_bytes(content[2:6], "little")
        case "TIFF":
            return len(content) < int.from_bytes(content[4:8], "little" if content[:2] == b"II" else "big")
    return False


def _start_of_scan(content: bytes) -> int:
    """Where the pixels of a JPEG begin, behind whatever thumbnail its header holds."""
    position = 2
    while content[position : position + 1] == b"\xff" and content[position + 1 : position + 2] != b"\xda":
        position += 2 + max(2, int.from_bytes(content[position + 2 : position + 4], "big"))
    return position
