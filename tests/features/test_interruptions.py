"""A pass killed at any moment goes on where it was, to the bits of one that was left alone."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dogbreed.features import cache
from dogbreed.features.engines import Forward, TorchEngine
from dogbreed.models.backbones import make_backbone
from tests.features.parts import all_features, load, of_paths

pytestmark = pytest.mark.slow

FORK = multiprocessing.get_context("fork")  # a process of its own, for which nothing is imported again
PICTURES, CHUNK, BATCH, WORKERS = 600, 32, 8, 2
VIEWS = 2
AHEAD = BATCH * WORKERS * 3  # each worker has a batch in hand, and two that wait to be fetched


class Counting(TorchEngine):
    """Counts what is computed, over all processes."""

    counter: Any

    def load(self) -> Forward:
        forward = super().load()

        def count(images: Tensor) -> Tensor:
            features = forward(images)
            with self.counter.get_lock():
                self.counter.value += len(images)
            return features

        return count


def work(pictures: Path, root: Path, out: Path, counter: Any) -> None:
    """Load the features of a folder's pictures; leave them, and how many were computed, in `out`."""
    torch.set_num_threads(1)
    cache.CHUNK_ROWS = CHUNK
    backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=64)
    train = of_paths(backbone, sorted(pictures.glob("*.jpg")), VIEWS)
    engine = Counting(backbone)
    engine.counter = counter
    loaded = load(root, backbone, {"train": train}, engine=engine, workers=WORKERS, batch_size=BATCH)
    np.save(out, all_features(loaded.views["train"]).numpy())
    out.with_suffix(".txt").write_text(str(loaded.computed))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(PICTURES):
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((160, 120)).save(folder / f"{number:04d}.jpg")
    return folder


def start(pictures: Path, folder: Path) -> tuple[Any, Any]:
    """A pass, and how many rows it has computed so far."""
    counter = FORK.Value("q")
    process = FORK.Process(target=work, args=(pictures, folder / "cache", folder / "features.npy", counter))
    process.start()
    return process, counter


def finish(pictures: Path, folder: Path) -> int:
    """A pass to its end; how many rows it computed."""
    process, _ = start(pictures, folder)
    process.join(300)
    assert process.exitcode == 0
    return int((folder / "features.txt").read_text())


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
    """The features, and the seconds that they take."""
    folder, begun = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    assert finish(pictures, folder) == VIEWS * PICTURES
    return np.load(folder / "features.npy"), time.monotonic() - begun


def assert_gone(processes: list[int], within: float) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in processes):
        time.sleep(0.1)
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()], "orphans"


@pytest.mark.parametrize("kill", range(20))
def test_pass__killed_at_a_random_moment_loses_its_last_chunk_at_most(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path, kill: int
) -> None:
    expected, seconds = undisturbed
    process, counter = start(pictures, tmp_path)
    time.sleep(random.Random(kill).uniform(0, seconds))
    children = descendants(process.pid)
    process.kill()
    process.join()
    computed, kept = counter.value, rows_kept(tmp_path / "cache")
    assert computed - kept <= CHUNK + AHEAD
    for lock in (tmp_path / "cache").glob("*/lock"):
        assert is_free(lock)
    assert finish(pictures, tmp_path) == VIEWS * PICTURES - kept
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert_gone(children, within=30)


def test_pass__killed_again_and_again_ends_with_the_same_bits(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    kept, chance = 0, random.Random(99)
    for _ in range(5):
        process, _ = start(pictures, tmp_path)
        time.sleep(chance.uniform(0.2, 0.6) * seconds)
        process.kill()
        process.join()
        assert rows_kept(tmp_path / "cache") >= kept, "what was there is there"
        kept = rows_kept(tmp_path / "cache")
    finish(pictures, tmp_path)
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert finish(pictures, tmp_path) == 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_pass__asked_to_stop_leaves_no_process_and_goes_on(
    pictures: Path, undisturbed: tuple[np.ndarray, float], tmp_path: Path, stop: signal.Signals
) -> None:
    expected, _ = undisturbed
    process, counter = start(pictures, tmp_path)
    deadline = time.monotonic() + 300
    while counter.value < VIEWS * PICTURES // 4 and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    children = descendants(process.pid)
    os.kill(process.pid, stop)
    process.join(300)
    assert process.exitcode not in (None, 0)
    kept = rows_kept(tmp_path / "cache")
    assert kept < VIEWS * PICTURES
    assert finish(pictures, tmp_path) == VIEWS * PICTURES - kept
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert_gone(children, within=30)
