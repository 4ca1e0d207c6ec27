"""What val teaches about answers, against slower and plainer ways to the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

import dogbreed.train
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.predictor import Predictor
from dogbreed.training.calibration import (
    LEAST,
    LEAST_SHARE,
    MOST,
    choose_threshold,
    find_look_alikes,
    fit_calibration,
    fit_temperature,
    probabilities,
)

Command = Callable[..., Any]


def draw(pictures: int = 300, classes: int = 7, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits, and targets that are drawn from their own probabilities: the right temperature is `scale`."""
    torch.manual_seed(seed)
    logits = 2 * torch.randn(pictures, classes)
    return scale * logits, logits.softmax(dim=1).multinomial(1)[:, 0]


@pytest.mark.parametrize("scale", [0.1, 0.6, 1.0, 3.0])
def test_fit_temperature__is_the_best_of_a_grid(scale: float) -> None:
    logits, targets = draw(scale=scale)
    grid = torch.logspace(np.log10(LEAST), np.log10(MOST), 4001, dtype=torch.float64)
    losses = torch.stack([cross_entropy(logits.double() / one, targets) for one in grid])
    assert fit_temperature(logits, targets) == pytest.approx(float(grid[losses.argmin()]), rel=2e-3)


def test_fit_temperature__finds_what_the_logits_were_multiplied_by() -> None:
    logits, targets = draw(pictures=100_000, scale=2.5)
    assert fit_temperature(logits, targets) == pytest.approx(2.5, rel=0.02)


@pytest.mark.parametrize(("sign", "bound"), [(1, LEAST), (-1, MOST)], ids=["all right", "all wrong"])
def test_fit_temperature__stays_in_its_bounds(sign: int, bound: float) -> None:
    targets = torch.arange(6) % 3
    assert fit_temperature(sign * 5 * torch.eye(3)[targets], targets) == pytest.approx(bound)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_fit_temperature__takes_logits_of_any_size(size: float) -> None:
    logits, targets = draw(pictures=20)
    assert LEAST <= fit_temperature(size * logits, targets) <= MOST


def test_fit_calibration__errors_are_those_of_torchmetrics() -> None:
    logits, targets = draw(scale=4.0)
    found = fit_calibration(logits, targets, 0.9)
    for temperature, error in ((1.0, found.ece_before), (found.temperature, found.ece_after)):
        probs = (logits / temperature).softmax(dim=1)
        assert error == pytest.approx(float(multiclass_calibration_error(probs, targets, 7, n_bins=15)), abs=1e-5)
    assert found.ece_after < found.ece_before / 2
    assert found.pictures == 300


def test_fit_calibration__what_it_calls_sure_is_as_precise_as_asked_for() -> None:
    logits, targets = draw(scale=4.0)
    found = fit_calibration(logits, targets, 0.9)
    best = probabilities(logits, found.temperature).max(dim=1)
    sure = [found.is_sure(round(value, 6)) for value in best.values.tolist()]
    right = (best.indices == targets)[torch.tensor(sure)]
    assert sum(sure) / 300 == found.coverage
    assert right.double().mean() >= 0.9


@settings(max_examples=200, deadline=None)
@given(
    answers=st.lists(st.tuples(st.sampled_from([0.25, 0.5, 0.75, 0.875, 1.0]), st.booleans()), min_size=1, max_size=30),
    precision=st.sampled_from([0.5, 0.8, 0.95, 1.0]),
)
def test_choose_threshold__is_the_smallest_that_is_good_enough(
    answers: list[tuple[float, bool]], precision: float
) -> None:
    good: dict[float, int] = {}
    for threshold, _ in answers:
        kept = [right for prob, right in answers if prob >= threshold]
        if sum(kept) / len(kept) >= precision:
            good[threshold] = len(kept)
    expected = (min(good), good[min(good)] / len(answers)) if good else (None, 0.0)
    probs, right = torch.tensor([one[0] for one in answers]), torch.tensor([one[1] for one in answers])
    assert choose_threshold(probs, right, precision) == expected


@settings(max_examples=100, deadline=None)
@given(
    weights=arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(2, 5)), elements=st.floats(0, 1)),
    seed=st.integers(0, 99),
)
def test_find_look_alikes__are_the_means_of_both_ways(weights: Any, seed: int) -> None:
    probs = torch.from_numpy((weights + 1e-3) / (weights + 1e-3).sum(axis=1, keepdims=True))
    pictures, classes = probs.shape
    targets = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, pictures))
    found = find_look_alikes(probs, targets)
    assert len(found) == classes
    for one, others in enumerate(found):
        shares = {}
        for other in set(range(classes)) - {one}:
            ways = [probs[targets == a, b].mean() for a, b in ((one, other), (other, one)) if (targets == a).any()]
            shares[other] = float(sum(ways) / len(ways)) if ways else 0.0
        most = sorted((share for share in shares.values() if share >= LEAST_SHARE), reverse=True)[:3]
        assert [share for _, share in others] == pytest.approx(most, abs=6e-5)
        assert all(share == pytest.approx(shares[other], abs=6e-5) for other, share in others)


def test_train__calibrates_the_best_epoch_on_the_pictures_of_val(trained_run: Path, shared_folder: Path) -> None:
    predictor = Predictor.load(trained_run / "artifact")
    paths = sorted((shared_folder / "valid").rglob("*.jpg"))
    logits = predictor.logits(torch.stack([predictor.view(path) for path in paths]))
    targets = torch.tensor([predictor.artifact.class_names.index(path.parent.name) for path in paths])
    found, kept = fit_calibration(logits, targets, 0.95), predictor.artifact.calibration
    assert kept is not None
    assert found.temperature == pytest.approx(kept.temperature, rel=1e-3)
    assert (found.coverage, found.precision) == (kept.coverage, kept.precision)
    for ours, theirs in zip(
        find_look_alikes(probabilities(logits, found.temperature), targets), predictor.artifact.look_alikes, strict=True
    ):
        assert dict(ours) == pytest.approx(dict(theirs), abs=1e-3)


def test_train__keeps_a_picture_of_each_class_if_asked(
    command: Command, small_run: list[str], folder: Path, tmp_path: Path
) -> None:
    (folder / "train" / "001.Breed_A" / "Breed_A_00000.jpg").write_bytes(b"text")
    chosen = [f"data.root={folder}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=1", "logger=none"]
    ended = command(
        dogbreed.train.main, *small_run, *chosen, "data.on_error=skip", "thumbnails=true", "sure_precision=0.5"
    )
    assert ended.code == 0, ended.err
    assert "calibrated on val (16 pictures): temperature" in ended.out
    artifact = load_artifact(tmp_path / "run" / "artifact")
    assert all((artifact.thumbnail(index) or b"").startswith(b"\xff\xd8") for index in range(4))
    assert artifact.calibration is not None
    assert artifact.calibration.precision == 0.5
