"""Processes that share a cache."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed.features import cache
from dogbreed.features.engines import Forward, TorchEngine
from dogbreed.features.keys import key_of, recipe_of
from dogbreed.features.store import FeatureStore
from dogbreed.models.backbones import Backbone
from tests.features.parts import all_features, dataset, load

FORK = multiprocessing.get_context("fork")  # what has been imported need not be imported again


class Slow(TorchEngine):
    """Long enough for another process to come along."""

    def load(self) -> Forward:
        forward = super().load()

        def slowly(images: torch.Tensor) -> torch.Tensor:
            time.sleep(0.1)
            return forward(images)

        return slowly


def ask(root: Path, backbone: Backbone, folder: Path, splits: tuple[str, ...], start: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    start.wait()
    datasets = {name: dataset(backbone, folder, name) for name in splits}
    loaded = load(root, backbone, datasets, engine=Slow(backbone), batch_size=4)
    answers.put((loaded.computed, {name: all_features(views).numpy() for name, views in loaded.views.items()}))


def at_once(root: Path, backbone: Backbone, folder: Path, asked: list[tuple[str, ...]]) -> list[Any]:
    start, answers = FORK.Barrier(len(asked)), FORK.Queue()
    processes = [FORK.Process(target=ask, args=(root, backbone, folder, splits, start, answers)) for splits in asked]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    return found


def test_processes__that_ask_for_the_same_compute_it_once(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(cache, "CHUNK_ROWS", 8)
    found = at_once(tmp_path, backbone, shared_folder, [("train",)] * 3)
    assert sorted(computed for computed, _ in found) == [0, 0, 32]
    assert all((features["train"] == found[0][1]["train"]).all() for _, features in found)
    assert capfd.readouterr().out.count("waiting for it") == 2


@pytest.mark.slow
def test_processes__that_ask_for_overlapping_pictures_compute_each_once(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CHUNK_ROWS", 4)
    found = at_once(tmp_path, backbone, shared_folder, [("train", "val"), ("val", "test"), ("train",)])
    different = {file.read_bytes() for file in shared_folder.rglob("*.jpg")}
    assert sum(computed for computed, _ in found) == len(different)
    everything = load(
        tmp_path, backbone, {name: dataset(backbone, shared_folder, name) for name in ("train", "val", "test")}
    )
    assert everything.computed == 0
    for _, features in found:
        for name, given in features.items():
            assert (all_features(everything.views[name]).numpy() == given).all()


def hold(folder: Path, num_features: int, held: Any) -> None:
    with FeatureStore(folder, num_features, "float32").writer(on_wait=lambda: None):
        held.set()
        time.sleep(300)


def ask_aloud(file: Path, *arguments: Any) -> None:
    with file.open("w", buffering=1) as stream, redirect_stdout(stream):
        ask(*arguments)


def test_processes__a_lock_ends_with_its_killed_holder(tmp_path: Path, shared_folder: Path, backbone: Backbone) -> None:
    folder, held = tmp_path / key_of(recipe_of(backbone, TorchEngine(backbone), "float32")), FORK.Event()
    holder = FORK.Process(target=hold, args=(folder, backbone.num_features, held))
    holder.start()
    assert held.wait(30)
    waiting, answers = FORK.Barrier(1), FORK.Queue()
    said, asked = tmp_path / "said", (tmp_path, backbone, shared_folder, ("val",), waiting, answers)
    said.touch()
    other = FORK.Process(target=ask_aloud, args=(said, *asked))
    other.start()
    deadline = time.monotonic() + 60
    while "waiting for it" not in said.read_text() and answers.empty() and time.monotonic() < deadline:
        time.sleep(0.05)
    holder.kill()
    assert "waiting for it" in said.read_text()
    assert answers.get(timeout=60)[0] == 16
    other.join(30)


def removed(folder: Path, num_features: int, held: Any) -> None:
    import shutil

    with FeatureStore(folder, num_features, "float32").writer(on_wait=lambda: None):
        held.set()
        time.sleep(0.5)
        shutil.rmtree(folder)


def test_processes__one_that_waits_for_a_store_being_removed_makes_it_anew(
    tmp_path: Path, shared_folder: Path, backbone: Backbone
) -> None:
    folder, held = tmp_path / key_of(recipe_of(backbone, TorchEngine(backbone), "float32")), FORK.Event()
    remover = FORK.Process(target=removed, args=(folder, backbone.num_features, held))
    remover.start()
    assert held.wait(30)
    assert load(tmp_path, backbone, {"val": dataset(backbone, shared_folder, "val")}).computed == 16
    remover.join(30)
    assert remover.exitcode == 0
    assert load(tmp_path, backbone, {"val": dataset(backbone, shared_folder, "val")}).computed == 0
