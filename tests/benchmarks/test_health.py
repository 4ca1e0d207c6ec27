"""`python -m benchmarks.health` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.health import WAYS, main

SMALL = ["--pictures", "64", "--val", "16", "--width", "8", "--classes", "4", "--batch-sizes", "16"]


def test_health__times_every_way(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    main([*SMALL, "--epochs", "1", "--rounds", "1", "--json", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert [row["way"] for row in rows] == list(WAYS)
    assert rows[0]["ratio"] == [1.0, 1.0]
    assert all(row["wall_s"] > 0 and row["cpu_s"] > 0 for row in rows)
