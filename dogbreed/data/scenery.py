"""What surrounds the dog in a sample picture: the scene, an object in the way, the light and the camera."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from dogbreed.data.cartoon import CANVAS, EDGE, INK, Colour, corners, disc, tufted

OCCLUDED = 0.35  # of the pictures have an object in front of the dog


def near(colour: Colour, rng: Generator, by: int = 14) -> Colour:
    """A colour at most `by` levels away in each channel."""
    red, green, blue = np.clip(np.array(colour) + rng.integers(-by, by + 1, 3), 0, 255).tolist()
    return red, green, blue


def land(pen: ImageDraw.ImageDraw, sky: Colour, ground: Colour, horizon: float) -> None:
    """Fills the canvas above and below the horizon."""
    pen.rectangle((0, 0, CANVAS, horizon), fill=sky)
    pen.rectangle((0, horizon, CANVAS, CANVAS), fill=ground)


def grass(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A lawn with trees behind it."""
    horizon = CANVAS * rng.uniform(0.3, 0.7)
    land(pen, near((158, 202, 232), rng), near((122, 174, 98), rng), horizon)
    for x, size in rng.uniform((0, 20), (CANVAS, 60), (3, 2)).tolist():
        pen.rectangle((x - 4, horizon - size, x + 4, horizon + 4), fill=(116, 88, 64))
        left, right, top = x - 0.6 * size, x + 0.6 * size, horizon - 1.9 * size
        pen.ellipse((left, top, right, top + 1.3 * size), fill=near((86, 142, 84), rng))
    for x, y in rng.uniform((0, horizon), (CANVAS, CANVAS), (30, 2)).tolist():
        pen.line((x, y, x + 3, y - 8), fill=(94, 150, 78), width=2)


def room(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A wall with a picture, a wooden floor with a rug."""
    horizon = CANVAS * rng.uniform(0.55, 0.8)
    land(pen, near((206, 196, 182), rng, 30), near((176, 140, 106), rng), horizon)
    pen.rectangle((0, horizon - 8, CANVAS, horizon), fill=(238, 234, 226))
    for x in np.arange(rng.uniform(0, 40), CANVAS, 50).tolist():
        pen.line((x, horizon, 1.5 * x - CANVAS / 4, CANVAS), fill=(156, 120, 88), width=2)
    x = CANVAS * rng.uniform(0, 0.8)
    pen.rectangle((x, 20, x + 70, 80), fill=near((150, 180, 200), rng, 40), outline=(106, 82, 64), width=6)
    x = CANVAS * rng.uniform(0, 1)
    pen.ellipse((x - 110, CANVAS - 60, x + 110, CANVAS - 10), fill=near((172, 116, 116), rng, 40))


def beach(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """Sand, sea and a parasol."""
    horizon = CANVAS * rng.uniform(0.3, 0.6)
    land(pen, near((172, 214, 236), rng), near((228, 206, 164), rng), horizon)
    pen.rectangle((0, horizon - 40, CANVAS, horizon), fill=near((98, 164, 196), rng))
    x = CANVAS * rng.uniform(0, 1)
    pen.line((x, horizon - 20, x, horizon + 60), fill=(130, 100, 80), width=4)
    pen.pieslice((x - 60, horizon - 70, x + 60, horizon + 50), 180, 360, fill=near((214, 120, 116), rng, 40))
    for x, y in rng.uniform((0, horizon), (CANVAS, CANVAS), (14, 2)).tolist():
        pen.ellipse((x, y, x + 7, y + 4), fill=(206, 180, 138))


def snow(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A white field before firs, flakes in the air."""
    horizon = CANVAS * rng.uniform(0.35, 0.7)
    land(pen, near((188, 204, 220), rng), near((230, 234, 240), rng, 8), horizon)
    for x, size in rng.uniform((0, 50), (CANVAS, 110), (4, 2)).tolist():
        fir = (x - 0.3 * size, horizon, x, horizon - size, x + 0.3 * size, horizon)
        pen.polygon(fir, fill=near((92, 126, 116), rng))
    for x, y, r in rng.uniform((0, 0, 1), (CANVAS, CANVAS, 4), (40, 3)).tolist():
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 250, 252))


def studio(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """One colour with pale lights out of focus."""
    cloth = near((170, 170, 170), rng, 40)
    land(pen, cloth, cloth, CANVAS)
    for x, y, r in rng.uniform((0, 0, 15), (CANVAS, CANVAS, 60), (7, 3)).tolist():
        pen.ellipse((x - r, y - r, x + r, y + r), fill=near(cloth, rng, 12))


def post(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A fence post."""
    x, width, top = rng.uniform((0.2 * CANVAS, 8, 0), (0.8 * CANVAS, 15, 0.4 * CANVAS)).tolist()
    wood = near((156, 120, 86), rng)
    pen.rectangle((x - width, top, x + width, CANVAS + 9), fill=wood, outline=INK, width=4)


def ball(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A ball with a white seam."""
    x, y, r = rng.uniform((0.2 * CANVAS, 0.7 * CANVAS, 20), (0.8 * CANVAS, 0.95 * CANVAS, 42)).tolist()
    pen.ellipse((x - r, y - r, x + r, y + r), fill=near((196, 100, 90), rng, 50), outline=INK, width=4)
    pen.arc((x - 1.6 * r, y - r, x + 0.2 * r, y + r), -50, 50, fill=(250, 250, 250), width=5)


def bush(pen: ImageDraw.ImageDraw, rng: Generator) -> None:
    """A bush at the lower edge."""
    x, rx, ry = rng.uniform((0, 60, 50), (CANVAS, 110, 90)).tolist()
    leaves = corners(tufted(disc(complex(x, CANVAS), rx, ry), 16, rng))
    pen.polygon(leaves, fill=near((92, 146, 84), rng), outline=INK, width=EDGE - 2)


SCENES = (grass, room, beach, snow, studio)
OBJECTS = (post, ball, bush)


def draw_scene(canvas: Image.Image, rng: Generator) -> None:
    """Covers a canvas of CANVAS by CANVAS pixels with one of the scenes."""
    SCENES[rng.integers(len(SCENES))](ImageDraw.Draw(canvas), rng)


def draw_object(canvas: Image.Image, rng: Generator) -> None:
    """Puts an object before the dog in some of the pictures."""
    if rng.random() < OCCLUDED:
        OBJECTS[rng.integers(len(OBJECTS))](ImageDraw.Draw(canvas), rng)


def photograph(canvas: Image.Image, rng: Generator) -> Image.Image:
    """The canvas at half its size, under some light, through a camera with some blur and grain."""
    picture = canvas.reduce(2)
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.6)))
    brightness, warmth, grain = rng.uniform((0.87, -0.05, 1), (1.09, 0.05, 5))
    down, along = np.linspace(-0.5, 0.5, CANVAS // 2) * rng.uniform(-0.16, 0.16, (2, 1))
    shade = (brightness * (1 + down[:, None] + along))[..., None] * (1 + warmth, 1, 1 - warmth)
    pixels = np.asarray(picture) * shade.astype(np.float32)
    pixels += np.float32(grain) * rng.standard_normal((*picture.size, 1), dtype=np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
