"""The closed-form baseline, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier

import dogbreed.sweeps.ridge
from dogbreed.errors import DataError
from dogbreed.features.views import FeatureViews
from dogbreed.sweeps.ridge import fit_ridge

CLASSES, WIDTH = 5, 12


def drawn(pictures: int, seed: int, offset: float = 100.0) -> FeatureViews:
    """Classes that overlap, far from the origin, in two views of which only the first means something."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 1, (CLASSES, WIDTH))
    targets = rng.integers(0, CLASSES, pictures)
    clean = centres[targets] + rng.normal(0, 1, (pictures, WIDTH)) + offset
    return FeatureViews.of(torch.tensor(np.stack([clean, rng.normal(size=clean.shape)])).float(), torch.tensor(targets))


def plain(views: FeatureViews) -> tuple[np.ndarray, np.ndarray]:
    return views.take(0, torch.arange(len(views))).double().numpy(), views.targets.numpy()


@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("penalty", [1e-3, 3.0, 1e4])
def test_fit_ridge__solves_what_sklearn_solves(penalty: float, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dogbreed.sweeps.ridge, "_CHUNK", chunk)
    train, val = drawn(200, 1), drawn(80, 2)
    ours = fit_ridge(train, val, CLASSES, [penalty])
    features, targets = plain(train)
    oracle = SklearnRidge(alpha=penalty).fit(features, np.eye(CLASSES)[targets])
    np.testing.assert_allclose(ours.weight.T, oracle.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.bias, oracle.intercept_, rtol=1e-6, atol=1e-7)


def test_fit_ridge__chooses_the_penalty_on_val() -> None:
    train, val, test = drawn(60, 1), drawn(200, 2), drawn(200, 3)
    penalties = [10.0**power for power in range(5, -5, -1)]
    ours = fit_ridge(train, val, CLASSES, penalties)
    oracle = [RidgeClassifier(alpha=penalty).fit(*plain(train)) for penalty in penalties]
    scores = [model.score(*plain(val)) for model in oracle]
    assert ours.accuracy_on_val == max(scores)
    assert ours.penalty == penalties[int(np.argmax(scores))]
    assert ours.accuracy(test) == oracle[int(np.argmax(scores))].score(*plain(test))


def test_fit_ridge__has_a_path_of_its_own() -> None:
    train, val = drawn(100, 1), drawn(100, 2)
    assert fit_ridge(train, val, CLASSES).accuracy_on_val > 0.6


def test_fit_ridge__survives_features_that_never_differ() -> None:
    same = FeatureViews.of(torch.ones(1, 4, 3), torch.tensor([0, 1, 1, 1]))
    assert fit_ridge(same, same, 2).accuracy_on_val == 0.75


def test_fit_ridge__leaves_out_what_could_not_be_decoded() -> None:
    whole = drawn(50, 1)
    rows = np.tile(np.arange(50), (1, 1))
    rows[0, 3] = -1
    array = plain(whole)[0].astype(np.float32)
    holed = FeatureViews([array], rows, whole.targets)
    kept = np.delete(np.arange(50), 3)
    rest = FeatureViews.of(torch.tensor(array[kept])[None], whole.targets[kept])
    torch.testing.assert_close(
        fit_ridge(holed, holed, CLASSES, [1.0]).weight, fit_ridge(rest, rest, CLASSES, [1.0]).weight
    )


def test_fit_ridge__without_a_picture() -> None:
    empty = FeatureViews.of(torch.zeros(1, 0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="without a readable picture"):
        fit_ridge(empty, drawn(5, 1), CLASSES)
