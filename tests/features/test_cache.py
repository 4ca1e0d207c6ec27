"""What must be computed is computed, what is there is read, and nothing stale ever."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dogbreed.data.transforms import CropFlip, TrivialAugment
from dogbreed.errors import ConfigError, OutputError
from dogbreed.features import cache as module
from dogbreed.features.engines import Forward, TorchEngine
from dogbreed.features.pictures import digests
from dogbreed.models.backbones import Backbone, make_backbone
from tests.features.parts import CROPS, all_features, dataset, difference, load, of_paths, plain_features


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


def swap_unseen(path: Path) -> None:
    """Change the content, and neither size nor time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


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


def test_load__equal_pictures_are_computed_once_wherever_they_stand(
    tmp_path: Path, shared_folder: Path, backbone: Backbone
) -> None:
    source = dataset(backbone, shared_folder).paths
    copies = [shutil.copy(source[0], tmp_path / "copy.jpg"), *source[:3], source[0]]
    (tmp_path / "link.jpg").symlink_to(source[1])
    datasets = {"train": of_paths(backbone, copies, 2), "val": of_paths(backbone, [tmp_path / "link.jpg", source[2]])}
    loaded = load(tmp_path / "cache", backbone, datasets)
    assert loaded.computed == 3 * 2
    found = all_features(loaded.views["train"])
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 4])
    assert torch.equal(all_features(loaded.views["val"])[0], found[0, 2:4])


@pytest.mark.parametrize("workers", [0, 2])
def test_load__pictures_that_cannot_be_read_are_each_told_of(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, workers: int
) -> None:
    good = dataset(backbone, shared_folder).paths[:20]
    bad = [tmp_path / f"bad{number}.jpg" for number in range(5)]
    for path in bad[:3]:
        path.write_bytes(b"all three the same")
    bad[3].symlink_to(tmp_path / "nowhere")  # and 4 is missing
    told: list[str] = []
    pictures = of_paths(backbone, [*good[:10], *bad, *good[10:]], 2)
    for computed in (40, 0):
        loaded = load(
            tmp_path / "cache",
            backbone,
            {"train": pictures, "val": of_paths(backbone, [bad[0], good[0]])},
            workers=workers,
            batch_size=4,
            on_unreadable=lambda picture: told.append(picture.path),
        )
        assert loaded.computed == computed
        assert sorted(told) == sorted(map(str, bad))
        told.clear()
        assert loaded.views["train"].readable.tolist() == [True] * 10 + [False] * 5 + [True] * 10
        assert loaded.views["val"].readable.tolist() == [False, True]
        expected = plain_features(backbone, of_paths(backbone, good))
        assert difference(all_features(loaded.views["train"])[0], expected) < 1e-5


def test_load__a_copy_speaks_for_one_that_changes_meanwhile(
    tmp_path: Path, shared_folder: Path, backbone: Backbone
) -> None:
    source = dataset(backbone, shared_folder).paths
    one, two = (Path(shutil.copy(source[0], tmp_path / name)) for name in ("one.jpg", "two.jpg"))
    digests([str(one), str(two)], tmp_path / "cache" / module.LEDGER)
    swap_unseen(one)
    loaded = load(tmp_path / "cache", backbone, {"train": of_paths(backbone, [one, two])})
    assert [picture.path for picture in loaded.unreadable] == [str(one)]
    assert loaded.computed == 1


@pytest.mark.parametrize("count", [0, 1])
def test_load__few_pictures(tmp_path: Path, shared_folder: Path, backbone: Backbone, count: int) -> None:
    paths = dataset(backbone, shared_folder).paths[:count]
    loaded = load(tmp_path / "cache", backbone, {"train": of_paths(backbone, paths, 3), "val": of_paths(backbone, [])})
    assert loaded.computed == 3 * count
    assert loaded.views["train"].shape == (3, count, backbone.num_features)
    assert len(loaded.views["val"]) == 0


def test_load__half_precision_is_that_of_the_rounded_features(
    tmp_path: Path, shared_folder: Path, backbone: Backbone
) -> None:
    datasets = {"train": dataset(backbone, shared_folder)}
    whole = all_features(load(tmp_path, backbone, datasets).views["train"])
    half = all_features(load(tmp_path, backbone, datasets, dtype="float16").views["train"])
    assert torch.equal(half, whole.half().float())


class Scaled(TorchEngine):
    """Features that are too large for half precision, or none at all."""

    factor = 1e9

    def load(self) -> Forward:
        forward = super().load()
        return lambda images: forward(images) * self.factor


@pytest.mark.parametrize(("factor", "dtype"), [(1e9, "float16"), (float("nan"), "float32")])
def test_load__numbers_that_do_not_fit_are_refused_and_not_kept(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, factor: float, dtype: str
) -> None:
    engine = Scaled(backbone)
    engine.factor = factor
    datasets = {"train": dataset(backbone, shared_folder)}
    with pytest.raises(ConfigError, match="no finite numbers"):
        load(tmp_path, backbone, datasets, engine=engine, dtype=dtype)
    assert load(tmp_path, backbone, datasets, dtype=dtype).computed == 32


@pytest.mark.parametrize("setting", [{"dtype": "float64"}, {"batch_size": 0}, {"batch_size": -1}], ids=str)
def test_load__settings_that_cannot_be(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, setting: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="features"):
        load(tmp_path, backbone, {"train": dataset(backbone, shared_folder)}, **setting)


def test_load__says_how_fast_it_was(cache: Path, shared_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    fresh = load(tmp_path / "new", backbone, {"train": dataset(backbone, shared_folder)})
    assert fresh.pictures_per_s == pytest.approx(32 / fresh.seconds)
    warm = load(tmp_path / "new", backbone, {"train": dataset(backbone, shared_folder)})
    assert warm.pictures_per_s == fresh.pictures_per_s


def test_load__reads_from_the_disk_what_is_taken(cache: Path, shared_folder: Path, backbone: Backbone) -> None:
    views = load(cache, backbone, trained_on(backbone, shared_folder)).views["train"]
    assert all(isinstance(array, np.memmap) for array in views._arrays)


# The place


def test_cache__root_in_the_home_folder(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    load(Path("~/kept"), backbone, {"val": dataset(backbone, shared_folder, "val")})
    assert (tmp_path / "kept" / module.LEDGER).exists()


@pytest.mark.parametrize("below", ["", "below"])
def test_cache__root_that_is_a_file(tmp_path: Path, shared_folder: Path, backbone: Backbone, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        load(tmp_path / "file" / below, backbone, {"val": dataset(backbone, shared_folder, "val")})


def test_cache__full_disk_is_one_clear_error_and_goes_on_when_there_is_room(
    tiny_disk: Path, shared_folder: Path, backbone: Backbone
) -> None:
    datasets = {"train": dataset(backbone, shared_folder)}
    for kilobytes in (60, 52, 44, 36, 28):  # less and less of the disk is filled
        (tiny_disk / "filler").write_bytes(bytes(kilobytes * 1024))
        with pytest.raises(OutputError):
            load(tiny_disk / "cache", backbone, trained_on(backbone, shared_folder))
        assert not [path for path in tiny_disk.rglob(".*") if path.is_file()], "rubbish"
        (tiny_disk / "filler").write_bytes(b"")
    loaded = load(tiny_disk / "cache", backbone, datasets)
    assert loaded.computed == 32
    expected = plain_features(backbone, datasets["train"])
    assert difference(all_features(loaded.views["train"])[0], expected) < 1e-5


def test_cache__that_may_only_be_read_is_read(tiny_disk: Path, shared_folder: Path, backbone: Backbone) -> None:
    (tiny_disk / "filler").unlink()
    datasets = {"val": dataset(backbone, shared_folder, "val")}
    before = load(tiny_disk / "cache", backbone, datasets)
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    loaded = load(tiny_disk / "cache", backbone, datasets)
    assert loaded.computed == 0
    assert torch.equal(all_features(loaded.views["val"]), all_features(before.views["val"]))
    with pytest.raises(OutputError, match="cannot be written"):
        load(tiny_disk / "cache", backbone, {"train": dataset(backbone, shared_folder)})


def test_views__of_another_order_of_settings_are_the_same() -> None:
    assert module.describe_view(CROPS, 0, 0) == module.describe_view(None, 7, 0) == module.describe_view(None, 0, 3)
