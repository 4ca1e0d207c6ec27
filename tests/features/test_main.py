"""`python -m dogbreed.features` on a real cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.features import store
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
    assert "test_resnet" in capsys.readouterr().out
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
    assert main([*root, "prune", "--all"]) == 0
    assert not list(tmp_path.glob("*/features.bin"))
