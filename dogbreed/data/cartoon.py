"""Draws a cartoon dog: its pose, its parts and its coat.

A dog is a list of parts, the farthest first, each a few polygons in the dog's own coordinates: x to its front, y
down, the ground at y = 0, and 1 about the length of its body. One function turns any such list into pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw

CANVAS = 320  # side in pixels: twice that of the finished picture, so that halving it smooths the edges

Colour = tuple[int, int, int]
Points = npt.NDArray[np.float64]  # (N, 2)
Point = Sequence[float] | Points  # (2,)
Part = tuple[str, list[Points]]
Scatter = Callable[[ImageDraw.ImageDraw, Generator, float, Colour], None]

INK: Colour = (46, 34, 32)
OUTLINE = 5  # pixels of the canvas; the fill hides the inner half
FLAT: dict[str, Colour] = {
    "rim": (226, 214, 200),
    "pupil": INK,
    "glint": (255, 255, 255),
    "nose": INK,
    "mouth": INK,
    "tongue": (236, 128, 140),
}
CLIPPED = frozenset({"back", "belly"})  # markings on the body, not parts with an edge of their own


@dataclass(frozen=True)
class Breed:
    """What the dogs of a breed share, whatever the picture; lengths are in dog coordinates.

    Args:
        name: of its folder and files, such as `Patchwork_hound`.
        coats: pairs of ground and marking colour; a dog has one of them.
        pattern: scatters the marking colour over the coat.
        hair: scatters strokes of another shade over coat and markings.
        marked: the parts in the marking colour: back, belly, ears, legs, muzzle, tail.
        ear: outline of the ear on the dog's left, for a head of radius 1, from its root at (0, 0).
        tail: (x, y, radius) of the discs that it runs through, from its root at (0, 0), in body radii.
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
    ear: Sequence[tuple[float, float]]
    tail: Sequence[tuple[float, float, float]]
    head: float
    muzzle: float
    bulk: float
    length: float
    legs: float
    fluff: float = 0.0


def disc(x: float, y: float, rx: float, ry: float) -> Points:
    """The outline of an upright ellipse, (24, 2)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def taper(p: Point, q: Point, rp: float, rq: float) -> Points:
    """The outline of two round ends, at p and q, and of what lies between them, (24, 2)."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    ahead = np.arctan2(dy, dx)
    lean = np.arccos(np.clip((rp - rq) / max(np.hypot(dx, dy), 1e-9), -1, 1))
    front = ahead + np.linspace(-lean, lean, 12)
    rear = ahead + np.linspace(lean, 2 * np.pi - lean, 12)
    x = np.concatenate([q[0] + rq * np.cos(front), p[0] + rp * np.cos(rear)])
    y = np.concatenate([q[1] + rq * np.sin(front), p[1] + rp * np.sin(rear)])
    return np.stack([x, y], axis=1)


def rounded(corners: Points) -> Points:
    """The polygon with its corners cut twice (Chaikin's curve), (4 N, 2)."""
    for _ in range(2):
        after = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * after, 0.25 * corners + 0.75 * after], axis=1).reshape(-1, 2)
    return corners


def tufted(outline: Points, reach: float, rng: Generator, tufts: int = 28) -> Points:
    """The outline in even steps, every other one standing out by about `reach`, (2 tufts, 2)."""
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    step = np.linspace(0, along[-1], 2 * tufts, endpoint=False)
    even = np.stack([np.interp(step, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    tangent = np.roll(even, -1, axis=0) - np.roll(even, 1, axis=0)
    normal = tangent[:, ::-1] * (1, -1) / np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    even[::2] += normal[::2] * reach * rng.uniform(0.6, 1.4, (tufts, 1))
    return even


def from_side(breed: Breed, rng: Generator, hip: Points, chest: Points, paws: Sequence[float]) -> list[Part]:
    """The parts of a dog seen from its side; paws: x of far hind, far fore, near hind and near fore."""
    bulk, size = breed.bulk, breed.head
    girth = 0.055 + 0.13 * bulk
    limbs: list[Points] = []
    for paw, top in zip(paws, (hip, chest, hip, chest), strict=True):
        start = (top[0] - 0.02, min(top[1] + 0.35 * bulk, -girth))
        limbs += [taper(start, (paw, -0.7 * girth), 1.25 * girth, 0.75 * girth)]
        limbs += [disc(paw + 0.03, -0.6 * girth, 1.15 * girth, 0.65 * girth)]
    head = chest + [0.55 * bulk + 0.5 * size, -0.75 * bulk - 0.75 * size] + rng.uniform(-0.05, 0.05, 2)
    tip = head + size * np.array([0.45 + breed.muzzle, 0.3])
    rump = hip + bulk * np.array([-0.6, -0.45])
    tail = [(*(rump + bulk * np.array([x, y])), bulk * r) for x, y, r in breed.tail]
    up = (chest - hip)[::-1] * (1, -1) * bulk / np.hypot(*(chest - hip))
    neck, nape = 0.45 * chest + 0.55 * head, 0.8 * size * (head - chest)[::-1] * (-1, 1) / np.hypot(*(head - chest))
    return [
        ("far legs", limbs[:4]),
        ("tail", [taper(a[:2], b[:2], a[2], b[2]) for a, b in zip(tail, tail[1:], strict=False)]),
        ("body", [taper(hip, chest, 0.9 * bulk, bulk), taper(chest, head, 0.8 * bulk, 0.75 * size)]),
        ("back", [taper(hip + up, chest + up, 0.95 * bulk, 0.8 * bulk)]),
        ("belly", [taper(hip - 1.1 * up, chest - 0.8 * up, 0.7 * bulk, 0.85 * bulk)]),
        ("legs", limbs[4:]),
        ("collar", [taper(neck - nape, neck + nape, 0.035, 0.035)]),
        ("head", [disc(*head, size, 0.95 * size)]),
        ("muzzle", [taper(head + size * np.array([0.4, 0.28]), tip, 0.55 * size, 0.36 * size)]),
        ("mouth", [taper(tip - size * np.array([0.25, -0.2]), tip + [0.1 * size, 0.14 * size], 0.012, 0.012)]),
        ("nose", [disc(tip[0] + 0.2 * size, tip[1] - 0.18 * size, 0.19 * size, 0.16 * size)]),
        ("rim", [disc(head[0] + 0.42 * size, head[1] - 0.2 * size, 0.19 * size, 0.23 * size)]),
        ("pupil", [disc(head[0] + 0.44 * size, head[1] - 0.2 * size, 0.14 * size, 0.18 * size)]),
        ("glint", [disc(head[0] + 0.49 * size, head[1] - 0.27 * size, 0.05 * size, 0.06 * size)]),
        ("ears", [head + size * (rounded(np.array(breed.ear)) * [0.9, 1] + [-0.3, -0.62])]),
    ]


def stand(breed: Breed, rng: Generator) -> list[Part]:
    """On four legs, in a stride."""
    half, top = breed.length / 2, -(breed.legs + 0.8 * breed.bulk)
    paws = np.array([-half, half, -half, half]) + [0, 0.08, 0.08, 0] + rng.uniform(-0.12, 0.12, 4)
    return from_side(breed, rng, np.array([-half, top + 0.02]), np.array([half, top]), paws.tolist())


def sit(breed: Breed, rng: Generator) -> list[Part]:
    """On its haunches, the chest up."""
    hip = np.array([-0.3 * breed.length, -0.85 * breed.bulk])
    chest = np.array([0.22 * breed.length, -(0.7 * (breed.legs + breed.bulk) + 0.45 * breed.length)])
    hind, fore = hip[0] + 1.15 * breed.bulk, chest[0] + rng.uniform(0.01, 0.08)
    return from_side(breed, rng, hip, chest, [hind + 0.07, fore + 0.08, hind, fore])


def lie(breed: Breed, rng: Generator) -> list[Part]:
    """On its belly, the paws to the front."""
    hip, chest = np.array([[-breed.length / 2, -0.9 * breed.bulk], [breed.length / 2, -1.05 * breed.bulk]])
    fore = chest[0] + breed.bulk + 0.4 * breed.legs + rng.uniform(0, 0.08)
    return from_side(breed, rng, hip, chest, [hip[0] + 0.36, fore + 0.08, hip[0] + 0.3, fore])


def portrait(breed: Breed, rng: Generator) -> list[Part]:
    """Head and shoulders from the front, the head at half the length of a body."""
    turn, reach = rng.uniform(-0.15, 0.15), 0.5 * breed.muzzle
    wide = 0.62 - 0.12 * breed.muzzle
    left = rounded(np.array(breed.ear)) + [-0.55, -0.6]
    parts: list[Part] = [
        ("body", [taper((0, 0.9), (turn, 2.6), 0.55 + breed.bulk, 0.6 + 2.2 * breed.bulk)]),
        ("belly", [taper((0, 1.7), (turn, 2.8), 0.5, 0.6)]),
        ("collar", [taper((-0.6, 0.95), (0.6, 0.95), 0.12, 0.12)]),
        ("head", [disc(0, 0, 1, 0.95)]),
        ("ears", [left, left * [-1, 1]]),
        ("muzzle", [taper((turn, 0.35), (turn * 1.5, 0.35 + reach), wide, wide * 0.9)]),
        ("mouth", [taper((turn * 1.5, 0.4 + reach), (turn * 1.5, 0.62 + reach), 0.03, 0.03)]),
        ("tongue", [disc(turn * 1.5, 0.72 + reach, 0.17, 0.24)] if rng.random() < 0.5 else []),
        ("nose", [disc(turn * 1.5, 0.2 + reach, 0.23, 0.17)]),
        ("rim", [disc(turn + x, -0.15, 0.19, 0.22) for x in (-0.4, 0.4)]),
        ("pupil", [disc(turn + x, -0.15, 0.14, 0.17) for x in (-0.4, 0.4)]),
        ("glint", [disc(turn + x, -0.21, 0.05, 0.06) for x in (-0.35, 0.45)]),
    ]
    return [(name, [0.5 * shape for shape in shapes]) for name, shapes in parts]


POSES = (stand, stand, sit, lie, portrait)


def plain(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """No mark at all."""


def _grid(rng: Generator, step: float) -> Iterator[list[float]]:
    """Points all over the canvas, about `step` apart: even enough that no dog goes without its marks."""
    ticks = np.arange(0, CANVAS, step)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    return iter((points + rng.uniform(0, 0.7 * step, points.shape)).tolist())


def spots(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Round spots, close together."""
    for x, y in _grid(rng, 0.13 * unit):
        r = unit * rng.uniform(0.025, 0.05)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def patches(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Large ragged patches."""
    for x, y in _grid(rng, 0.33 * unit):
        r = unit * rng.uniform(0.09, 0.16)
        pen.polygon(tufted(disc(x, y, r, 0.8 * r), 0.2 * r, rng).ravel().tolist(), fill=ink)


def stripes(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Wavering stripes from top to bottom."""
    step = 0.12 * unit
    y = np.linspace(0, CANVAS, 14)
    for x in np.arange(0, CANVAS, step):
        wave = np.stack([x + rng.normal(0, 0.18 * step, y.size), y], axis=1)
        pen.line(wave.ravel().tolist(), fill=ink, width=int(0.45 * step), joint="curve")


def bands(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Even rings from front to rear."""
    step = 0.11 * unit
    for y in np.arange(0, CANVAS, step):
        pen.line((0, y, CANVAS, y + rng.uniform(-0.5, 0.5) * step), fill=ink, width=int(0.3 * step))


def dapple(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Small flecks in heaps."""
    for x, y in _grid(rng, 0.06 * unit):
        r = unit * rng.uniform(-0.015, 0.03)
        if r > 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def wire(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Short stiff hairs in every direction."""
    for x, y in _grid(rng, 0.05 * unit):
        dx, dy = rng.normal(0, 0.04 * unit, 2)
        pen.line((x, y, x + dx, y + dy), fill=ink, width=3)


def shaggy(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Long hanging locks."""
    for x, y in _grid(rng, 0.08 * unit):
        pen.line((x, y, x + rng.normal(0, 0.02) * unit, y + 0.1 * unit), fill=ink, width=3)


def curls(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Rings of curly hair."""
    r = 0.035 * unit
    for x, y in _grid(rng, 0.085 * unit):
        start = rng.uniform(0, 360)
        pen.arc((x - r, y - r, x + r, y + r), start, start + 280, fill=ink, width=3)


def other_shade(colour: Colour) -> Colour:
    """The colour of single hairs on that ground: darker, or lighter where the ground is dark."""
    red, green, blue = (c * 6 // 10 if sum(colour) > 300 else c + 56 for c in colour)
    return red, green, blue


def draw_dog(canvas: Image.Image, breed: Breed, rng: Generator) -> None:
    """Draws a dog of the breed, in some pose and place, on a canvas of CANVAS by CANVAS pixels."""
    pose = POSES[rng.integers(len(POSES))]
    parts = pose(breed, rng)
    corners = np.concatenate([shape for _, shapes in parts for shape in shapes])
    extent = np.ptp(corners, axis=0)
    unit = CANVAS * min(rng.uniform(0.85, 1.1), 1.0 / extent.max())
    scale = unit * np.array([rng.choice([-1, 1]), 1])
    spare = CANVAS - unit * extent
    if pose is portrait: spare[1]=0; 
    at = np.clip(rng.uniform(0.0, 1.0, 2), [.1,.5],[.9,1]) * spare - (corners * scale).min(axis=0)

    ground, mark = breed.coats[rng.integers(len(breed.coats))]
    sheets = {}
    for key, colour, scatters in (("coat", ground, ((breed.pattern, mark), (breed.hair, other_shade(ground)))),
                        ("mark", mark, ((breed.hair, other_shade(mark)),))):
        sheets[key] = Image.new("RGB", canvas.size, colour)
        for scatter, ink in scatters:
            scatter(ImageDraw.Draw(sheets[key]), rng, unit, ink)
    collar = tuple(int(v) for v in rng.integers(60, 220, 3))
    body = None
    pen = ImageDraw.Draw(canvas)
    for name, shapes in parts:
        if (name in CLIPPED and name not in breed.marked) or not shapes: continue
        fur = breed.fluff if name not in FLAT and name != "collar" else 0.0
        shapes = [(tufted(s, fur, rng) if fur else s) * scale + at for s in shapes]
        if name not in CLIPPED and name not in FLAT:
            for s in shapes:
                pen.line(np.concatenate([s, s[:2]]).ravel().tolist(), fill=INK, width=OUTLINE)
        allp = np.concatenate(shapes)
        box = [int(v) for v in (*np.clip(allp.min(0)-1, 0, CANVAS), *np.clip(allp.max(0) + 2, 0, CANVAS))]
        if box[2]<=box[0] or box[3]<=box[1]: continue
        mask = Image.new("L", (box[2]-box[0], box[3]-box[1]))
        mp = ImageDraw.Draw(mask)
        for s in shapes: mp.polygon((s - box[:2]).ravel().tolist(), fill=255)
        if name in FLAT or name == "collar":
            canvas.paste(FLAT.get(name, collar), tuple(box), mask); continue
        if name == "body":
            body = Image.new("L", canvas.size); body.paste(mask, box[:2])
        if name in CLIPPED:
            mask = ImageChops.darker(mask, body.crop(box))
        src = sheets["mark" if name.split()[-1] in breed.marked else "coat"].crop(box)
        if name == "far legs": src = src.point(lambda v: v * 0.75)
        canvas.paste(src, tuple(box), mask)
