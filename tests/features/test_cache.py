"""What must be computed is computed, what is there is read, and nothing stale ever."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dogbreed.data.transforms import CropFlip, TrivialAugment
from dogbreed.features import cache as module
from dogbreed.features.engines import TorchEngine
from dogbreed.features.keys import describe_view
from dogbreed.features.pictures import digests
from dogbreed.models.backbones import Backbone, make_backbone
from tests.features.parts import CROPS, all_features, dataset, difference, load, of_paths, plain_features, swap_unseen


@pytest.fixture(scope="module")
def warm(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds train in 2 views; not to be changed."""
    root = tmp_path_factory.mktemp("warm")
    backbone = small()
    assert load(root, backbone, {"train": dataset(backbone, shared_folder, views=2)}).computed == 64
    return root


@pytest.fixture
def cache(warm: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(warm, tmp_path / "cache"))


def small(**settings: Any) -> Backbone:
    chosen = {"tag": "r160_in1k", "weights": "none", "image_size": 32} | settings
    return make_backbone("timm", "test_resnet", **chosen)  # type: ignore[arg-type]


def other_weights() -> Backbone:
    backbone = small()
    next(backbone.network.parameters()).data.view(-1)[0] += 1e-3
    return backbone


def other_statistics() -> Backbone:
    backbone = small()
    next(m for m in backbone.network.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_var.mul_(1.001)  # type: ignore[union-attr]
    return backbone


class OtherEngine(TorchEngine):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.identity = {**self.identity, "torch": "0.0"}


def trained_on(backbone: Backbone, folder: Path, **settings: Any) -> dict[str, Any]:
    return {"train": dataset(backbone, folder, **{"views": 2, **settings})}


MISSES: dict[str, Callable[[], tuple[Backbone, dict[str, Any], dict[str, Any]]]] = {
    "weights": lambda: (other_weights(), {}, {}),
    "statistics": lambda: (other_statistics(), {}, {}),
    "image size": lambda: (small(image_size=33), {}, {}),
    "number format": lambda: (small(), {}, {"dtype": "float16"}),
    "engine": lambda: (small(), {}, {"engine": OtherEngine(small())}),
}


@pytest.mark.parametrize("cause", MISSES)
def test_load__computes_all_again_for_other(cache: Path, shared_folder: Path, cause: str) -> None:
    backbone, chosen, settings = MISSES[cause]()
    loaded = load(cache, backbone, trained_on(backbone, shared_folder, **chosen), **settings)
    assert loaded.computed == 64
    pictures = dataset(backbone, shared_folder, views=2)
    for view in (0, 1):
        found = all_features(loaded.views["train"])[view]
        assert difference(found, plain_features(backbone, pictures, view)) < (1e-2 if settings.get("dtype") else 1e-5)


def test_load__computes_all_again_for_another_version(
    cache: Path, shared_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    for package in ("pillow", "torchvision", "timm", "dogbreed"):
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "version", lambda name, p=package: "0.0" if name == p else real(name))
            assert load(cache, backbone, trained_on(backbone, shared_folder)).computed == 64, package
    assert load(cache, backbone, trained_on(backbone, shared_folder)).computed == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"augmentation": CropFlip(scale=(0.31, 1.0), ratio=(0.75, 1.33))},
        {"augmentation": CropFlip(scale=(0.3, 1.0), ratio=(0.75, 1.34))},
        {"augmentation": TrivialAugment()},
    ],
    ids=["seed", "scale", "ratio", "augmentation"],
)
def test_load__computes_the_augmented_views_again_for_another(
    cache: Path, shared_folder: Path, backbone: Backbone, changed: dict[str, Any]
) -> None:
    loaded = load(cache, backbone, trained_on(backbone, shared_folder, **changed))
    assert loaded.computed == 32
    expected = plain_features(backbone, dataset(backbone, shared_folder, views=2, **changed), 1)
    assert difference(all_features(loaded.views["train"])[1], expected) < 1e-5


def test_load__another_view_costs_that_view_alone(cache: Path, shared_folder: Path, backbone: Backbone) -> None:
    loaded = load(cache, backbone, trained_on(backbone, shared_folder, views=3))
    assert loaded.computed == 32
    pictures = dataset(backbone, shared_folder, views=3)
    for view, found in enumerate(all_features(loaded.views["train"])):
        assert difference(found, plain_features(backbone, pictures, view)) < 1e-5


def test_load__same_again_computes_nothing_whatever_the_pass(
    cache: Path, shared_folder: Path, backbone: Backbone
) -> None:
    for settings in ({}, {"batch_size": 3}, {"workers": 2}):
        loaded = load(cache, small(), trained_on(backbone, shared_folder), **settings)
        assert (loaded.computed, loaded.seconds) == (0, 0)
    assert load(cache, backbone, {"train": dataset(backbone, shared_folder)}).computed == 0  # the clean view alone


def test_load__hits_for_moved_renamed_reordered_and_resplit_pictures(
    cache: Path, shared_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    before = load(cache, backbone, trained_on(backbone, shared_folder))
    moved = Path(shutil.copytree(shared_folder / "train", tmp_path / "elsewhere"))
    files = sorted(moved.rglob("*.jpg"))
    renamed = [file.rename(file.with_name(f"{len(files) - number:03d}.png")) for number, file in enumerate(files)]
    train, val = of_paths(backbone, renamed[::-1][:20], views=2), of_paths(backbone, renamed[::-1][20:])
    loaded = load(cache, backbone, {"train": train, "val": val})
    assert loaded.computed == 0
    expected = all_features(before.views["train"]).flip(1)
    assert torch.equal(all_features(loaded.views["train"]), expected[:, :20])
    assert torch.equal(all_features(loaded.views["val"])[0], expected[0, 20:])


def test_load__a_changed_added_or_removed_picture_costs_itself_alone(
    cache: Path, folder: Path, backbone: Backbone
) -> None:
    assert load(cache, backbone, trained_on(backbone, folder)).computed == 0  # drawn as the shared one is
    paths = [Path(path) for path in dataset(backbone, folder).paths]
    Image.fromarray(np.full((50, 40, 3), 90, np.uint8)).save(paths[3])
    Image.fromarray(np.full((50, 40, 3), 91, np.uint8)).save(paths[3].with_name("added.png"))
    paths[9].unlink()
    loaded = load(cache, backbone, trained_on(backbone, folder))
    assert loaded.computed == 4
    pictures = dataset(backbone, folder, views=2)
    for view in (0, 1):
        found = all_features(loaded.views["train"])[view]
        assert difference(found, plain_features(backbone, pictures, view)) < 1e-5
    assert load(cache, backbone, trained_on(backbone, folder)).computed == 0


def test_load__what_size_and_time_hide_is_found_by_verifying(cache: Path, folder: Path, backbone: Backbone) -> None:
    load(cache, backbone, trained_on(backbone, folder))
    swap_unseen(Path(dataset(backbone, folder).path(3)))
    digests(dataset(backbone, folder).paths, cache / module.LEDGER, again=True)
    loaded = load(cache, backbone, trained_on(backbone, folder))
    assert loaded.computed == 2
    expected = plain_features(backbone, dataset(backbone, folder))
    assert difference(all_features(loaded.views["train"])[0], expected) < 1e-5


def test_load__never_gives_a_row_to_content_that_it_was_not_computed_from(
    cache: Path, folder: Path, backbone: Backbone
) -> None:
    load(cache, backbone, trained_on(backbone, folder))
    swap_unseen(Path(dataset(backbone, folder).path(3)))
    larger = small(image_size=48)
    first = load(cache, larger, {"train": dataset(larger, folder)})
    assert [picture.path for picture in first.unreadable] == [dataset(backbone, folder).path(3)]
    again = load(cache, larger, {"train": dataset(larger, folder)})  # as the message says
    assert (again.computed, again.unreadable) == (1, [])
    assert difference(all_features(again.views["train"])[0], plain_features(larger, dataset(larger, folder))) < 1e-5


def test_load__reads_from_the_disk_what_is_taken(cache: Path, shared_folder: Path, backbone: Backbone) -> None:
    views = load(cache, backbone, trained_on(backbone, shared_folder)).views["train"]
    assert all(isinstance(array, np.memmap) for array in views._arrays)


def test_views__of_another_order_of_settings_are_the_same() -> None:
    assert describe_view(CROPS, 0, 0) == describe_view(None, 7, 0) == describe_view(None, 0, 3)
