"""Numbers of the report against independent ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from torchmetrics.functional.classification import binary_calibration_error

from dogbreed.reports.contents import Prediction
from dogbreed.reports.scores import BINS, calibrate, count_confusion, interval, most_confused


def test_calibrate__agrees_with_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.05, 1, 500)
    right = rng.random(500) < probabilities**2
    oracle = binary_calibration_error(torch.tensor(probabilities), torch.tensor(right).int(), n_bins=BINS, norm="l1")
    found = calibrate(probabilities.tolist(), right.tolist())
    assert found.error == pytest.approx(float(oracle), abs=1e-6)
    assert found.pictures.sum() == 500


@pytest.mark.parametrize("probability", [0.0, 1 / 3, 1.0])
def test_calibrate__counts_an_answer_at_the_edge_of_a_bin_once(probability: float) -> None:
    assert calibrate([probability], [True]).pictures.tolist().count(1) == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 12), (12, 12), (77, 100), (1, 836)])
def test_interval__agrees_with_scipy(hits: int, count: int) -> None:
    oracle = binomtest(hits, count).proportion_ci(method="wilson")
    assert interval(hits / count, count) == pytest.approx((oracle.low, oracle.high), abs=1e-4)


def test_count_confusion__agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    names = list("abcde")
    true, predicted = rng.choice(names, (2, 200))
    answers = [Prediction("", one, other, 0.5, 0.5) for one, other in zip(true, predicted, strict=True)]
    np.testing.assert_array_equal(count_confusion(answers, names), confusion_matrix(true, predicted, labels=names))


def test_most_confused__puts_those_that_are_confused_side_by_side() -> None:
    counts = np.diag([9] * 8)
    for one, other in ((0, 5), (3, 7), (5, 2)):
        counts[one, other] = 4
    order = most_confused(counts, 8)
    assert sorted(order) == [0, 2, 3, 5, 7]
    assert abs(order.index(3) - order.index(7)) == 1
    assert abs(order.index(0) - order.index(5)) == abs(order.index(5) - order.index(2)) == 1


def test_most_confused__takes_the_worst_pairs_and_no_more_than_asked_for() -> None:
    counts = np.diag([9] * 6)
    counts[0, 1], counts[2, 3], counts[4, 5] = 1, 5, 2
    assert sorted(most_confused(counts, 4)) == [2, 3, 4, 5]


def test_most_confused__of_a_perfect_classifier_are_none() -> None:
    assert most_confused(np.diag([3, 4, 5]), 24) == []
