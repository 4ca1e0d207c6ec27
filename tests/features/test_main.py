"""`python -m dogbreed.features` on a real cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.features import cache, store
from dogbreed.features.__main__ import main
from dogbreed.features.cache import FeatureCache
from dogbreed.features.engines import TorchEngine
from dogbreed.models.backbones import Backbone


def test_features__lists_verifies_and_prunes(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path)]
    assert main([*root, "list"]) == 0
    assert "no features in" in capsys.readouterr().out

    pictures = BreedDataModule(shared_folder, backbone.transform, batch_size=4).pictures("val")
    FeatureCache(tmp_path).load(backbone, TorchEngine(backbone), {"val": pictures}, workers=0)
    assert main([*root, "list"]) == 0
    said = capsys.readouterr().out
    assert "test_resnet" in said
    assert f"python -m dogbreed.features --root {tmp_path} verify" in said, "what follows is about the same cache"
    assert main([*root, "verify"]) == 0
    assert "0 of 16 pictures" in capsys.readouterr().out

    (data,) = tmp_path.glob("*/features.bin")
    content = bytearray(data.read_bytes())
    content[7] ^= 1
    data.write_bytes(content)
    store._verified.clear()
    assert main([*root, "verify"]) == 1
    assert "1 of 1 chunks are damaged" in capsys.readouterr().out
    assert main([*root, "verify"]) == 0, "what was damaged is forgotten"

    assert main([*root, "prune"]) == 1
    assert "nothing to prune" in capsys.readouterr().err
    assert main([*root, "prune", "--unused-days", "1"]) == 0
    assert "removed 0.0 MB; what is left: " in capsys.readouterr().out
    assert main([*root, "prune", "--all"]) == 0
    assert not list(tmp_path.glob("*/features.bin"))


def test_features__damaged_description_is_seen_and_the_next_run_writes_it_anew(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path)]
    pictures = BreedDataModule(shared_folder, backbone.transform, batch_size=4).pictures("val")
    kept = FeatureCache(tmp_path)
    kept.load(backbone, TorchEngine(backbone), {"val": pictures}, workers=0)
    (about,) = tmp_path.glob("*/about.json")
    whole = about.read_bytes()
    about.write_bytes(whole[:10])
    assert main([*root, "list"]) == 0
    assert "about.json is damaged" in capsys.readouterr().out
    assert main([*root, "verify"]) == 1
    assert f"{about.parent.name}: about.json is damaged" in capsys.readouterr().out

    assert kept.load(backbone, TorchEngine(backbone), {"val": pictures}, workers=0).computed == 0
    assert about.read_bytes() == whole
    about.unlink()
    assert main([*root, "prune", "--all"]) == 0
    assert not about.parent.exists()


def test_features__speed_is_not_that_of_a_pass_over_a_few(
    tmp_path: Path, shared_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = BreedDataModule(shared_folder, backbone.transform, batch_size=4)
    loading = partial(FeatureCache(tmp_path).load, backbone, TorchEngine(backbone), workers=0)
    first = loading({"val": pictures.pictures("val")})
    assert first.pictures_per_s == pytest.approx(first.computed / first.seconds)
    more = loading({"test": pictures.pictures("test")})
    assert more.computed
    assert more.pictures_per_s == first.pictures_per_s
    monkeypatch.setattr(cache, "CHUNK_ROWS", 2)
    many = loading({"train": pictures.pictures("train")})
    assert many.pictures_per_s == pytest.approx(many.computed / many.seconds)
