from __future__ import annotations

import csv
import math
import re
from pathlib import Path

from dogbreed.training.epoch_line import EPOCH_METRIC_PATTERN, epoch_line


def read(line: str, name: str) -> float:
    found = re.search(EPOCH_METRIC_PATTERN.format(name=re.escape(name)), line)
    assert found, (line, name)
    return float(found[1])


def test_epoch_line__is_read_back_by_its_pattern() -> None:
    row = {"epoch": 3, "step": 840, "train/loss": 1e-9, "val/loss": 123456.789, "val/acc": 0.5, "val/acc_top5": 1.0}
    line = epoch_line(row)
    for name, value in row.items():
        assert math.isclose(read(line, name), value, rel_tol=1e-5)


def test_epoch_line__keeps_what_is_no_number() -> None:
    line = epoch_line({"epoch": 0, "train/loss": math.nan, "val/loss": math.inf, "val/acc": -math.inf})
    assert math.isnan(read(line, "train/loss"))
    assert read(line, "val/loss") == math.inf
    assert read(line, "val/acc") == -math.inf


def test_epoch_line__a_name_is_not_taken_for_its_beginning() -> None:
    assert read("epoch=0 val/acc_top5=0.9 val/acc=0.5", "val/acc") == 0.5


def test_pattern__fits_what_a_launcher_may_hand_on() -> None:
    assert len(EPOCH_METRIC_PATTERN.format(name="val/acc_top5")) <= 500


def test_epoch_log__writes_one_row_an_epoch(trained_run: Path) -> None:
    with open(trained_run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert list(rows[0])[:6] == ["epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc"]
    assert all(row["val/f1_macro"] for row in rows)
