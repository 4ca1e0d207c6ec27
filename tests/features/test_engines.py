"""What an engine may be asked for, and that it computes what the backbone does."""

from __future__ import annotations

import pytest
import torch

from dogbreed.errors import ConfigError
from dogbreed.features import engines
from dogbreed.features.engines import TorchEngine, make_engine
from dogbreed.models.backbones import Backbone
from tests.features.parts import difference


def pictures(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("count", [1, 5, 16, 17])
def test_torch_engine__computes_what_the_backbone_does(backbone: Backbone, count: int) -> None:
    features = TorchEngine(backbone).load()(pictures(count))
    assert features.dtype == torch.float32
    assert difference(features, backbone(pictures(count))) < 1e-5


def test_torch_engine__leaves_the_backbone_alone(backbone: Backbone) -> None:
    before = backbone.fingerprint()
    TorchEngine(backbone).load()(pictures(2))
    assert backbone.fingerprint() == before


def test_torch_engine__loaded_twice_gives_the_same_bits(backbone: Backbone) -> None:
    engine = TorchEngine(backbone)
    assert torch.equal(engine.load()(pictures(9)), engine.load()(pictures(9)))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"name": "onnx"}, "features.engine"),
        ({"precision": "fp8"}, "features.precision"),
        ({"precision": "int8"}, "features.engine=openvino"),
        ({"name": "openvino", "precision": "mixed"}, "features.precision"),
    ],
    ids=str,
)
def test_make_engine__what_there_is_not(backbone: Backbone, settings: dict[str, str], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_engine(backbone, **settings)
    assert hint in caught.value.hint


def test_make_engine__mixed_is_never_emulated(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_cpu_flags", lambda: {"avx2", "avx512f", "avx512_vnni"})
    with pytest.raises(ConfigError, match="without half precision") as caught:
        make_engine(backbone, precision="mixed")
    assert "features.precision=fp32" in caught.value.hint


@pytest.mark.parametrize("flag", ["amx_bf16", "avx512_bf16"])
def test_make_engine__mixed_where_the_cpu_has_it(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setattr(engines, "_cpu_flags", lambda: {"avx2", flag})
    engine = make_engine(backbone, precision="mixed")
    assert engine.identity != make_engine(backbone).identity
    features = engine.load()(pictures(4))
    assert features.dtype == torch.float32
    assert difference(features, backbone(pictures(4))) < 0.05
