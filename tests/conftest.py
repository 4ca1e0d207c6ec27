"""What the tests share: small real folders of real image files, and a small real backbone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: A real timm architecture of 0.5 million parameters.
BACKBONE = {"library": "timm", "name": "test_resnet", "tag": "r160_in1k", "weights": "none", "image_size": 32}


def draw_folder(root: Path, classes: int = 4, train: int = 8, val: int = 4, test: int = 4, size: int = 40) -> Path:
    """An ImageFolder of noise in the colour of its class: easy to learn, quick to decode."""
    for split, count in (("train", train), ("valid", val), ("test", test)):
        for label in range(classes):
            folder = root / split / f"{label + 1:03d}.Breed_{chr(65 + label)}"
            folder.mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([label, number, len(split)])
                colour = np.random.default_rng(label).integers(40, 216, 3)
                pixels = (colour + rng.normal(0, 30, (size, size, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{folder.name[4:]}_{number:05d}.jpg", quality=90)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of 4 classes with 8 / 4 / 4 pictures each, for one test to change as it likes."""
    return draw_folder(tmp_path / "photos")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set, drawn once; not to be changed."""
    return draw_folder(tmp_path_factory.mktemp("shared") / "photos")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs and weights, where there is one."""
    folder = os.environ.get("DOGBREED_REAL_DATA")
    if not folder:
        pytest.skip("needs real photographs and weights: DOGBREED_REAL_DATA is not set")
    return Path(folder)
