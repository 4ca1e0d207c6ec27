"""The ten invented breeds of the sample data set: the coats, ears, tails and builds that tell them apart.

They share coat colours, so that colour alone does not name a breed.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import ImageDraw

from dogbreed.data.cartoon import CANVAS, Breed, Colour, corners, disc, tufted

WHITE, CREAM, SAND, TAN = (245, 242, 235), (238, 220, 185), (226, 196, 150), (214, 164, 104)
APRICOT, RUST, BROWN, LIVER = (226, 158, 110), (190, 102, 48), (118, 74, 46), (96, 58, 44)
BLACK, UMBER, SLATE, GREY = (52, 48, 52), (80, 60, 52), (92, 104, 120), (150, 148, 150)

POINTED = (-0.38 + 0.1j, -0.5 - 1.05j, -0.4 - 1.1j, 0.32 - 0.1j)
BAT = (-0.35 + 0.1j, -0.75 - 1.2j, -0.4 - 1.5j, 0.05 - 1.1j, 0.35 - 0.05j)
FLOPPY = (-0.05 + 0.6j, -0.15 + 1.4j, -0.55 + 1.5j, -0.85 + 0.9j, -0.6 + 0.1j, -0.2 - 0.3j, 0.35 - 0.15j)
BUTTON = (-0.1 + 0.4j, -0.6 + 0.65j, -0.7 + 0.1j, -0.3 - 0.4j, 0.4 - 0.2j)
ROUND = (0.25 + 0.1j, -0.3 + 0.4j, -0.7 + 0.05j, -0.5 - 0.6j, 0.2 - 0.45j)

CURLED = ((0j, 0.22), (-0.35 - 0.3j, 0.24), (-0.3 - 0.75j, 0.24), (0.1 - 0.9j, 0.22), (0.3 - 0.6j, 0.16))
STRAIGHT = ((0j, 0.18), (-0.6 - 0.5j, 0.13), (-1.2 - 1.1j, 0.05))
HANGING = ((0j, 0.2), (-0.5 + 0.2j, 0.16), (-0.8 + 0.9j, 0.06))
BUSHY = ((0j, 0.2), (-0.55 + 0.1j, 0.38), (-0.95 + 0.6j, 0.34), (-1.2 + 1.0j, 0.1))
DOCKED = ((0j, 0.2), (-0.15 - 0.1j, 0.2))


def plain(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """No mark at all."""


def scattered(rng: Generator, step: float) -> list[list[float]]:
    """Points all over the canvas, about `step` apart: even enough that no dog goes without its marks."""
    ticks = np.arange(0, CANVAS, step)
    knots = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    points: list[list[float]] = (knots + rng.uniform(0, 0.7 * step, knots.shape)).tolist()
    return points


def spots(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Round spots, close together."""
    for x, y in scattered(rng, 0.13 * unit):
        r = unit * rng.uniform(0.025, 0.05)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def patches(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Large ragged patches."""
    for x, y in scattered(rng, 0.33 * unit):
        r = unit * rng.uniform(0.09, 0.16)
        pen.polygon(corners(tufted(disc(complex(x, y), r, 0.8 * r), 0.2 * r, rng)), fill=ink)


def stripes(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Wavering stripes from top to bottom."""
    step = 0.12 * unit
    y = np.linspace(0, CANVAS, 14)
    for x in np.arange(0, CANVAS, step).tolist():
        wave = x + rng.normal(0, 0.18 * step, y.size) + 1j * y
        pen.line(corners(wave), fill=ink, width=int(0.45 * step), joint="curve")


def bands(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Even rings from front to rear."""
    step = 0.11 * unit
    for y in np.arange(0, CANVAS, step).tolist():
        pen.line((0, y, CANVAS, y + rng.uniform(-0.5, 0.5) * step), fill=ink, width=int(0.3 * step))


def dapple(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Small flecks in heaps."""
    for x, y in scattered(rng, 0.07 * unit):
        r = unit * rng.uniform(-0.01, 0.035)
        if r > 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def wire(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Short stiff hairs in every direction."""
    for x, y in scattered(rng, 0.06 * unit):
        dx, dy = rng.normal(0, 0.04 * unit, 2)
        pen.line((x, y, x + dx, y + dy), fill=ink, width=3)


def shaggy(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Long hanging locks."""
    for x, y in scattered(rng, 0.09 * unit):
        pen.line((x, y, x + rng.normal(0, 0.02) * unit, y + 0.1 * unit), fill=ink, width=3)


def curls(pen: ImageDraw.ImageDraw, rng: Generator, unit: float, ink: Colour) -> None:
    """Rings of curly hair."""
    r = 0.035 * unit
    for x, y in scattered(rng, 0.085 * unit):
        start = rng.uniform(0, 360)
        pen.arc((x - r, y - r, x + r, y + r), start, start + 280, fill=ink, width=3)


BREEDS = (
    Breed(
        "Patchwork_hound", coats=((WHITE, BROWN), (WHITE, RUST)), pattern=patches, hair=plain,
        marked=frozenset({"ears"}), ear=FLOPPY, tail=STRAIGHT,
        head=0.2, muzzle=0.95, bulk=0.25, length=0.6, legs=0.38,
    ),
    Breed(
        "Pepper_pointer", coats=((WHITE, BLACK), (WHITE, SLATE)), pattern=spots, hair=plain,
        marked=frozenset({"ears"}), ear=BUTTON, tail=STRAIGHT,
        head=0.18, muzzle=0.8, bulk=0.21, length=0.6, legs=0.46,
    ),
    Breed(
        "Saddle_shepherd", coats=((TAN, BLACK), (RUST, BLACK)), pattern=plain, hair=shaggy,
        marked=frozenset({"back", "ears", "tail", "muzzle"}), ear=POINTED, tail=BUSHY,
        head=0.2, muzzle=1.0, bulk=0.26, length=0.65, legs=0.38, fluff=0.015,
    ),
    Breed(
        "Tiger_mastiff", coats=((RUST, BLACK), (TAN, UMBER)), pattern=stripes, hair=plain,
        marked=frozenset(), ear=BUTTON, tail=HANGING,
        head=0.26, muzzle=0.35, bulk=0.31, length=0.55, legs=0.3,
    ),
    Breed(
        "Cloud_spitz", coats=((WHITE, CREAM), (CREAM, WHITE)), pattern=plain, hair=shaggy,
        marked=frozenset({"belly"}), ear=ROUND, tail=CURLED,
        head=0.21, muzzle=0.4, bulk=0.31, length=0.42, legs=0.25, fluff=0.04,
    ),
    Breed(
        "Curly_lambkin", coats=((APRICOT, APRICOT), (SAND, SAND)), pattern=plain, hair=curls,
        marked=frozenset(), ear=FLOPPY, tail=DOCKED,
        head=0.21, muzzle=0.6, bulk=0.26, length=0.45, legs=0.42, fluff=0.02,
    ),
    Breed(
        "Masked_puglet", coats=((SAND, BLACK), (TAN, BLACK)), pattern=plain, hair=plain,
        marked=frozenset({"ears", "muzzle"}), ear=BUTTON, tail=CURLED,
        head=0.24, muzzle=0.15, bulk=0.28, length=0.4, legs=0.2,
    ),
    Breed(
        "Ember_foxling", coats=((RUST, WHITE), (BROWN, WHITE)), pattern=bands, hair=plain,
        marked=frozenset({"belly", "legs", "muzzle"}), ear=BAT, tail=BUSHY,
        head=0.19, muzzle=0.7, bulk=0.21, length=0.5, legs=0.32,
    ),
    Breed(
        "Barrel_dachs", coats=((BLACK, TAN), (LIVER, TAN)), pattern=dapple, hair=plain,
        marked=frozenset({"legs", "muzzle"}), ear=FLOPPY, tail=HANGING,
        head=0.18, muzzle=1.1, bulk=0.22, length=0.85, legs=0.1,
    ),
    Breed(
        "Wire_whisker", coats=((GREY, BLACK), (SLATE, WHITE)), pattern=wire, hair=wire,
        marked=frozenset(), ear=BUTTON, tail=DOCKED,
        head=0.23, muzzle=0.55, bulk=0.25, length=0.45, legs=0.26, fluff=0.035,
    ),
)  # fmt: skip
