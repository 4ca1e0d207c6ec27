"""A pass killed at any moment goes on where it was, to the bits of one that was left alone."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PICTURES, CHUNK, BATCH, WORKERS = 600, 32, 8, 2

#: Loads the features of a folder's pictures, says how many it computed, and saves them.
PASS = f"""
import sys, json, numpy, torch
from pathlib import Path
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import Split
from dogbreed.data.transforms import CropFlip
from dogbreed.features import cache
from dogbreed.features.engines import TorchEngine
from dogbreed.models.backbones import make_backbone
cache.CHUNK_ROWS = {CHUNK}
folder, root, out = map(Path, sys.argv[1:])
backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=64)
split = Split("train", [str(path) for path in sorted(folder.glob("*.jpg"))], [0] * {PICTURES})
pictures = PictureDataset(split, backbone.transform, CropFlip((0.3, 1.0), (0.75, 1.33)), 0, 2)
print("starts", flush=True)
loaded = cache.FeatureCache(root).load(
    backbone, TorchEngine(backbone), {{"train": pictures}}, workers={WORKERS}, batch_size={BATCH}
)
views = loaded.views["train"]
numpy.save(out, numpy.stack([views.take(view, torch.arange(len(views))).numpy() for view in (0, 1)]))
print(json.dumps({{"computed": loaded.computed, "unreadable": len(loaded.unreadable)}}), flush=True)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(PICTURES):
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((160, 120)).save(folder / f"{number:04d}.jpg")
    return folder


def start(pictures: Path, root: Path, out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PASS, str(pictures), str(root), str(out)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def rows_kept(root: Path) -> int:
    """The rows of every whole line of the index."""
    lines = [line for index in root.glob("*/index.jsonl") for line in index.read_bytes().split(b"\n")[:-1]]
    return sum(json.loads(line.rpartition(b"\t")[0])["rows"] for line in lines)


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return found + [below for child in found for below in descendants(child)]


def is_free(lock: Path) -> bool:
    with open(lock, "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, float]:
    """The features, and the seconds of the pass."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(pictures, folder / "cache", folder / "features.npy")
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    begun = time.monotonic()
    assert finish(process) == {"computed": 2 * PICTURES, "unreadable": 0}
    return np.load(folder / "features.npy"), time.monotonic() - begun


@pytest.mark.parametrize("kill", range(20))
def test_pass__killed_at_a_random_moment_loses_its_last_chunk_at_most(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path, kill: int
) -> None:
    expected, seconds = undisturbed
    process = start(pictures, tmp_path / "cache", tmp_path / "features.npy")
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    time.sleep(random.Random(kill).uniform(0, seconds))
    children = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = rows_kept(tmp_path / "cache")
    for lock in (tmp_path / "cache").glob("*/lock"):
        assert is_free(lock)
    found = finish(start(pictures, tmp_path / "cache", tmp_path / "features.npy"))
    assert found == {"computed": 2 * PICTURES - kept, "unreadable": 0}
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [child for child in children if Path(f"/proc/{child}").exists()], "orphans"


def test_pass__killed_again_and_again_ends_with_the_same_bits(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    kept, chance = 0, random.Random(99)
    for _ in range(5):
        process = start(pictures, tmp_path / "cache", tmp_path / "features.npy")
        assert process.stdout is not None
        assert process.stdout.readline() == "starts\n"
        time.sleep(chance.uniform(0.2, 0.6) * seconds)
        process.kill()
        process.wait()
        assert rows_kept(tmp_path / "cache") >= kept, "what was there is there"
        kept = rows_kept(tmp_path / "cache")
    finish(start(pictures, tmp_path / "cache", tmp_path / "features.npy"))
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert finish(start(pictures, tmp_path / "cache", tmp_path / "features.npy"))["computed"] == 0
    assert not [path.name for path in (tmp_path / "cache").rglob(".*")], "rubbish"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_pass__asked_to_stop_leaves_no_process_and_goes_on(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path, stop: signal.Signals
) -> None:
    expected, seconds = undisturbed
    process = start(pictures, tmp_path / "cache", tmp_path / "features.npy")
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    time.sleep(0.5 * seconds)
    children = descendants(process.pid)
    process.send_signal(stop)
    process.wait(30)
    kept = rows_kept(tmp_path / "cache")
    assert finish(start(pictures, tmp_path / "cache", tmp_path / "features.npy"))["computed"] == 2 * PICTURES - kept
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert not [child for child in children if Path(f"/proc/{child}").exists()], "orphans"
