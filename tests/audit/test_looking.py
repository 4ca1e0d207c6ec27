"""A look says of every picture what training would make of it."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from dogbreed.audit.looking import MAX_BYTES, Look, look_at, make_thumbnail
from dogbreed.audit.sniffing import ends_early, sniff
from dogbreed.audit.walking import File, walk_splits
from dogbreed.data.images import decode_image, picture_digest
from dogbreed.errors import DataError, ImageError
from tests.audit.dirty_tree import Garden, plant_files


def look(path: Path) -> Look:
    looks, thumbnails = look_at(path.parent, [File(path.name, "train", "A")], 0)
    assert thumbnails.shape == (1, 64, 64)
    assert thumbnails.dtype == np.uint8
    return looks[0]


def readable(path: Path) -> bool:
    try:
        decode_image(path)
    except ImageError:
        return False
    return True


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Garden, list[File]]:
    """Pictures with all that can be wrong with them; not to be changed."""
    garden = Garden(tmp_path_factory.mktemp("dirty") / "photos")
    for folder in ("train", "valid"):
        for number in range(8):
            garden.add(f"{folder}/004.Great_dane/{number:05d}.jpg")
    plant_files(garden)
    return garden, walk_splits(garden.root).files


def test_look_at__agrees_with_training(dirty):
    garden, files = dirty
    looks, thumbnails = look_at(garden.root, files, 0)
    assert [seen.path for seen in looks] == [file.path for file in files]
    for seen, thumbnail in zip(looks, thumbnails, strict=True):
        path = garden.root / seen.path
        if seen.path.endswith(("gone.jpg", "itself.jpg", "endless.jpg")):
            assert (seen.problem, seen.digest) == ("too_large" if path.exists() else "broken_link", "")
            continue
        assert (seen.problem is None) == readable(path), seen
        assert seen.digest == picture_digest(path.read_bytes())
        assert seen.deviation == pytest.approx(thumbnail.std(), abs=1e-3)
        assert bool(seen.reason) == (seen.problem is not None)
        if seen.problem is None:
            with Image.open(path) as image:
                assert (seen.format, seen.mode, seen.width, seen.height) == (image.format, image.mode, *image.size)


def test_look_at__is_the_same_in_processes(dirty):
    garden, files = dirty
    alone, shared = look_at(garden.root, files, 0), look_at(garden.root, files, 2)
    assert alone[0] == shared[0]
    np.testing.assert_array_equal(alone[1], shared[1])


def test_look_at__leaves_the_chance_of_others_alone(dirty):
    import torch

    garden, files = dirty
    torch.manual_seed(0)
    before = torch.get_rng_state()
    look_at(garden.root, files[:3], 0)
    assert torch.equal(before, torch.get_rng_state())


def test_look_at__nothing(tmp_path):
    looks, thumbnails = look_at(tmp_path, [], None)
    assert looks == []
    assert thumbnails.shape == (0, 64, 64)


def test_look_at__file_that_is_gone(tmp_path):
    seen = look(tmp_path / "gone.jpg")
    assert (seen.problem, seen.reason, seen.digest) == ("unreadable", "no such file or directory", "")


def test_look_at__file_that_is_far_too_large_is_not_read(tmp_path):
    with open(tmp_path / "endless.jpg", "wb") as file:
        file.truncate(300 * MAX_BYTES)
    seen = look(tmp_path / "endless.jpg")
    assert (seen.problem, seen.digest) == ("too_large", "")


def test_look_at__photograph_with_a_preview_behind_it_is_no_animation(tmp_path):
    picture = Garden(tmp_path).draw()
    picture.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[picture.resize((40, 40))])
    with Image.open(tmp_path / "phone.jpg") as image:
        assert image.format == "MPO"
    seen = look(tmp_path / "phone.jpg")
    assert (seen.format, seen.frames, seen.problem) == ("JPEG", 1, None)


@pytest.mark.parametrize("turn", range(1, 9))
def test_look_at__thumbnail_is_upright(tmp_path, turn):
    picture, exif = Garden(tmp_path).draw().crop((0, 0, 160, 90)), Image.Exif()
    exif[0x0112] = turn
    picture.save(tmp_path / "turned.png", exif=exif)
    looks, thumbnails = look_at(tmp_path, [File("turned.png", "train", "A")], 0)
    upright = decode_image(tmp_path / "turned.png").permute(1, 2, 0).numpy()
    assert (looks[0].orientation, looks[0].width, looks[0].height) == (turn, 160, 90)
    np.testing.assert_array_equal(thumbnails[0], make_thumbnail(upright))


def test_make_thumbnail__is_the_mean_of_boxes():
    pixels = np.random.default_rng(0).integers(0, 256, (192, 128, 3), dtype=np.uint8)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    boxes = grey.reshape(64, 3, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(make_thumbnail(pixels), boxes, atol=1.5)  # rounded three times


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_sniff__agrees_with_pillow(name):
    content = saved(name)
    assert sniff(content) == name
    assert not ends_early(content)


@pytest.mark.parametrize("content", [b"", b"BMW and other cars", b"P6 is a name", b"II. chapter", b"RIFF of a wave"])
def test_sniff__words(content):
    assert sniff(content) == ""


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_ends_early__wherever_it_was_cut(name):
    content = saved(name)
    for place in np.linspace(30, len(content) - 13, 12).astype(int):
        assert ends_early(content[:place]), place


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF"])
def test_ends_early__with_zeros_for_the_rest(name):
    content = saved(name)
    assert ends_early(content[: len(content) // 2] + bytes(len(content) // 2))
    assert not ends_early(content + bytes(100))


def saved(name: str) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Garden(Path()).draw().save(file, name, exif=exif)
    return file.getvalue()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_look_at__worker_that_is_killed(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # a worker that opens it waits until it is killed

    others = psutil.Process().children()

    def kill() -> None:
        while not (workers := [child for child in psutil.Process().children() if child not in others]):
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(DataError, match="a process that reads pictures died after 0 of 1 pictures"):
        look_at(tmp_path, [File("pipe.jpg", "train", "A")], 1)
    killer.join()
