"""Changes of a file's bytes as splices, which a seed can keep: where, how many go, what comes in hexadecimal."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

Splice = tuple[int, int, str]

#: What formats are made of: markers, names of parts, lengths that lie, words that parsers stumble over.
TOKENS = (
    *(bytes([0xFF, marker]) for marker in (0xD8, 0xD9, 0xDA, 0xC0, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE)),
    *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"eXIf", b"gAMA"),
    *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"GIF89a", b"\x21\xf9\x04", b"\x2c"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"BM", b"P6\n", b"P3\n", b"Pf\n", b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6"),
    *(b"ustar\0", b"../", b"/", b"\0", b"\\", b"\n", b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"NaN", b"-1"),
    *(b"1e999", b"9" * 30, b"true", b"\xed\xa0\x80", b"\xc3\x28", b"\xef\xbb\xbf", b"cos\nsystem\n", b"\x80\x04", b"."),
    *(
        bytes(4),
        b"\xff" * 4,
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\x80\0\0\0",
        b"\0\0\0\x80",
        bytes(8),
        b"\xff" * 8,
    ),
)
_LONGEST = 4_096  # bytes that come in one splice


def splice(content: bytes, splices: Sequence[Splice]) -> bytes:
    """The content with these changes, one after the other.

    >>> splice(b"abc", [(1, 1, "7878"), (9, 0, "79")])
    b'axxcy'
    """
    changed = bytearray(content)
    for start, gone, come in splices:
        changed[start : start + gone] = bytes.fromhex(come)
    return bytes(changed)


def draw_splices(content: bytes, rng: random.Random, other: bytes = b"") -> list[Splice]:
    """One to a dozen changes, mostly few; `other` is what parts are taken over from."""
    changed, found = content, []
    for _ in range(min(12, 1 + int(rng.expovariate(0.7)))):
        one = rng.choice(_DRAWS)(changed, rng, other)
        changed = splice(changed, [one])
        found.append(one)
    return found


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, and as often among the first bytes, where a file says what it is."""
    return rng.randrange(min(len(content), 200) if rng.random() < 0.4 else len(content)) if content else 0


def _flip(content: bytes, rng: random.Random, other: bytes) -> Splice:
    at = _place(content, rng)
    return (at, 1, f"{content[at] ^ (1 << rng.randrange(8)):02x}") if content else (0, 0, "00")


def _noise(content: bytes, rng: random.Random, other: bytes) -> Splice:
    count = rng.choice((1, 2, 4, 32))
    return _place(content, rng), rng.choice((0, count)), rng.randbytes(count).hex()


def _cut(content: bytes, rng: random.Random, other: bytes) -> Splice:
    return _place(content, rng), len(content), ""


def _remove(content: bytes, rng: random.Random, other: bytes) -> Splice:
    return _place(content, rng), 1 + int(rng.expovariate(0.02)), ""


def _double(content: bytes, rng: random.Random, other: bytes) -> Splice:
    start = _place(content, rng)
    part = content[start : start + min(_LONGEST // 4, 1 + int(rng.expovariate(0.01)))]
    return _place(content, rng), 0, (part * rng.choice((1, 2, 4))).hex()


def _length(content: bytes, rng: random.Random, other: bytes) -> Splice:
    """A number of two or four bytes made larger, smaller or extreme, in either order of its bytes."""
    order: Literal["big", "little"] = "big" if rng.random() < 0.5 else "little"
    at, width = _place(content, rng), rng.choice((2, 4))
    number = int.from_bytes(content[at : at + width], order)
    most = 256**width - 1
    number = rng.choice((number + 1, number - 1, number * 2, number // 2, 0, 1, most, most // 2, 65_500, 20_000))
    return at, width, (number & most).to_bytes(width, order).hex()


def _token(content: bytes, rng: random.Random, other: bytes) -> Splice:
    token = rng.choice(TOKENS)
    return _place(content, rng), rng.choice((0, len(token))), token.hex()


def _cross(content: bytes, rng: random.Random, other: bytes) -> Splice:
    """A part of the other file, over what stands there or between it."""
    start = _place(other, rng)
    part = other[start : start + rng.choice((16, 256, _LONGEST))]
    return _place(content, rng), rng.choice((0, len(part), len(content))), part.hex()


_DRAWS = (_flip, _flip, _noise, _cut, _remove, _double, _length, _length, _token, _cross)
