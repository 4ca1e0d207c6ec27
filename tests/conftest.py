"""What the tests share: small real folders of real image files, and a small real backbone."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import absl.logging
import numpy as np
import pytest
import torch
from PIL import Image

from dogbreed.models.backbones import Backbone, make_backbone

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


def pytest_configure() -> None:
    """Let absl, which TensorBoard brings, log to the real stderr.

    It would keep the stream that pytest captures with, and close it where Hydra sets up logging.
    """
    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True, scope="session")
def features_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for these tests alone, also for the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOGBREED_FEATURES", str(tmp_path_factory.mktemp("features")))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of 4 classes with 8 / 4 / 4 pictures each, for one test to change as it likes."""
    return draw_folder(tmp_path / "photos")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set, drawn once; not to be changed."""
    return draw_folder(tmp_path_factory.mktemp("shared") / "photos")


@pytest.fixture
def backbone() -> Backbone:
    """A small real backbone, the same untrained weights each time."""
    torch.manual_seed(0)
    return make_backbone(**BACKBONE)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def small_run() -> list[str]:
    """Overrides for a run of a second, but for the data and the run's directory."""
    chosen = [f"backbone.{key}={value}" for key, value in BACKBONE.items()]
    return ["backbone=any", *chosen, "data=folder", "data.num_workers=0", "trainer.accelerator=cpu"]


@pytest.fixture(scope="session")
def trained_run(small_run: list[str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on `shared_folder`, made once by the real command; not to be changed."""
    import dogbreed.train  # Lightning and Hydra, which most tests do without

    directory = tmp_path_factory.mktemp("run") / "trained"
    settings = [f"data.root={shared_folder}", f"hydra.run.dir={directory}", "trainer.max_epochs=2"]
    faster = ["data.batch_size=8", "optimizer.lr=3"]  # the features of untrained weights are small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dogbreed.train", *small_run, *settings, *faster])
        dogbreed.train.main()
    return directory


@pytest.fixture
def artifact(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run's artifact, for one test to damage as it likes."""
    return Path(shutil.copytree(trained_run / "artifact", tmp_path / "artifact"))


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the `main` of a command in this process: command(main, *arguments)."""

    def run(main: Callable[[], Any], *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capsys.readouterr()
        handlers, level = list(logging.root.handlers), logging.root.level
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        finally:  # Hydra leaves a handler on the stdout that pytest is about to close
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
        return Ended(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with room for no more than 4 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a file system here, which root can")
    try:
        (folder / "filler").write_bytes(bytes(60 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs and weights, where there is one."""
    folder = os.environ.get("DOGBREED_REAL_DATA")
    if not folder:
        pytest.skip("needs real photographs and weights: DOGBREED_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("there is no chromium here")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
