"""`python -m benchmarks.exports` at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.exports import main


@pytest.mark.slow
def test_exports__compares_and_times_every_engine(
    artifact: Path, shared_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    folders = ["--pictures", str(shared_folder / "test"), "--calibrate", str(shared_folder / "train")]
    main(["--artifact", str(artifact), *folders, "--rounds", "1", "--json", str(file)])

    figures = json.loads(file.read_text())["engines"]
    assert list(figures) == ["torch", "torch_export", "onnx", "openvino", "openvino int8"]
    assert figures["torch_export"]["agreement"] == 1
    for found in figures.values():
        assert "refused" in found or 0 < found["answer_cpu_s"] < 60
    assert "torch_export" in capsys.readouterr().out
    assert not (artifact / "exports").exists()
