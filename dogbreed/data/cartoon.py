"""Draws a cartoon dog: its pose, its parts and its coat.

Points are complex numbers, x + yj, so that a rotation is a product. A dog is a list of parts, the farthest
first, each a few outlines in the dog's own coordinates: x to its front, y down, the ground at y = 0, and 1
about the length of its body. `draw_dog` turns the list into pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw

CANVAS = 320  # side in pixels: twice that of the finished picture, so that halving it smooths the edges

Colour: TypeAlias = tuple[int, int, int]
Outline: TypeAlias = npt.NDArray[np.complex128]  # (N,) corners of a closed polygon, clockwise
Part: TypeAlias = tuple[str, list[Outline]]
Scatter: TypeAlias = Callable[[ImageDraw.ImageDraw, Generator, float, Colour], None]

INK: Colour = (46, 34, 32)
EDGE = 5  # width of outlines in pixels of the canvas, the inner half hidden by the fill
FLAT: dict[str, Colour] = {
    "rim": (226, 214, 200),
    "pupil": INK,
    "glint": (255, 255, 255),
    "nose": INK,
    "mouth": INK,
    "tongue": (236, 128, 140),
}
OVERLAYS = frozenset({"back", "belly"})  # markings within the body, with no edge of their own


@dataclass(frozen=True)
class Breed:
    """What the dogs of a breed share, whatever the picture; lengths are in dog coordinates.

    Args:
        name: of its folder and files, such as `Patchwork_hound`.
        coats: pairs of ground and marking colour; a dog has one of them.
        pattern: scatters the marking colour over the coat.
        hair: scatters strokes of another shade over coat and markings.
        marked: the parts in the marking colour: back, belly, ears, legs, muzzle, tail.
        ear: outline of the ear on the left of a portrait, its root at 0, in head radii.
        tail: (centre, radius) of the discs that it runs through, its root at 0, in body radii.
        head: radius.
        muzzle: its reach, in head radii.
        bulk: radius of the body.
        length: from hip to chest.
        legs: clear length.
        fluff: how far tufts stand out.
    """

    name: str
    coats: tuple[tuple[Colour, Colour], ...]
    pattern: Scatter
    hair: Scatter
    marked: frozenset[str]
    ear: tuple[complex, ...]
    tail: tuple[tuple[complex, float], ...]
    head: float
    muzzle: float
    bulk: float
    length: float
    legs: float
    fluff: float = 0.0


def disc(centre: complex, rx: float, ry: float) -> Outline:
    """An upright ellipse, (24,)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.asarray(centre + rx * np.cos(angle) + 1j * ry * np.sin(angle))


def taper(p: complex, q: complex, rp: float, rq: float) -> Outline:
    """Two round ends, at p and q, and what lies between them, (24,)."""
    ahead, sweep = np.angle(q - p), np.linspace(-1, 1, 12)
    lean = np.arccos(np.clip((rp - rq) / max(abs(q - p), 1e-9), -1, 1))
    front = q + rq * np.exp(1j * (ahead + lean * sweep))
    rear = p + rp * np.exp(1j * (ahead + np.pi + (np.pi - lean) * sweep))
    return np.concatenate([front, rear])


def rounded(outline: Outline) -> Outline:
    """The outline with its corners cut twice (Chaikin's curve), (4 N,)."""
    for _ in range(2):
        step = np.roll(outline, -1) - outline
        outline = np.stack([outline + 0.25 * step, outline + 0.75 * step], axis=1).ravel()
    return outline


def half(outline: Outline, origin: complex, up: complex, low: float, high: float) -> Outline:
    """A convex outline cut to heights from low to high, in lengths of `up` above the origin, (N,)."""
    height = ((outline - origin) / up).real
    return outline + (np.clip(height, low, high) - height) * up


def tufted(outline: Outline, reach: float, rng: Generator, tufts: int = 28) -> Outline:
    """The outline in even steps, every other one standing out by about `reach`, (2 tufts,)."""
    closed = np.append(outline, outline[0])
    along = np.append(0, np.cumsum(np.abs(np.diff(closed))))
    even: Outline = np.interp(np.linspace(0, along[-1], 2 * tufts, endpoint=False), along, closed)
    tangent = np.roll(even, -1) - np.roll(even, 1)
    outward = -1j * tangent / np.maximum(np.abs(tangent), 1e-9)
    even[::2] += outward[::2] * reach * rng.uniform(0.6, 1.4, tufts)
    return even


def from_side(breed: Breed, rng: Generator, hip: complex, chest: complex, paws: Sequence[float]) -> list[Part]:
    """The parts of a dog seen from its side; paws: x of far hind, far fore, near hind and near fore."""
    bulk, size = breed.bulk, breed.head
    girth = 0.055 + 0.13 * bulk
    limbs: list[Outline] = []
    for paw, top in zip(paws, (hip, chest, hip, chest), strict=True):
        knee = complex(top.real - 0.02, min(top.imag + 0.35 * bulk, -girth))
        limbs += [taper(knee, paw - 0.7j * girth, 1.25 * girth, 0.75 * girth)]
        limbs += [disc(paw + 0.03 - 0.6j * girth, 1.15 * girth, 0.65 * girth)]
    nod = complex(*rng.uniform(-0.05, 0.05, 2))
    head = chest + bulk * (0.55 - 0.75j) + size * (0.5 - 0.75j) + nod
    tip = head + size * (0.45 + breed.muzzle + 0.3j)
    eye, rump = head + size * (0.43 - 0.2j), hip - bulk * (0.6 + 0.45j)
    torso, up = taper(hip, chest, 0.9 * bulk, bulk), -1j * bulk * (chest - hip) / abs(chest - hip)
    neck, nape = 0.4 * chest + 0.6 * head, -0.75j * size * (head - chest) / abs(head - chest)
    tail = [(rump + bulk * at, bulk * radius) for at, radius in breed.tail]
    return [
        ("far legs", limbs[:4]),
        ("tail", [taper(p, q, rp, rq) for (p, rp), (q, rq) in pairwise(tail)]),
        ("body", [torso, taper(chest, head, 0.8 * bulk, 0.75 * size)]),
        ("back", [half(torso, hip, up, 0.1, 2.0)]),
        ("belly", [half(torso, hip, up, -2.0, -0.3)]),
        ("legs", limbs[4:]),
        ("collar", [taper(neck - nape, neck + nape, 0.035, 0.035)]),
        ("head", [disc(head, size, 0.95 * size)]),
        ("muzzle", [taper(head + size * (0.4 + 0.28j), tip, 0.55 * size, 0.36 * size)]),
        ("mouth", [taper(tip + size * (-0.3 + 0.2j), tip + size * (0.2 + 0.14j), 0.01, 0.01)]),
        ("nose", [disc(tip + size * (0.2 - 0.18j), 0.19 * size, 0.16 * size)]),
        ("rim", [disc(eye, 0.2 * size, 0.23 * size)]),
        ("pupil", [disc(eye, 0.15 * size, 0.19 * size)]),
        ("glint", [disc(eye + size * (0.05 - 0.07j), 0.05 * size, 0.06 * size)]),
        ("ears", [head + size * (rounded(np.array(breed.ear)) - 0.3 - 0.62j)]),
    ]


def stand(breed: Breed, rng: Generator) -> list[Part]:
    """On four legs, in a stride."""
    behind, top = breed.length / 2, -(breed.legs + 0.8 * breed.bulk)
    paws = np.array([-behind, behind + 0.08, 0.08 - behind, behind]) + rng.uniform(-0.12, 0.12, 4)
    return from_side(breed, rng, complex(-behind, top + 0.02), complex(behind, top), paws.tolist())


def sit(breed: Breed, rng: Generator) -> list[Part]:
    """On its haunches, the chest up."""
    hip = complex(-0.3 * breed.length, -0.85 * breed.bulk)
    chest = complex(0.22 * breed.length, -(0.7 * (breed.legs + breed.bulk) + 0.45 * breed.length))
    hind, fore = hip.real + 1.15 * breed.bulk, chest.real + rng.uniform(0.01, 0.08)
    return from_side(breed, rng, hip, chest, [hind + 0.07, fore + 0.08, hind, fore])


def lie(breed: Breed, rng: Generator) -> list[Part]:
    """On its belly, the paws to the front."""
    hip, chest = complex(-breed.length / 2, -0.9 * breed.bulk), complex(breed.length / 2, -1.05 * breed.bulk)
    fore = chest.real + breed.bulk + 0.4 * breed.legs + rng.uniform(0, 0.08)
    return from_side(breed, rng, hip, chest, [hip.real + 0.36, fore + 0.08, hip.real + 0.3, fore])


def portrait(breed: Breed, rng: Generator) -> list[Part]:
    """Head and shoulders from the front, close up; what is below the ground is below the picture."""
    turn, wide = rng.uniform(-0.15, 0.15), 0.62 - 0.12 * breed.muzzle
    snout = complex(1.5 * turn, 0.35 + 0.5 * breed.muzzle)
    left, eyes = rounded(np.array(breed.ear)) - 0.55 - 0.6j, (turn - 0.4 - 0.15j, turn + 0.4 - 0.15j)
    parts: list[Part] = [
        ("body", [taper(0.9j, turn + 3.2j, 0.55 + breed.bulk, 0.7 + 2.2 * breed.bulk)]),
        ("belly", [taper(1.7j, turn + 3.4j, 0.5, 0.7)]),
        ("collar", [taper(-0.55 + 0.98j, 0.55 + 0.98j, 0.11, 0.11)]),
        ("head", [disc(0, 1, 0.95)]),
        ("ears", [left, -left.conj()[::-1]]),
        ("muzzle", [taper(turn + 0.35j, snout, wide, 0.9 * wide)]),
        ("mouth", [taper(snout + 0.05j, snout + 0.27j, 0.03, 0.03)]),
        ("tongue", [disc(snout + 0.37j, 0.17, 0.24)] if rng.random() < 0.5 else []),
        ("nose", [disc(snout - 0.15j, 0.23, 0.17)]),
        ("rim", [disc(eye, 0.19, 0.22) for eye in eyes]),
        ("pupil", [disc(eye, 0.15, 0.18) for eye in eyes]),
        ("glint", [disc(eye + 0.05 - 0.06j, 0.05, 0.06) for eye in eyes]),
    ]
    return [(name, [0.5 * shape - 0.75j for shape in shapes]) for name, shapes in parts]


POSES = (stand, stand, sit, lie, portrait)


def corners(outline: Outline) -> list[float]:
    """x0, y0, x1, y1, ... as Pillow takes them."""
    flat: list[float] = np.ascontiguousarray(outline).view(np.float64).tolist()
    return flat


def cloth(colour: Colour, marks: Sequence[tuple[Scatter, Colour]], rng: Generator, unit: float) -> Image.Image:
    """Enough of one coat to cut every part from, CANVAS by CANVAS pixels."""
    sheet = Image.new("RGB", (CANVAS, CANVAS), colour)
    for scatter, ink in marks:
        scatter(ImageDraw.Draw(sheet), rng, unit, ink)
    return sheet


def other_shade(colour: Colour) -> Colour:
    """The colour of single hairs on that ground: darker, or lighter where the ground is dark."""
    red, green, blue = (c * 6 // 10 if sum(colour) > 300 else c + 56 for c in colour)
    return red, green, blue


def stamp(canvas: Image.Image, shapes: Sequence[Outline], fill: Image.Image | Colour, edge: int) -> None:
    """Fills the shapes, in pixels of the canvas, as one: no edge between them."""
    pen = ImageDraw.Draw(canvas)
    if edge:
        for shape in shapes:
            pen.line(corners(np.append(shape, shape[:2])), fill=INK, width=edge)
    points = np.concatenate(shapes)
    left, top = (int(np.clip(axis.min(), 0, CANVAS - 1)) for axis in (points.real, points.imag))
    right, bottom = (int(np.clip(axis.max() + 2, 1, CANVAS)) for axis in (points.real, points.imag))
    mask = Image.new("L", (right - left, bottom - top))
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        pen.polygon(corners(shape - complex(left, top)), fill=255)
    box = (left, top, right, bottom)
    canvas.paste(fill.crop(box) if isinstance(fill, Image.Image) else fill, box, mask)


def draw_dog(canvas: Image.Image, breed: Breed, rng: Generator) -> None:
    """Draws a dog of the breed, in some pose, place and coat, on a canvas of CANVAS by CANVAS pixels."""
    parts = POSES[rng.integers(len(POSES))](breed, rng)
    if rng.random() < 0.5:
        parts = [(name, [-shape.conj()[::-1] for shape in shapes]) for name, shapes in parts]
    points = np.concatenate([shape for _, shapes in parts for shape in shapes])
    x, y = points.real, np.minimum(points.imag, 0)
    unit = CANVAS * rng.uniform(0.87, 1.03) / max(np.ptp(x), np.ptp(y), 1.0)
    across, down = rng.uniform((0.2, 0.4), (0.8, 0.9)) * (CANVAS - unit * np.array([np.ptp(x), np.ptp(y)]))
    at = complex(across - unit * x.min(), down - unit * y.min())

    ground, mark = breed.coats[rng.integers(len(breed.coats))]
    coat = cloth(ground, [(breed.pattern, mark), (breed.hair, other_shade(ground))], rng, unit)
    marking = cloth(mark, [(breed.hair, other_shade(mark))], rng, unit) if breed.marked else coat
    red, green, blue = rng.integers(50, 220, 3).tolist()
    flat: dict[str, Colour] = {**FLAT, "collar": (red, green, blue)}
    for name, shapes in parts:
        side, _, kind = name.rpartition(" ")
        if not shapes or (name in OVERLAYS and name not in breed.marked):
            continue
        if breed.fluff and name not in flat:
            shapes = [tufted(shape, breed.fluff, rng) for shape in shapes]
        fill = flat.get(name) or (marking if kind in breed.marked else coat)
        if side and isinstance(fill, Image.Image):
            fill = fill.point(lambda value: 0.75 * value)  # in the shade of the body
        edge = 0 if name in FLAT or name in OVERLAYS else EDGE
        stamp(canvas, [unit * shape + at for shape in shapes], fill, edge)
