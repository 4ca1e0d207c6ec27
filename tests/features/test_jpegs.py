"""The decoder that runs beside the backbone, here on the CPU: the code of a GPU, the bits of the other way."""

from __future__ import annotations

import io
import shutil
import sys
import threading
from functools import partial
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
    for image, content in zip(decoder._images(files), contents, strict=True):
        assert isinstance(image, Tensor)
        assert torch.equal(image, decode_image(content))


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def with_orientation(kind: int, count: int, value: bytes) -> bytes:
    """A JPEG whose EXIF holds an orientation of that type (Exif 2.3, section 4.6.2)."""
    entry = b"\x12\x01" + kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value.ljust(4, b"\0")
    return jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0")


# BYTE, ASCII, SHORT, LONG, UNDEFINED, SSHORT, and a type that does not exist
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 7, 8, 99])
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("value", [1, 6])
@pytest.mark.filterwarnings("ignore:Metadata Warning")
def test_decoder__turns_no_picture_that_is_handed_over(decoder: JpegDecoder, kind: int, count: int, value: int) -> None:
    content = with_orientation(kind, count, value.to_bytes(1, "little"))
    if is_plain_jpeg(content):
        (image,) = decoder._images([torch.frombuffer(bytearray(content), dtype=torch.uint8)])
        assert isinstance(image, Tensor)
        assert torch.equal(image, decode_image(content))
    numbers = {(3, 1), (3, 2), (4, 1), (8, 1), (8, 2)}  # of two LONGs the EXIF holds only where they should be
    assert is_plain_jpeg(content) == ((kind, count) in numbers and value == 1)


def test_is_plain_jpeg__not_of_what_decoders_read_in_two_ways() -> None:
    camera = Image.Exif()
    camera[0x010F] = "a camera"
    assert is_plain_jpeg(jpeg())
    assert not is_plain_jpeg(jpeg(keep_rgb=True))
    assert not is_plain_jpeg(jpeg(exif=camera.tobytes())), "nothing says that it is upright"
    assert not is_plain_jpeg(jpeg()[:-1])
    assert not is_plain_jpeg(jpeg(), most_pixels=40 * 60 - 1)


def refuse(files: list[Tensor], device: str) -> list[Tensor]:
    """As TorchCodec does a batch that holds a file with a word in it."""
    if any(b"unusual" in bytes(file.numpy()) for file in files):
        raise RuntimeError("decode, /source/of/TorchCodec.cpp:7, an unusual file")
    return [decode_image(bytes(file.numpy())) for file in files]


@pytest.fixture
def picky() -> JpegDecoder:
    decoder = JpegDecoder("cpu")
    decoder._decode = partial(refuse, device="cpu")  # type: ignore[assignment]
    return decoder


@pytest.mark.parametrize("workers", [0, 1])
def test_pass__ends_at_a_file_that_only_the_cpu_decodes(
    backbone: Backbone, picky: JpegDecoder, tmp_path: Path, workers: int
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(comment="unusual" if number == 1 else "usual"))
    pictures = of_paths(backbone, sorted(tmp_path.iterdir()))
    with pytest.raises(ConfigError, match=r"1\.jpg, which the CPU decodes: an unusual file"):
        passed(TorchEngine(backbone, decoder=picky), pictures, batch_size=2, workers=workers)


def test_pass__says_what_the_cpu_says_of_a_file_that_nothing_decodes(
    backbone: Backbone, picky: JpegDecoder, tmp_path: Path
) -> None:
    for number in range(3):
        content = jpeg(comment="unusual" if number == 1 else "usual")
        untabled = content.replace(b"\xff\xdb", b"\xff\xfe")  # its quantisation tables are comments now
        (tmp_path / f"{number}.jpg").write_bytes(untabled if number == 1 else content)
    pictures = of_paths(backbone, sorted(tmp_path.iterdir()))
    assert is_plain_jpeg((tmp_path / "1.jpg").read_bytes())
    _, expected = passed(TorchEngine(backbone), pictures, workers=0)
    found, unreadable = passed(TorchEngine(backbone, decoder=picky), pictures, workers=0)
    assert list(found) == [0, 2]
    assert unreadable == expected
    assert len(unreadable) == 1


def test_pass__that_is_left_early_ends_its_thread(
    backbone: Backbone, decoder: JpegDecoder, shared_folder: Path
) -> None:
    pictures = dataset(backbone, shared_folder)
    digests = [picture_digest(Path(path).read_bytes()) for path in pictures.paths]
    tasks = np.array([(0, index, 0) for index in range(32)], np.int64)
    before = threading.active_count()
    parts = extract([pictures], [digests], tasks, TorchEngine(backbone, decoder=decoder), batch_size=4, workers=0)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("wrong", [b"", b"text", b"\xff\xd8\xff\xd9"])
def test_is_plain_jpeg__of_what_is_none(wrong: bytes) -> None:
    assert not is_plain_jpeg(wrong)


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
