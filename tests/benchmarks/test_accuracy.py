"""`python -m benchmarks.accuracy` on drawn pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import measure

SWEEP = ["hydra/sweeper=fleet", "hydra.sweeper.n_trials=2", "optimizer.lr=choice(0.001,0.3)"]


@pytest.mark.slow
def test_accuracy__of_sweeps_is_the_mean_of_their_winners(small_run: list[str], shared_folder: Path) -> None:
    arguments = [*small_run, f"data.root={shared_folder}", "trainer.max_epochs=1", *SWEEP]
    found = measure(arguments, seeds=2, multirun=True)
    assert len(found["runs"]) == 2
    assert found["test/acc"] == pytest.approx(sum(run["test/acc"] for run in found["runs"]) / 2)
    assert found["half_width_95"] >= 0
    assert 0 <= found["logistic_regression"]["test/acc"] <= 1
