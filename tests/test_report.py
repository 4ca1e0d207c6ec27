"""`python -m dogbreed.report` on real folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dogbreed.report import main


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def test_report__says_where_it_is_and_how_to_open_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    out = capsys.readouterr().out
    path = run / "report.html"
    assert out.startswith(f"wrote {path} (0.")
    assert f"python -m webbrowser {path.as_uri()}" in out
    assert "<h1>" in path.read_text()


def test_report__finds_out_that_it_is_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text(json.dumps({"monitor": "val/acc", "direction": "max", "trials": []}))
    assert main([str(tmp_path)]) == 0
    assert "Leaderboard" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_report__card_names_what_it_wrote_and_what_it_lacks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--card", str(run)]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("wrote")] == [
        f"wrote {run / 'writeup.md'}",
        f"wrote {run / 'model_card.md'}",
        f"wrote {run / 'figures'}/, which goes where they go",
    ]
    assert "no sweep was named" in out
    assert (run / "writeup.md").read_text().startswith("# test_resnet, linear head, 4 classes\n")


def test_report__of_two_folders_asks_for_the_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), str(run.parent)]) == 1
    assert f"python -m dogbreed.report --card {run} {run.parent}" in capsys.readouterr().err


def test_report__of_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} holds neither a run nor a sweep")
    assert not (tmp_path / "report.html").exists()


def test_report__names_the_runs_below(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run.parent)]) == 1
    assert f"name one of those in it: {run}" in capsys.readouterr().err


def test_report__suggests_a_near_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run.with_name("runn"))]) == 1
    assert f"does not exist (did you mean {run}" in capsys.readouterr().err


def test_report__of_an_archive_says_to_unpack_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "output.tar.gz").write_bytes(b"")
    assert main([str(tmp_path / "output.tar.gz")]) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("named", [".", "run", "below/run"])
def test_report__of_what_may_not_be_read_names_it(named: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        locked = Path(place) / "locked"
        locked.mkdir(mode=0o000)
        # What argparse imports late may lie where only root can read.
        late = "import locale, os, shutil, sys; from dogbreed.report import main"
        code = f"{late}; os.seteuid(12345); sys.exit(main(sys.argv[1:]))"
        ran = subprocess.run([sys.executable, "-c", code, str(locked / named)], capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: {locked / named} cannot be read: Permission denied")


def test_report__of_a_run_loads_no_torch(run: Path) -> None:
    code = "import sys; from dogbreed.report import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("False\n")
