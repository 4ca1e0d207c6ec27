"""`python -m benchmarks.serving` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.serving import main


@pytest.mark.slow
def test_serving__compares_the_server_with_the_predictor_and_a_plain_server(
    trained_run: Path, shared_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    where = ["--artifact", f"{trained_run}/artifact", "--pictures", f"{shared_folder}/test"]
    main([*where, "--limit", "16", "--seconds", "1", "--clients", "1", "16", "--json", str(file)])
    figures, shown = json.loads(file.read_text()), capsys.readouterr().out

    assert [row["clients"] for row in figures["rows"]] == [1, 16]
    for row in (*figures["rows"], figures["plain"]):
        assert row["failed"] == 0
        assert row["requests_s"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    best = max(sum(found) / 2 for found in figures["own"].values())
    row = figures["rows"][1]
    assert figures["of_own"] == pytest.approx(row["requests_s"] / best)
    assert figures["of_own_without_clients"] == pytest.approx(
        row["requests_s"] / best / (1 - row["client_cpu"] / figures["machine"]["cores"])
    )
    assert "plain server, 16 clients" in shown
