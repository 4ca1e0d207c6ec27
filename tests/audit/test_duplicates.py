from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from dogbreed.audit.duplicates import LIKELY, SAME, Pair, find_duplicates
from dogbreed.audit.looking import make_thumbnail, make_tints
from dogbreed.data.breeds import BREEDS
from dogbreed.data.sample import draw_picture

GREY = np.zeros((6, 8, 8, 2), np.int8)


def drawn(count: int) -> list[Image.Image]:
    """Different drawn dogs of all breeds."""
    return [draw_picture(BREEDS[n % len(BREEDS)], np.random.default_rng([7, n])) for n in range(count)]


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    return make_thumbnail(np.asarray(image.convert("RGB")))


def saved(image: Image.Image, quality: int) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content)


def found(images: list[Image.Image], features: NDArray[np.floating] | None = None) -> list[Pair]:
    tints = np.stack([make_tints(np.asarray(image.convert("RGB"))) for image in images])
    thumbnails = np.stack([thumbnail(image) for image in images])
    return find_duplicates([str(n) for n in range(len(images))], thumbnails, tints, features)


@pytest.fixture(scope="module")
def dogs() -> list[Image.Image]:
    return drawn(60)


def test_duplicates__two_drawn_dogs_are_none(dogs: list[Image.Image]) -> None:
    assert found(dogs) == []


@pytest.mark.parametrize(
    "copy",
    [
        lambda dog: saved(dog, 40),
        lambda dog: dog.resize((100, 90)),
        lambda dog: dog.resize((400, 400), Image.Resampling.BICUBIC),
        lambda dog: dog.crop((0, 0, int(0.95 * dog.width), int(0.95 * dog.height))),
        lambda dog: ImageOps.crop(dog, dog.width // 20),
        lambda dog: dog.crop((0, 0, dog.width, int(0.95 * dog.height))),
        lambda dog: ImageEnhance.Brightness(ImageEnhance.Color(dog).enhance(0.7)).enhance(1.2),
        lambda dog: ImageOps.grayscale(dog),
    ],
    ids=["saved", "smaller", "larger", "cropped", "cropped all around", "cropped below", "coloured", "grey"],
)
def test_duplicates__finds_copies(dogs: list[Image.Image], copy: Callable[[Image.Image], Image.Image]) -> None:
    some = dogs[:10]
    pairs = found([*some, *(copy(dog) for dog in some)])
    assert [(pair.first, pair.second, pair.exact, pair.mirrored) for pair in pairs] == [
        (n, n + 10, False, False) for n in range(10)
    ]
    assert all(SAME <= pair.score <= 1 and pair.cosine is None for pair in pairs)


def test_duplicates__one_shape_in_two_colours_is_none(dogs: list[Image.Image]) -> None:
    turned = [Image.merge("RGB", [*dog.convert("RGB").split()[1:], dog.convert("RGB").split()[0]]) for dog in dogs[:10]]
    assert {(pair.first, pair.second) for pair in found([*dogs[:10], *turned])} == set()


def test_duplicates__finds_the_part_whichever_comes_first(dogs: list[Image.Image]) -> None:
    parts = [ImageOps.mirror(ImageOps.crop(dog, dog.width // 20)) for dog in dogs[:10]]
    there, back = found([*parts, *dogs[:10]]), found([*dogs[:10], *parts])
    assert [(pair.first, pair.second) for pair in there] == [(n, n + 10) for n in range(10)]
    assert all(pair.mirrored for pair in there)
    assert [pair.score for pair in there] == pytest.approx([pair.score for pair in back], abs=1e-3)


def test_duplicates__equal_files_are_pairs_with_the_first() -> None:
    dogs = drawn(3)
    images = [dogs[0], dogs[1], dogs[0], dogs[0], dogs[2], saved(dogs[0], 60)]
    thumbnails = np.stack([thumbnail(image) for image in images])
    pairs = find_duplicates(["a", "b", "a", "a", "c", "d"], thumbnails, GREY)
    assert [(pair.first, pair.second, pair.exact) for pair in pairs] == [(0, 2, True), (0, 3, True), (0, 5, False)]
    assert pairs[0] == Pair(0, 2, True, 1.0, False, None)


def test_duplicates__files_that_cannot_be_read_are_none() -> None:
    assert find_duplicates(["", "", "x"], np.zeros((3, 64, 64), np.uint8), GREY[:3]) == []
    assert find_duplicates([], np.zeros((0, 64, 64), np.uint8), GREY[:0]) == []


def test_duplicates__pictures_of_one_colour_are_only_when_equal() -> None:
    thumbnails = np.full((3, 64, 64), 7, np.uint8)
    assert [(pair.first, pair.second) for pair in find_duplicates(["x", "y", "x"], thumbnails, GREY[:3])] == [(0, 2)]


def test_duplicates__features_decide_where_the_pictures_leave_a_doubt() -> None:
    dog, other = drawn(2)
    # The same ground and dog with something else laid over them, until the score is a doubtful one.
    for share in np.linspace(0.1, 0.6, 40):
        images = [dog, Image.blend(dog, other, float(share))]
        same = np.array([[1.0, 2, 3], [1, 2, 3.1]])
        pairs = found(images, same)
        if pairs and pairs[0].score < SAME:
            break
    assert LIKELY <= pairs[0].score < SAME
    assert pairs[0].cosine == pytest.approx(same[0] @ same[1] / np.prod(np.linalg.norm(same, axis=1)), abs=1e-4)
    assert found(images) == []
    assert found(images, np.array([[1.0, 0, 0], [0, 1, 0]])) == []
    assert found(images, np.array([[1.0, 0, 0], [np.nan] * 3])) == []
