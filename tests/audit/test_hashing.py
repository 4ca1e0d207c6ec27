from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from numpy.typing import NDArray

from dogbreed.audit import hashing
from dogbreed.audit.hashing import BAR, find_candidates, make_signatures, mirror


def clouds(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Thumbnails of random clouds, each another."""
    spots = np.random.default_rng(seed).normal(0, 1, (count, 64, 64))
    smooth = scipy.fft.idctn(scipy.fft.dctn(spots, axes=(1, 2))[:, :12, :12], s=(64, 64), axes=(1, 2), norm="ortho")
    return (128 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def test_signatures__are_square_roots_of_weighted_frequencies() -> None:
    thumbnails = clouds(5)
    small = thumbnails.astype(float).reshape(-1, 32, 2, 32, 2).mean((2, 4))
    low = scipy.fft.dctn(small, axes=(1, 2), norm="ortho")[:, :7, :7] * np.hypot(*np.mgrid[:7, :7])
    rooted = (np.sign(low) * np.sqrt(abs(low))).reshape(5, -1)[:, 1:]
    expected = rooted / np.linalg.norm(rooted, axis=1, keepdims=True)
    np.testing.assert_allclose(make_signatures(thumbnails).numpy(), expected, atol=1e-4)


def test_signatures__of_mirrored_pictures_are_known_without_them() -> None:
    thumbnails = clouds(20)
    torch.testing.assert_close(
        mirror(make_signatures(thumbnails)), make_signatures(thumbnails[:, :, ::-1]), atol=1e-4, rtol=0
    )


def test_signatures__of_one_colour_are_zero() -> None:
    flat = np.full((3, 64, 64), [[[0]], [[128]], [[255]]], np.uint8)
    assert not make_signatures(flat).any()


def test_signatures__of_nothing() -> None:
    signatures = make_signatures(np.empty((0, 64, 64), np.uint8))
    assert signatures.shape == (0, 48)
    assert not list(find_candidates(signatures))


def test_candidates__are_all_pairs_above_the_bar_from_both_sides() -> None:
    thumbnails = clouds(60)
    thumbnails = np.concatenate([thumbnails, thumbnails[:20], thumbnails[20:40, :, ::-1]])
    signatures = make_signatures(thumbnails).numpy()
    expected = {
        (first, second, mirrored)
        for mirrored, others in enumerate((signatures, make_signatures(thumbnails[:, :, ::-1]).numpy()))
        for first, second in zip(*np.nonzero(signatures @ others.T >= BAR), strict=True)
        if first != second
    }
    found = [tuple(row) for pairs, _ in find_candidates(torch.from_numpy(signatures)) for row in pairs.tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert {(3, 63, 0), (63, 3, 0), (25, 85, 1), (85, 25, 1)} <= expected


def test_candidates__are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = make_signatures(clouds(100))
    whole = np.concatenate([pairs for pairs, _ in find_candidates(signatures)])
    for name, size in (("_ROWS", 7), ("_COLUMNS", 13)):
        monkeypatch.setattr(hashing, name, size)
    blocks = list(find_candidates(signatures))
    assert sorted(map(tuple, np.concatenate([pairs for pairs, _ in blocks]))) == sorted(map(tuple, whole))
    assert [done for _, done in blocks] == sorted(done for _, done in blocks)
    assert blocks[-1][1] == 100
