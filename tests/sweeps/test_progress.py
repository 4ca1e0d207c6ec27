"""What a sweep says while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed.sweeps.journal import Journal, Record
from dogbreed.sweeps.progress import Progress


def test_progress__does_not_count_the_feature_pass_into_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("dogbreed.sweeps.progress.time.monotonic", lambda: now)
    with Journal(tmp_path, {}, resume=False) as journal, Progress(5, journal, "val/acc") as shown:
        now = 100.0
        shown.epoch(0, {"epoch": 0})
        now = 107.0
        shown.epoch(0, {"epoch": 1})
        now = 110.0
        shown.add(Record(0, {}, "finished", value=0.5))
    assert capsys.readouterr().out == "trials=1/5 best val/acc=0.5000 (trial 0), 0:40 left\n"
