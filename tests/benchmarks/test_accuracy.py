"""`python -m benchmarks.accuracy` on drawn pictures, and what it makes of a run's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import interval, judge_answers, measure

SWEEP = ["hydra/sweeper=fleet", "hydra.sweeper.n_trials=2", "optimizer.lr=choice(0.001,0.3)"]


@pytest.mark.slow
def test_accuracy__of_sweeps_is_the_mean_of_their_winners(small_run: list[str], shared_folder: Path) -> None:
    arguments = [*small_run, f"data.root={shared_folder}", "trainer.max_epochs=1", *SWEEP]
    found = measure(arguments, seeds=2, multirun=True)
    assert len(found["runs"]) == 2
    assert found["test/acc"] == pytest.approx(sum(run["test/acc"] for run in found["runs"]) / 2)
    assert found["half_width_95"] >= 0
    assert 0 <= found["logistic_regression"]["test/acc"] <= 1


@pytest.mark.parametrize(
    ("calibration", "sure", "right"),
    [
        ({"ece_before": 0.2, "ece_after": 0.1, "threshold": 0.5}, 2 / 3, 0.5),
        ({"ece_before": 0.2, "ece_after": 0.1, "threshold": 0.95}, 0.0, None),
        ({"ece_before": 0.2, "ece_after": 0.1, "threshold": None}, None, None),
        (None, None, None),
    ],
)
def test_judge_answers__has_none_of_what_a_run_has_not(
    calibration: dict[str, Any] | None, sure: float | None, right: float | None, tmp_path: Path
) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact/artifact.json").write_text(json.dumps({"calibration": calibration}))
    (tmp_path / "predictions.csv").write_text("probability,true,predicted\n0.9,a,a\n0.6,a,b\n0.2,b,b\n")
    found = judge_answers(tmp_path)
    assert (found["test/sure"], found["test/acc_sure"]) == (sure, right)
    assert found["val/ece"] == (calibration or {}).get("ece_after")


def test_interval__of_one_seed_is_none() -> None:
    assert interval([0.5]) == (0.5, None)
