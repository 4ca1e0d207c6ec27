"""The OpenVINO engine against torch, and whether int8 is let through."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dogbreed.errors import ConfigError
from dogbreed.features import openvino
from dogbreed.features.conversion import in_a_fork
from dogbreed.features.engines import TorchEngine, make_engine
from dogbreed.features.openvino import OpenVINOEngine
from dogbreed.features.precision import check_setting
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone, make_backbone


def untrained(name: str) -> Backbone:
    torch.manual_seed(0)
    return make_backbone("torchvision", name, weights="none", image_size=64)


def pictures(number: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (number, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    return untrained("resnet18")


@pytest.fixture(scope="module")
def fp32(resnet: Backbone) -> OpenVINOEngine:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    return OpenVINOEngine(resnet)


def test_openvino__gives_torchs_features(resnet: Backbone, fp32: OpenVINOEngine) -> None:
    images = pictures(5)
    features = fp32.load()(images)
    assert features.dtype == torch.float32
    assert error(features, resnet(images)) < 1e-4
    assert error(features, TorchEngine(resnet).load()(images)) < 1e-4


@pytest.mark.slow
def test_openvino__gives_torchs_features_of_mobilenet() -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    backbone = untrained("mobilenet_v2")
    images = pictures(5)
    assert error(OpenVINOEngine(backbone).load()(images), backbone(images)) < 1e-4


@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_openvino__reads_batches_of_any_size(fp32: OpenVINOEngine, size: int) -> None:
    images, forward = pictures(12), fp32.load()
    whole = forward(images)
    parts = torch.cat([forward(part) for part in images.split(size)])
    assert error(parts, whole) < 1e-5


def test_openvino__has_no_features_of_no_pictures(fp32: OpenVINOEngine) -> None:
    assert fp32.load()(pictures(0)).shape == (0, 512)


def test_openvino__leaves_earlier_features_alone(fp32: OpenVINOEngine) -> None:
    forward = fp32.load()
    first = forward(pictures(3))
    kept = first.clone()
    forward(pictures(3, seed=1))
    assert torch.equal(first, kept)


def _load_and_send(engine: OpenVINOEngine, images: Tensor, pipe: multiprocessing.connection.Connection) -> None:
    torch.set_num_threads(1)
    pipe.send(engine.load()(images).numpy())


@pytest.mark.slow
def test_openvino__converts_once_for_forked_daemons(resnet: Backbone) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    engine, images, context = OpenVINOEngine(resnet), pictures(4), multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [context.Process(target=_load_and_send, args=(engine, images, w), daemon=True) for _, w in pipes]
    for process in processes:
        process.start()
    received = [torch.from_numpy(r.recv()) for r, _ in pipes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert torch.equal(*received)
    written = (engine._folder / "model.xml").stat().st_mtime_ns
    assert torch.equal(engine.load()(images), received[0])
    assert (engine._folder / "model.xml").stat().st_mtime_ns == written


def test_openvino__leaves_no_folder(resnet: Backbone) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    engine = OpenVINOEngine(resnet)
    folder = engine._folder
    assert folder.is_dir()
    del engine
    gc.collect()
    assert not folder.exists()


LOADED_AND_GONE = """
import signal, time, torch
from dogbreed.features.openvino import OpenVINOEngine
from dogbreed.models.backbones import make_backbone

heard = []
signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
backbone = make_backbone("torchvision", "resnet18", weights="none", image_size=32)
engine = OpenVINOEngine(backbone)
first = engine.load()
second = engine.load()
del first
del second
signal.setitimer(signal.ITIMER_REAL, 0.1)
time.sleep(0.5)
print("heard", len(heard))
"""


@pytest.mark.slow
def test_openvino__leaves_signals_working_when_it_goes() -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    done = subprocess.run([sys.executable, "-c", LOADED_AND_GONE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard 1\n"), done.stderr


def test_openvino__names_the_extra_where_it_is_missing(resnet: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "_PACKAGE", "no-such-package")
    with pytest.raises(ConfigError, match=r"dogbreed\[openvino\]"):
        make_engine(resnet, "openvino")


def test_openvino__needs_examples_for_int8(resnet: Backbone) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    with pytest.raises(ConfigError, match="calibrate"):
        OpenVINOEngine(resnet, precision="int8")


def test_openvino__says_why_it_cannot_convert(resnet: Backbone, tmp_path: Path) -> None:
    def convert() -> None:
        raise RuntimeError("no operation of that name")

    with pytest.raises(ConfigError, match="no operation of that name"):
        in_a_fork(convert, tmp_path / "log", "another engine")


@pytest.mark.slow
def test_openvino__int8_stays_near_fp32(resnet: Backbone, fp32: OpenVINOEngine) -> None:
    pytest.importorskip("nncf", reason="the extra openvino is not installed")
    engine = OpenVINOEngine(resnet, precision="int8", examples=[pictures(10, seed=1), pictures(10, seed=2)])
    images = pictures(16)
    got, expected = engine.load()(images), fp32.load()(images)
    assert 1e-4 < error(got, expected) < 0.1  # quantised, and not broken


def test_openvino__identity_tells_calibrations_apart(resnet: Backbone, fp32: OpenVINOEngine) -> None:
    pytest.importorskip("nncf", reason="the extra openvino is not installed")
    one, two = (OpenVINOEngine(resnet, precision="int8", examples=[pictures(2, seed=s)]).identity for s in (1, 2))
    assert one != two
    assert one["precision"] != fp32.identity["precision"]


def _split(seed: int, noise: float, number: int = 400) -> FeatureViews:
    """Ten classes that a linear probe tells apart, blurred."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(number) % 10
    centres = torch.randn(10, 32, generator=torch.Generator().manual_seed(9))
    clean = centres[targets] + 0.8 * torch.randn(number, 32, generator=generator)
    return FeatureViews.of((clean + noise * torch.randn(number, 32, generator=generator))[None], targets)


def test_check_setting__lets_equal_features_through() -> None:
    train, val = _split(0, 0.0), _split(1, 0.0)
    compared = check_setting("features.precision=int8", (train, train), (val, val), 10)
    assert compared.without == compared.with_it


def test_check_setting__refuses_with_both_numbers() -> None:
    train, val = (_split(0, 0.0), _split(0, 2.0)), (_split(1, 0.0), _split(1, 2.0))
    with pytest.raises(ConfigError, match=r"int8.* \d+\.\d\d% of val.* \d+\.\d\d% without") as refusal:
        check_setting("features.precision=int8", train, val, 10)
    assert "0.5 points" in refusal.value.allowed
