"""`python -m benchmarks.sweep` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.sweep import extrapolate, main

SMALL = ["--size", "32", "--pictures", "12", "--val", "6", "--steps", "1", "--batch-size", "4", "--engines", "torch"]
SMALL += ["--trials", "2", "--epochs", "2"]


def test_sweep__compares_every_case_and_marks_what_is_extrapolated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    main([*SMALL, "--views", "2", "--json", str(file)])
    figures, shown = json.loads(file.read_text()), capsys.readouterr().out
    cases = ["one trial, clean view", "sweep, clean view", "sweep, cached", "one trial, 2 views", "sweep, 2 views"]
    assert [run["what"] for run in figures["runs"]] == cases
    assert all(run["old_extrapolated"] for run in figures["runs"])
    assert shown.count("~") >= 3 * len(cases)
    train, val = (figures[f"old_{split}_picture_s"]["wall"] for split in ("train", "val"))
    one, sweep = figures["runs"][:2]
    assert one["old"]["wall"] == pytest.approx(2 * (12 * train + 6 * val))
    assert sweep["old"]["wall"] == pytest.approx(2 * one["old"]["wall"])


def test_sweep__runs_the_old_way_whole_if_asked() -> None:
    runs = main([*SMALL, "--views", "1", "--full"])["runs"]
    assert [(run["trials"], run["old_extrapolated"]) for run in runs] == [(1, True), (2, False), (2, False)]


def test_extrapolate__counts_train_and_val_in_every_repeat() -> None:
    assert extrapolate({"wall": 2.0}, {"wall": 0.5}, (10, 4), 3) == {"wall": 66.0}
