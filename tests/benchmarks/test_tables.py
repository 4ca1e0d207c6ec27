"""`python -m benchmarks.tables` on a page of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tables


def test_tables__checks_and_then_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n\n<!-- table dogs -->\n<!-- end of the table -->\n\nbehind\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "PAGES", (page,))
    monkeypatch.setattr(tables, "TABLES", {"dogs": lambda found: iter([("breed", "ears"), ("Beagle", "2")])})
    assert tables.main(["--check"]) == 1
    assert "Beagle" not in page.read_text()
    assert tables.main([]) == 0
    assert "| breed | ears |\n|---|---|\n| Beagle | 2 |\n" in page.read_text()
    assert tables.main(["--check"]) == 0
    assert capsys.readouterr().out == "not what the files say: page.md\nwrote: page.md\n"
