"""FeatureViews give what was put into them: the view that the epoch reads, of the pictures that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dogbreed.features.views import FeatureViews

FEATURES = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0))  # views, pictures, numbers
TARGETS = torch.arange(10) % 4


@pytest.mark.parametrize("epoch", range(7))
def test_take__gives_each_epoch_the_next_view(epoch: int) -> None:
    positions = torch.tensor([7, 0, 7, 3])
    taken = FeatureViews.of(FEATURES, TARGETS).take(epoch, positions)
    assert torch.equal(taken, FEATURES[epoch % 3][positions])


def test_take__nothing_is_an_empty_batch() -> None:
    assert FeatureViews.of(FEATURES, TARGETS).take(0, torch.empty(0, dtype=torch.int64)).shape == (0, 4)


def test_feature_views__follow_their_rows() -> None:
    array = FEATURES.reshape(30, 4).numpy()
    rows = np.array([[4, 5, 29], [0, 1, 2]])
    views = FeatureViews([array, array], rows, torch.tensor([2, 0, 1]))
    assert views.shape == (2, 3, 4)
    assert len(views) == 3
    assert torch.equal(views.take(1, torch.tensor([2, 0])), torch.from_numpy(array[[2, 0]]))
    assert torch.equal(views.take(2, torch.tensor([2])), torch.from_numpy(array[[29]]))


def test_feature_views__a_picture_without_one_of_its_views_is_not_readable() -> None:
    rows = np.array([[0, 1, -1, 3], [4, -1, -1, 7]])
    views = FeatureViews([FEATURES[0].numpy()] * 2, rows, torch.zeros(4, dtype=torch.int64))
    assert views.readable.tolist() == [True, False, False, True]


def test_take__half_precision_comes_as_float32() -> None:
    half = FEATURES.half()
    taken = FeatureViews.of(half, TARGETS).take(1, torch.arange(10))
    assert taken.dtype == torch.float32
    assert torch.equal(taken, half[1].float())


def test_take__is_a_copy() -> None:
    views = FeatureViews.of(FEATURES.clone(), TARGETS)
    views.take(0, torch.arange(10)).zero_()
    assert torch.equal(views.take(0, torch.arange(10)), FEATURES[0])
