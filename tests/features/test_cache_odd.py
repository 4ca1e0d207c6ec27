"""The cache with odd pictures, odd numbers and odd places."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed.errors import ConfigError, OutputError
from dogbreed.features import cache as module
from dogbreed.features.engines import Forward, TorchEngine
from dogbreed.features.pictures import digests
from dogbreed.models.backbones import Backbone
from tests.features.parts import all_features, dataset, difference, load, of_paths, plain_features, swap_unseen


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


def test_load__says_how_fast_it_was(shared_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    fresh = load(tmp_path / "new", backbone, {"train": dataset(backbone, shared_folder)})
    assert fresh.pictures_per_s == pytest.approx(32 / fresh.seconds)
    warm = load(tmp_path / "new", backbone, {"train": dataset(backbone, shared_folder)})
    assert warm.pictures_per_s == fresh.pictures_per_s


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
            load(tiny_disk / "cache", backbone, {"train": dataset(backbone, shared_folder, views=2)})
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
