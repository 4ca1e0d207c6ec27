from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dogbreed.audit.alignment import COARSE, FINE, Aligner, Windows, make_details
from dogbreed.audit.looking import make_thumbnail


def picture(seed: int, size: int = 320) -> Image.Image:
    """A picture with broad shapes and fine ones, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((size, size)), float)
        for n in (3, 8, 32)
    ]
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    return make_thumbnail(np.asarray(image))


def score(one: NDArray[np.uint8], other: NDArray[np.uint8], mirrored: int = 0, windows: Windows = FINE) -> float:
    return float(Aligner(np.stack([one, other]), windows).fit(np.array([[0, 1, mirrored]]))[0][0])


def weakest(one: NDArray[np.uint8], other: NDArray[np.uint8], mirrored: int = 0) -> float:
    aligner, pairs = Aligner(np.stack([one, other]), FINE), np.array([[0, 1, mirrored]])
    return float(aligner.weakest(pairs, aligner.fit(pairs)[1])[0])


def test_details__are_pixels_less_the_mean_around_them() -> None:
    grey = thumbnail(picture(0)).astype(float)
    found = make_details(thumbnail(picture(0))[None])[0].numpy()
    for row, column in ((4, 4), (20, 33), (59, 59)):
        near = grey[row - 4 : row + 5, column - 4 : column + 5]
        assert found[row, column] == pytest.approx(grey[row, column] - near.mean(), abs=1e-3)


def test_details__of_an_even_slope_are_none_up_to_the_edges() -> None:
    slope = np.add.outer(np.arange(64), 2 * np.arange(64)).astype(np.uint8)[None]
    assert make_details(slope).abs().max() < 1e-3


def test_windows__are_what_cropping_and_averaging_makes() -> None:
    details = make_details(thumbnail(picture(1))[None])
    found = FINE.cut(details)[0].numpy()
    # The same by Pillow: every part, scaled by the mean over boxes.
    lines = [(start, size) for size in FINE.sizes for start in np.arange(0, 1 - size + 1e-9, FINE.step).tolist()]
    assert len(found) == len(lines) ** 2 == 441
    image = Image.fromarray(details[0].numpy())
    for number in (0, 1, 30, 200, 440):
        (top, height), (left, width) = lines[number // len(lines)], lines[number % len(lines)]
        box = (64 * left, 64 * top, 64 * (left + width), 64 * (top + height))
        cells = np.asarray(image.resize((FINE.side, FINE.side), Image.Resampling.BOX, box=box)).ravel()
        cells = cells - cells.mean()
        assert found[number] @ cells / np.linalg.norm(cells) > 0.98  # Pillow's boxes begin at whole pixels


@pytest.mark.parametrize("windows", [COARSE, FINE])
def test_score__of_a_picture_with_itself_is_one(windows: Windows) -> None:
    grey = thumbnail(picture(2))
    assert score(grey, grey, windows=windows) == pytest.approx(1, abs=1e-4)
    assert score(grey, grey[:, ::-1], 1, windows) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "box", [(16, 16, 304, 304), (0, 0, 304, 304), (10, 3, 314, 307), (0, 0, 320, 285), (32, 0, 320, 320)]
)
def test_score__finds_what_is_left_of_a_cropped_picture(box: tuple[int, int, int, int]) -> None:
    whole, part = thumbnail(picture(3)), thumbnail(picture(3).crop(box))
    other = thumbnail(picture(4).crop(box))
    assert score(whole, part) > 0.85
    assert score(whole, other) < 0.5


def test_weakest__is_one_for_a_picture_and_itself_also_where_it_is_empty() -> None:
    grey = thumbnail(picture(5)).copy()
    grey[:40] = 255
    assert weakest(grey, grey) == pytest.approx(1, abs=1e-4)
    assert weakest(grey, grey[:, ::-1], 1) == pytest.approx(1, abs=1e-4)


def test_weakest__forgives_one_part_that_differs_and_not_two() -> None:
    whole = thumbnail(picture(6))
    other = whole.copy()
    other[44:, 44:] = thumbnail(picture(7))[44:, 44:]
    assert weakest(whole, other) > 0.95
    other[:20, :20] = thumbnail(picture(8))[:20, :20]
    assert weakest(whole, other) < 0.7


def test_score__of_grain_and_of_one_colour_is_nothing() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((64, 64), 200, np.uint8)
    grain = flat + rng.integers(0, 2, (64, 64), dtype=np.uint8)
    for one, other in ((flat, flat), (grain, grain), (flat, grain)):
        assert score(one, other) == 0


def test_score__is_that_of_each_pair_by_itself_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    thumbnails = np.stack([thumbnail(picture(seed // 2).crop((0, 0, 320 - seed, 320))) for seed in range(80)])
    pairs = np.column_stack([rng.integers(0, 80, (500, 2)), rng.integers(0, 2, 500)])
    together = Aligner(thumbnails, COARSE).fit(pairs)[0]
    for number in range(0, 500, 29):
        first, second, mirrored = pairs[number]
        alone = score(thumbnails[first], thumbnails[second], mirrored, COARSE)
        assert together[number] == pytest.approx(alone, abs=1e-4)
