"""`python -m benchmarks.heads` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.heads import draw_features, main
from dogbreed.data.loading import available_cores

SMALL = ["--pictures", "64", "--val", "16", "--classes", "5", "--widths", "8", "--batch-sizes", "16", "--epochs", "1"]


def test_heads__times_every_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    main([*SMALL, "--heads", "1", "64", "--rounds", "1", "--json", str(file)])
    rows = json.loads(file.read_text())["epochs"]
    ways = ["Lightning", "DataLoader loop", "index loop", "fleet of 1, K=1", "fleet of 64, K=8"]
    cores = sorted({1, available_cores()})
    assert [(row["cores"], row["way"]) for row in rows] == [(count, way) for count in cores for way in ways]
    assert all(row["wall_ms"] > 0 and row["cpu_ms"] > 0 for row in rows)
    assert "fleet of 64, K=8" in capsys.readouterr().out


def test_heads__times_a_sweep_of_features_from_a_file(tmp_path: Path) -> None:
    train, train_targets, val, val_targets = draw_features(64, 16, 8, 5)
    file = tmp_path / "features.npz"
    np.savez(
        file, train=train.numpy(), train_targets=train_targets.numpy(), val=val.numpy(), val_targets=val_targets.numpy()
    )
    (sweep,) = main([*SMALL, "--trials", "6", "--epochs", "2", "--features", str(file)])["sweeps"]
    assert (sweep["trials"], sweep["epochs"], sweep["width"]) == (6, 2, 8)
    assert sweep["wall_s"] > 0
    assert 0 < sweep["best_val_acc"] <= 1
