"""Draws the sample data set: cartoon dogs of invented breeds, for a quick start and tests with no download.

Within a breed the pose, the place, the scene, the light and the objects in the way vary.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image
from tqdm import tqdm

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.data.breeds import BREEDS
from dogbreed.data.cartoon import CANVAS, Breed, draw_dog
from dogbreed.data.scenery import draw_object, draw_scene, photograph
from dogbreed.errors import ConfigError, DataError
from dogbreed.files import writing

FORMAT = 1  # raise it whenever the same parameters would draw other pictures
CARD = "sample.json"
FOLDERS = {"train": "train", "val": "valid", "test": "test"}


def draw_sample(root: Path | str, *, seed: int = 0, train: int = 40, val: int = 12, test: int = 12) -> Path:
    """The folder of a whole sample data set, drawn first unless it is already there.

    It holds train/, valid/ and test/, each with ten folders such as 001.Patchwork_hound/ of JPEG files of
    160 x 160 pixels, and sample.json with the parameters. A picture depends on the seed, its split, breed and
    number alone, so a larger sample holds the smaller one; with the same Pillow and NumPy the same parameters
    give the same bytes. The folder has its name only once it is whole: a run that is killed leaves at most a
    hidden folder beside it.

    Args:
        root: where to draw it; its parents are made.
        seed: 0 or more.
        train: pictures a breed in train/, 1 or more.
        val: pictures a breed in valid/, 1 or more.
        test: pictures a breed in test/, 1 or more.

    Raises:
        ConfigError: the seed or a count is too low.
        DataError: `root` exists and is not a whole sample of these parameters; nothing has been touched.
        OutputError: `root` cannot be written.
    """
    root, per_class = Path(root), {"train": train, "val": val, "test": test}
    for name, value, low in [("seed", seed, 0), *((split, count, 1) for split, count in per_class.items())]:
        if value < low:
            raise ConfigError(f"{name}={value}", f"a whole number, {low} or more", f"raise {name}")
    card = {"format": FORMAT, "seed": seed, "per_class": per_class}
    if not os.path.lexists(root):
        with writing(root):
            root.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as workshop:
                draft = Path(workshop, root.name)
                _draw_all(draft, card)
                try:
                    draft.rename(root)
                except OSError:
                    if not os.path.lexists(root):
                        raise
                    # Another process was quicker: its folder stays, if it is what was asked for.
    _check(root, card)
    return root


def draw_picture(breed: Breed, rng: Generator) -> Image.Image:
    """A picture of a dog of the breed, RGB, CANVAS / 2 pixels a side; all else comes from the generator."""
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    draw_scene(canvas, rng)
    draw_dog(canvas, breed, rng)
    draw_object(canvas, rng)
    return photograph(canvas, rng)


def _files(per_class: dict[str, int]) -> list[tuple[Path, Breed, str, int]]:
    """(path below the root, breed, split, number from 1) of every picture."""
    return [
        (Path(folder, f"{index:03d}.{breed.name}", f"{breed.name}_{number:05d}.jpg"), breed, split, number)
        for split, folder in FOLDERS.items()
        for index, breed in enumerate(BREEDS, start=1)
        for number in range(1, per_class[split] + 1)
    ]


def _draw_all(root: Path, card: dict[str, Any]) -> None:
    for path, breed, split, number in tqdm(_files(card["per_class"]), "drawing the sample", disable=None):
        name = zlib.crc32(f"{split}/{breed.name}".encode())
        rng = np.random.default_rng([card["seed"], name, number])
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(breed, rng).save(root / path, quality=int(rng.integers(65, 95)))
    (root / CARD).write_text(json.dumps(card) + "\n", encoding="utf-8")


def _check(root: Path, card: dict[str, Any]) -> None:
    """Raises a DataError unless `root` is a whole sample of these parameters."""
    try:
        found = json.loads((root / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    missing = [path for path, *_ in _files(card["per_class"]) if not (root / path).is_file()]
    if found != card or missing:
        other = "something else than a sample" if found is None else f"the sample {json.dumps(found)}"
        raise DataError(
            got=f"{root} holds {other}" if found != card else f"{root} lacks {missing[0]}",
            allowed=f"a new path, or the whole sample {json.dumps(card)}",
            hint="choose another folder, or remove this one",
        )


@ends_well("nothing was kept of a sample that is not whole; run it again")
def main(argv: Sequence[str] | None = None) -> int:
    """Runs `python -m dogbreed.data.sample`; 0, or 1 with the reason on stderr."""
    asked = vars(make_parser().parse_args(argv))
    root = draw_sample(**asked)
    pictures = ", ".join(f"{len(BREEDS) * asked[split]} in {folder}/" for split, folder in FOLDERS.items())
    print(f"{root}: {len(BREEDS)} breeds, pictures: {pictures} (seed {asked['seed']})")
    print(f"look at them:\n  {shlex.join(['python', '-m', 'dogbreed.data', 'summary', str(root)])}")
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.data.sample",
        description="Draw the sample data set.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("root", metavar="DIR", help="the folder to draw")
    for name, default in (draw_sample.__kwdefaults__ or {}).items():
        text = "of the drawing" if name == "seed" else f"pictures a breed in {FOLDERS[name]}/"
        parser.add_argument(f"--{name}", metavar="N", type=int, default=default, help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
