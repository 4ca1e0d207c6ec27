"""The decoder that runs beside the backbone, here on the CPU: the code of a GPU, the bits of the other way."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dogbreed.data.dataset import PictureDataset, Unreadable
from dogbreed.data.images import decode_image, is_plain_jpeg, picture_digest
from dogbreed.errors import ConfigError
from dogbreed.features.engines import TorchEngine, make_engine
from dogbreed.features.extract import extract
from dogbreed.features.jpegs import JpegDecoder
from dogbreed.features.keys import recipe_of
from dogbreed.features.reading import Pictures, ReadFiles
from dogbreed.models.backbones import Backbone
from tests.features.parts import dataset, load, of_paths


@pytest.fixture(scope="module")
def decoder() -> JpegDecoder:
    return JpegDecoder("cpu")


@pytest.fixture
def mixed(shared_folder: Path, tmp_path: Path) -> list[Path]:
    """JPEGs among files that a GPU does not decode, and files that nothing decodes."""
    folder = shutil.copytree(shared_folder, tmp_path / "mixed")
    paths = sorted((folder / "train").rglob("*.jpg"))[:14]
    with Image.open(paths[1]) as image:
        image.load()
        image.save(paths[1].with_suffix(".png"))
        paths[1] = paths[1].with_suffix(".png")
        turned = Image.Exif()
        turned[0x0112] = 6
        image.save(paths[2], "JPEG", exif=turned.tobytes())
        image.convert("CMYK").save(paths[3], "JPEG")
        image.convert("L").save(paths[4], "JPEG")
    content = paths[5].read_bytes()
    paths[5].write_bytes(content[: len(content) // 2])
    paths[6].write_bytes(content[: len(content) // 2] + b"\xff\xd9")  # Pillow reads it, its second half grey
    paths[7].write_bytes(b"no picture")
    paths[8].unlink()
    return paths


def passed(
    engine: TorchEngine, pictures: PictureDataset, views: int = 1, **settings: int
) -> tuple[dict[int, Tensor], list[Unreadable]]:
    """The features of each task, and what could not be decoded."""
    digests = [picture_digest(Path(path).read_bytes()) if Path(path).exists() else "" for path in pictures.paths]
    tasks = np.array([(0, index, view) for index in range(len(pictures)) for view in range(views)], np.int64)
    found: dict[int, Tensor] = {}
    unreadable = []
    for part in extract([pictures], [digests], tasks, engine, **settings):
        found |= dict(zip(part.done.tolist(), part.features, strict=True))
        unreadable += part.unreadable
    return found, unreadable


@pytest.mark.parametrize("workers", [0, 2])
def test_pass__decoded_beside_the_backbone_gives_the_same_bits(
    backbone: Backbone, decoder: JpegDecoder, shared_folder: Path, workers: int
) -> None:
    pictures = dataset(backbone, shared_folder, views=3)
    expected, _ = passed(TorchEngine(backbone), pictures, 3, batch_size=10, workers=0)
    found, unreadable = passed(TorchEngine(backbone, decoder=decoder), pictures, 3, batch_size=10, workers=workers)
    assert list(found) == list(expected) == list(range(96))
    assert all(torch.equal(found[task], expected[task]) for task in expected)
    assert not unreadable


@pytest.mark.parametrize("workers", [0, 2])
def test_pass__leaves_to_the_cpu_what_is_no_plain_jpeg(
    backbone: Backbone, decoder: JpegDecoder, mixed: list[Path], workers: int
) -> None:
    pictures = of_paths(backbone, mixed, views=2)
    expected, refused = passed(TorchEngine(backbone), pictures, 2, batch_size=5, workers=0)
    found, unreadable = passed(TorchEngine(backbone, decoder=decoder), pictures, 2, batch_size=5, workers=workers)
    assert len(expected) == 2 * (len(mixed) - 3)
    assert set(found) == set(expected)
    for task, features in expected.items():
        assert torch.allclose(found[task], features, rtol=1e-5, atol=1e-5 * float(features.abs().max()))
    assert sorted(unreadable) == sorted(refused)
    assert len(unreadable) == 2 * 3


def test_workers__hand_over_plain_jpegs_once_for_all_views(
    backbone: Backbone, mixed: list[Path], decoder: JpegDecoder
) -> None:
    pictures = of_paths(backbone, mixed, views=2)
    digests = [picture_digest(path.read_bytes()) if path.exists() else "" for path in mixed]
    tasks = np.array([(0, index, view) for index in range(14) for view in range(2)], np.int64)
    read = ReadFiles(Pictures([pictures], [digests], tasks)).__getitems__(range(28))
    waiting = [0, 6, 9, 10, 11, 12, 13]
    assert [(task // 2, place) for task, place in read.waiting.tolist()] == [
        (index, place) for place, index in enumerate(waiting) for _ in range(2)
    ]
    assert [bytes(file.numpy()) for file in read.files] == [mixed[index].read_bytes() for index in waiting]
    assert read.views.done.tolist() == [task for index in (1, 2, 3, 4) for task in (2 * index, 2 * index + 1)]


def test_decoder__gives_the_pixels_of_decode_image(decoder: JpegDecoder, shared_folder: Path) -> None:
    contents = [path.read_bytes() for path in sorted(shared_folder.rglob("*.jpg"))]
    assert all(map(is_plain_jpeg, contents))
    files = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    for image, content in zip(decoder._decoded(files), contents, strict=True):
        assert image is not None
        assert torch.equal(image, decode_image(content))


@pytest.mark.parametrize("wrong", [b"", b"text", b"\xff\xd8\xff\xd9"])
def test_is_plain_jpeg__of_what_is_none(wrong: bytes) -> None:
    assert not is_plain_jpeg(wrong)


def test_is_plain_jpeg__not_of_one_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG")
    assert is_plain_jpeg(file.getvalue())
    monkeypatch.setattr("dogbreed.data.images.MAX_PIXELS", 1199)
    assert not is_plain_jpeg(file.getvalue())


def test_cache__keeps_what_another_decoder_gave_apart(
    backbone: Backbone, decoder: JpegDecoder, shared_folder: Path, tmp_path: Path
) -> None:
    plain, beside = TorchEngine(backbone), TorchEngine(backbone, decoder=decoder)
    assert recipe_of(backbone, plain, "float32") != recipe_of(backbone, beside, "float32")
    pictures = {"train": dataset(backbone, shared_folder)}
    assert [load(tmp_path, backbone, pictures, engine=engine).computed for engine in (plain, beside, beside)] == [
        32,
        32,
        0,
    ]


def test_decoder__without_torchcodec_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(ConfigError, match=r"dogbreed\[gpu\]"):
        JpegDecoder("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_decoder__without_a_gpu_is_refused_before_the_pass() -> None:
    with pytest.raises(ConfigError, match=r"(?s)features\.decoder=gpu.*features\.decoder=cpu"):
        JpegDecoder("cuda")


@pytest.mark.parametrize("settings", [{"decoder": "gpu"}, {"decoder": "gpu", "name": "openvino", "device": "cuda"}])
def test_make_engine__decodes_on_a_gpu_only_beside_the_backbone(backbone: Backbone, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="features computed on the CPU"):
        make_engine(backbone, **settings)


def test_make_engine__suggests_a_decoder(backbone: Backbone) -> None:
    with pytest.raises(ConfigError, match=r"features\.decoder='nvjpeg'"):
        make_engine(backbone, decoder="nvjpeg")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: nvJPEG's pixels cannot be looked at")
def test_pass__on_a_gpu_is_close_to_the_cpus(backbone: Backbone, shared_folder: Path) -> None:
    pictures = dataset(backbone, shared_folder)
    expected, _ = passed(TorchEngine(backbone, device="cuda"), pictures)
    found, _ = passed(make_engine(backbone, device="cuda", decoder="gpu"), pictures)  # type: ignore[arg-type]
    for task, features in expected.items():
        assert (found[task] - features).norm() < 0.05 * features.norm()
