"""One flipped byte anywhere in a cache is never read: what it hit is computed again, to the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from dogbreed.features import cache
from dogbreed.models.backbones import Backbone
from tests.features.parts import all_features, dataset, load

BATCH = 8
FILES = ["features.bin", "index.jsonl", "about.json", "speed.json", "lock", cache.LEDGER]


@pytest.fixture(scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "CHUNK_ROWS", BATCH)
        yield


@pytest.fixture(scope="module")
def undisturbed(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory, small_chunks: None):
    from dogbreed.models.backbones import make_backbone

    backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=32)
    root = tmp_path_factory.mktemp("undisturbed")
    loaded = load(root, backbone, {"train": dataset(backbone, shared_folder)}, batch_size=BATCH)
    return backbone, root, all_features(loaded.views["train"])


def again(undisturbed, shared_folder: Path, root: Path) -> int:
    """How many rows a pass computes; all of them equal the undisturbed ones."""
    backbone, _, expected = undisturbed
    loaded = load(root, backbone, {"train": dataset(backbone, shared_folder)}, batch_size=BATCH)
    assert loaded.unreadable == []
    assert torch.equal(all_features(loaded.views["train"]), expected)
    return loaded.computed


@pytest.mark.parametrize("name", ["features.bin", "index.jsonl", cache.LEDGER])
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(place=some.floats(0, 1, exclude_max=True), change=some.integers(1, 255))
def test_cache__a_flipped_byte_costs_its_chunk_at_most(
    undisturbed: tuple[Backbone, Path, torch.Tensor],
    shared_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    place: float,
    change: int,
) -> None:
    root = Path(shutil.copytree(undisturbed[1], tmp_path_factory.mktemp("flipped") / "cache"))
    (file,) = root.rglob(name)
    content = bytearray(file.read_bytes())
    if content:
        content[int(place * len(content))] ^= change
        file.write_bytes(content)
    computed = again(undisturbed, shared_folder, root)
    if name == "features.bin":
        assert computed == BATCH
    else:
        assert computed in ((BATCH, 2 * BATCH) if name == "index.jsonl" else (0,))  # a broken end joins two lines
    assert again(undisturbed, shared_folder, root) == 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["gone", "empty", "half", "longer"])
def test_cache__a_file_that_is_not_whole(undisturbed, shared_folder: Path, tmp_path: Path, name: str, fault: str):
    root = Path(shutil.copytree(undisturbed[1], tmp_path / "cache"))
    (file,) = root.rglob(name)
    content = file.read_bytes()
    if fault == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "half": content[: len(content) // 2], "longer": content + b"\0\n"}[fault])
    again(undisturbed, shared_folder, root)
    assert again(undisturbed, shared_folder, root) == 0
