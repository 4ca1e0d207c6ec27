"""The undamaged things that the cases are made from: drawn pictures, a small run, its artifact, features and sweep."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tests.conftest import BACKBONE, draw_folder

SMALL_RUN = [
    "backbone=any",
    *(f"backbone.{key}={value}" for key, value in BACKBONE.items()),
    "data=folder",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
]


@lru_cache
def drawn_pictures() -> dict[str, bytes]:
    """Small files of every format that is read, in the forms that differ most."""
    rng = np.random.default_rng(0)
    scene = Image.new("RGB", (61, 43), (120, 160, 90))
    ImageDraw.Draw(scene).ellipse((8, 5, 50, 40), (180, 120, 60), (20, 20, 20))
    noisy = Image.fromarray((np.asarray(scene) + rng.integers(0, 30, (43, 61, 3))).clip(0, 255).astype(np.uint8))
    clear = noisy.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(noisy.size))
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "a camera"
    deep = Image.fromarray(rng.integers(0, 65_535, (20, 30)).astype(np.uint16))
    moving = {"save_all": True, "append_images": [noisy.rotate(90), noisy.rotate(180)], "duration": 50}
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.jpg": (noisy, {"quality": 85}),
        "progressive.jpg": (noisy, {"progressive": True}),
        "cmyk.jpg": (noisy.convert("CMYK"), {}),
        "grey.jpg": (noisy.convert("L"), {}),
        "turned.jpg": (noisy, {"exif": turned}),
        "rgb.jpg": (noisy, {"keep_rgb": True}),
        "restarts.jpg": (noisy, {"restart_marker_rows": 1, "subsampling": 0}),
        "plain.png": (noisy, {}),
        "clear.png": (clear, {}),
        "palette.png": (noisy.quantize(16), {"transparency": 3}),
        "deep.png": (deep, {}),
        "bit.png": (noisy.convert("1"), {}),
        "moving.png": (noisy, moving),
        "turned.png": (noisy, {"exif": turned}),
        "lossy.webp": (noisy, {"quality": 60}),
        "clear.webp": (clear, {"lossless": True}),
        "moving.webp": (noisy, moving),
        "plain.gif": (noisy.quantize(32), {}),
        "moving.gif": (noisy.quantize(32), {**moving, "append_images": [noisy.rotate(90).quantize(32)]}),
        "plain.tiff": (noisy, {}),
        "lzw.tiff": (noisy, {"compression": "tiff_lzw"}),
        "jpeg.tiff": (noisy, {"compression": "jpeg"}),
        "deflate.tiff": (noisy, {"compression": "tiff_adobe_deflate", "tiffinfo": {274: 6}}),
        "deep.tiff": (deep, {}),
        "cmyk.tiff": (noisy.convert("CMYK"), {}),
        "fax.tiff": (noisy.convert("1"), {"compression": "group4"}),
        "lab.tiff": (noisy.convert("LAB"), {}),
        "float.tiff": (noisy.convert("F"), {}),
        "plain.bmp": (noisy, {}),
        "palette.bmp": (noisy.quantize(16), {}),
        "plain.ppm": (noisy, {}),
        "grey.pgm": (deep.convert("I"), {}),
    }
    return {name: _saved(picture, name, options) for name, (picture, options) in forms.items()}


def _saved(picture: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    kinds = {"jpg": "JPEG", "pgm": "PPM"}
    ending = name.rsplit(".", 1)[1]
    picture.save(content, kinds.get(ending, ending.upper()), **options)
    return content.getvalue()


@lru_cache
def photographs() -> dict[str, Path]:
    """Real ones, where there are some: some of the small ones and of those as they were published."""
    root = Path(os.environ.get("DOGBREED_REAL_DATA") or "/nowhere")
    files = [*sorted(root.glob("dogs120/test/*/*.jpg"))[::20], *sorted(root.glob("originals/*/*.jpg"))[::5]]
    return {path.relative_to(root).as_posix(): path for path in files}


@contextmanager
def alone(bases: Path) -> Iterator[None]:
    """One process at a time makes what is missing."""
    with open(bases / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_photos(bases: Path) -> Path:
    """A data set of 3 classes with 4 / 2 / 2 pictures each."""
    root = bases / "photos"
    return root if root.exists() else draw_folder(root, classes=3, train=4, val=2, test=2)


def make_run(bases: Path) -> Path:
    """A run on them, by the real command."""
    run = bases / "run"
    with alone(bases):
        if not (run / "artifact").exists():
            _train(bases, f"hydra.run.dir={run}", "trainer.max_epochs=2", "data.batch_size=4", "thumbnails=true")
    return run


def make_sweep(bases: Path) -> Path:
    """A sweep of four trials on them, by the real command."""
    sweep = bases / "sweep"
    settings = ["hydra/sweeper=fleet", f"hydra.sweep.dir={sweep}", "trainer.max_epochs=1"]
    with alone(bases):
        if not (sweep / "summary.json").exists():
            _train(bases, *settings, "optimizer.lr=0.1,0.01", "data.batch_size=4,8", "-m")
    return sweep


def _train(bases: Path, *overrides: str) -> None:
    arguments = [*SMALL_RUN, f"data.root={make_photos(bases)}", *overrides]
    environment = {**os.environ, "DOGBREED_FEATURES": str(bases / "features"), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "dogbreed.train", *arguments], check=True, env=environment, capture_output=True
    )
