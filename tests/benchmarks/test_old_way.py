"""The old way: what it trains on, and that it does what such notebooks do."""

from __future__ import annotations

import statistics
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from benchmarks.old_way import OldWay, draw_picture, draw_pictures
from dogbreed.data.transforms import TransformSpec

SPEC = TransformSpec(size=32, resize=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.25,) * 3)


def test_draw_pictures__are_as_heavy_as_photographs(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path, 4)
    with Image.open(paths[0]) as picture:
        assert picture.size == (603, 513)
    assert 70e3 < statistics.mean(path.stat().st_size for path in paths) < 130e3


def test_draw_pictures__are_the_same_again_and_all_different(tmp_path: Path) -> None:
    one = [path.read_bytes() for path in draw_pictures(tmp_path / "one", 3, (40, 30))]
    two = [path.read_bytes() for path in draw_pictures(tmp_path / "two", 3, (40, 30))]
    assert one == two
    assert len(set(one)) == 3
    assert draw_picture(0, (40, 30)).tobytes() != draw_picture(3, (40, 30)).tobytes()


def test_draw_pictures__keeps_what_is_there(tmp_path: Path) -> None:
    (path,) = draw_pictures(tmp_path, 1, (40, 30))
    before = path.stat().st_mtime_ns
    draw_pictures(tmp_path, 2, (40, 30))
    assert path.stat().st_mtime_ns == before


def test_old_way__learns_in_the_last_layer_alone_and_moves_batchnorm(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 8, (40, 30))
    torch.manual_seed(0)
    old = OldWay("resnet18", tmp_path, SPEC, batch_size=4)
    before = {name: entry.clone() for name, entry in old.model.state_dict().items()}
    assert list(islice(old.steps(train=True), 3)) == [4, 4, 4]
    changed = {name for name, entry in old.model.state_dict().items() if not torch.equal(entry, before[name])}
    assert {"fc.weight", "fc.bias"} < changed
    assert all(name.startswith("fc.") or "running" in name or "num_batches" in name for name in changed)


def test_old_way__measures_without_learning(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 8, (40, 30))
    old = OldWay("resnet18", tmp_path, SPEC, batch_size=4)
    before = {name: entry.clone() for name, entry in old.model.state_dict().items()}
    next(old.steps(train=False))
    assert all(torch.equal(entry, before[name]) for name, entry in old.model.state_dict().items())
