"""`python -m benchmarks.audit --root PHOTOS`: how long an audit takes, and which copies of a photograph it finds.

Copies of some photographs are planted beside the others: saved anew, resized, cropped by 5 %, mirrored, and with
other colours, brightness and contrast. Beside the audit stands the usual way: the perceptual hash of 64 bits (the
signs of the lowest 8 x 8 frequencies, within a distance of 10), without mirrors, as libraries of image hashes have it.
What is neither planted nor found by both is for a person to judge: `--sheet FILE` draws 200 of the pairs found.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageEnhance

from benchmarks.measuring import Stopwatch, describe_machine, finish, print_machine, print_table
from dogbreed.app import compose
from dogbreed.audit.audit import audit_folder
from dogbreed.audit.looking import make_thumbnail
from dogbreed.audit.structure import Limits
from dogbreed.data.folder import find_pictures

Draw = np.random.Generator
Names = set[frozenset[str]]

USUAL_DISTANCE = 10
SHEET, COLUMNS, TILE = 200, 8, 120


def crop(picture: Image.Image, rng: Draw) -> Image.Image:
    """95 % of the width and of the height, from anywhere."""
    width, height = picture.size
    left, top = (float(rng.uniform(0, 0.05 * side)) for side in picture.size)
    return picture.crop((int(left), int(top), int(left + 0.95 * width), int(top + 0.95 * height)))


def resize(picture: Image.Image, rng: Draw) -> Image.Image:
    """Half to double the size, with the shape changed by a tenth at most."""
    scale, shape = rng.uniform(0.5, 2), rng.uniform(0.9, 1.1)
    size = max(8, int(picture.width * scale)), max(8, int(picture.height * scale * shape))
    return picture.resize(size, Image.Resampling.BICUBIC)


def recolour(picture: Image.Image, rng: Draw) -> Image.Image:
    """Saturation changed by 30 % at most, brightness and contrast by 20 %."""
    for enhance, most in ((ImageEnhance.Color, 0.3), (ImageEnhance.Brightness, 0.2), (ImageEnhance.Contrast, 0.2)):
        picture = enhance(picture).enhance(float(rng.uniform(1 - most, 1 + most)))
    return picture


#: What makes a copy, and the qualities with which it may be saved.
COPIES: dict[str, tuple[Callable[[Image.Image, Draw], Image.Image], tuple[int, int]]] = {
    "re-encoded": (lambda picture, rng: picture, (30, 85)),
    "resized": (resize, (85, 95)),
    "cropped": (crop, (85, 95)),
    "mirrored": (lambda picture, rng: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (85, 95)),
    "recoloured": (recolour, (85, 95)),
}


def plant(photos: list[Path], root: Path, count: int, seed: int) -> dict[frozenset[str], str]:
    """A data set of all `photos` and `count` copies: the kind of each copy, by its own and its origin's name.

    The photographs are links in train, the copies files in test; names are paths below `root`.
    """
    rng, planted = np.random.default_rng(seed), {}
    for number, photo in enumerate(photos):
        place = root / "train" / photo.parent.name / f"{number:06d}{photo.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(photo.resolve())
    for number, choice in enumerate(rng.choice(len(photos), count, replace=False)):
        kind = list(COPIES)[number % len(COPIES)]
        make, (low, high) = COPIES[kind]
        with Image.open(photos[choice]) as picture:
            copy = make(picture.convert("RGB"), rng)
        place = root / "test" / photos[choice].parent.name / f"{number:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        copy.save(place, quality=int(rng.integers(low, high)))
        origin = f"train/{photos[choice].parent.name}/{choice:06d}{photos[choice].suffix}"
        planted[frozenset((origin, place.relative_to(root).as_posix()))] = kind
    return planted


def usual_pairs(thumbnails: NDArray[np.uint8], paths: list[str]) -> Names:
    """Pairs within `USUAL_DISTANCE` of one another by the usual hash of 64 bits."""
    side = np.arange(32)
    waves = np.cos(np.pi * np.outer(np.arange(8), 2 * side + 1) / 64).astype(np.float32)
    low = (waves @ thumbnails.reshape(-1, 32, 2, 32, 2).mean((2, 4), dtype=np.float32) @ waves.T).reshape(-1, 64)
    signs = np.where(low > np.median(low, axis=1, keepdims=True), np.float32(1), np.float32(-1))
    found: Names = set()
    for first in range(len(signs)):
        near = np.flatnonzero((64 - signs[first + 1 :] @ signs[first]) / 2 <= USUAL_DISTANCE)
        found |= {frozenset((paths[first], paths[first + 1 + other])) for other in near}
    return found


def measure(photos: list[Path], count: int, seed: int, sheet: Path | None) -> dict[str, Any]:
    """Seconds, the share of each kind of copy that is found, and how many other pairs, of both ways."""
    limits = Limits(**OmegaConf.to_container(compose("audit", ["data.root=."]).limits))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        planted = plant(photos, root, count, seed)
        watch = Stopwatch()
        audit = audit_folder(root, limits=limits)
        wall_s, cpu_s = watch.read()
        paths = [look.path for look in audit.looks]
        ours = {frozenset((paths[pair.first], paths[pair.second])) for pair in audit.pairs}
        usual = usual_pairs(_thumbnails(root, paths), paths)
        if sheet is not None:
            scores = {frozenset((paths[pair.first], paths[pair.second])): pair.score for pair in audit.pairs}
            draw_sheet(sheet, root, scores, seed)
    return {
        "pictures": len(paths),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "audit": {**_recall(planted, ours), "others": len(ours - planted.keys())},
        "usual": {**_recall(planted, usual), "others": len(usual - planted.keys())},
        "usual_only": len(usual - ours),
    }


def draw_sheet(file: Path, root: Path, scores: dict[frozenset[str], float], seed: int) -> None:
    """Write a picture of some of the pairs, side by side, numbered, with their scores."""
    names = sorted(scores, key=sorted)
    chosen = np.random.default_rng(seed).permutation(len(names))[:SHEET]
    size = (COLUMNS * (2 * TILE + 10), -(-len(chosen) // COLUMNS) * (TILE + 16))
    canvas = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(canvas)
    for number, choice in enumerate(chosen):
        left, top = number % COLUMNS * (2 * TILE + 10), number // COLUMNS * (TILE + 16)
        for place, path in enumerate(sorted(names[choice])):
            with Image.open(root / path) as picture:
                canvas.paste(picture.convert("RGB").resize((TILE, TILE)), (left + place * (TILE + 1), top))
        pen.text((left, top + TILE + 2), f"{number}: {scores[names[choice]]:.3f}", fill="black")
    canvas.save(file)


def _thumbnails(root: Path, paths: Iterable[str]) -> NDArray[np.uint8]:
    found = []
    for path in paths:
        with Image.open(root / path) as picture:
            found.append(make_thumbnail(np.asarray(picture.convert("RGB"))))
    return np.stack(found)


def _recall(planted: dict[frozenset[str], str], found: Names) -> dict[str, float]:
    kinds = {kind: [pair in found for pair, made in planted.items() if made == kind] for kind in COPIES}
    return {kind: sum(hits) / len(hits) for kind, hits in kinds.items() if hits}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--root", required=True, help="a folder of photographs")
    parser.add_argument("--planted", type=int, default=200, help="how many copies")
    parser.add_argument("--seed", type=int, default=0, help="of the copies, and of the pairs that are drawn")
    parser.add_argument("--sheet", type=Path, help="a picture of some pairs, to be judged by eye")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(argv)

    machine = describe_machine()
    print_machine(machine)
    photos = [Path(path) for path in find_pictures([options.root])]
    found = measure(photos, options.planted, options.seed, options.sheet)
    finish({"machine": machine, **found}, options.json)
    print(f"{found['pictures']} pictures: {found['wall_s']:.1f} s, {found['cpu_s']:.1f} s of processor time")
    header = ["copies found", "this audit", f"64 bits within {USUAL_DISTANCE}"]
    rows = [[kind, f"{found['audit'][kind]:.1%}", f"{found['usual'][kind]:.1%}"] for kind in COPIES]
    rows += [["other pairs", str(found["audit"]["others"]), str(found["usual"]["others"])]]
    print_table(header, rows)
    print(f"found by the 64 bits alone: {found['usual_only']} pairs")


if __name__ == "__main__":
    main()
