"""`python -m benchmarks.audit` on drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.audit import COPIES, main


def test_audit__counts_every_kind_of_copy(shared_folder: Path, tmp_path: Path) -> None:
    file, sheet = tmp_path / "figures.json", tmp_path / "pairs.png"
    main(["--root", str(shared_folder), "--planted", "5", "--sheet", str(sheet), "--json", str(file)])
    found = json.loads(file.read_text())
    assert found["pictures"] == 4 * (8 + 4 + 4) + 5
    for way in ("audit", "usual"):
        assert set(found[way]) == {*COPIES, "others"}
        assert all(0 <= found[way][kind] <= 1 for kind in COPIES)
    assert sheet.exists()
