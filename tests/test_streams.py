"""Styles are for a person who looks at a terminal and wants them; nothing else ever sees one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminals import terminal

_RED = "\x1b[31merror:\x1b[0m "
_WRONG = [sys.executable, "-m", "dogbreed.train", "head=mpl"]
_TABLE = [sys.executable, "-c", "from dogbreed.tables import *; print_table(Table('heading', box=None))"]


def shown(command: list[str], folder: Path, **settings: str) -> str:
    """What a command shows on a terminal."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with terminal(command, {**plain, "TERM": "xterm-256color", **settings}, folder) as screen:
        return screen.read_until(None)


def test_error__is_red_on_a_terminal(tmp_path: Path) -> None:
    assert shown(_WRONG, tmp_path).startswith(_RED)


def test_error__of_arguments_is_red_too(tmp_path: Path) -> None:
    said = shown([sys.executable, "-m", "dogbreed.report", "--crad"], tmp_path)
    assert f"\npython -m dogbreed.report: {_RED}" in said.replace("\r", "")
    assert said.startswith("usage: ")


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_error__is_plain_where_that_is_asked_for(settings: dict[str, str], tmp_path: Path) -> None:
    assert shown(_WRONG, tmp_path, **settings).startswith("error: ")


def test_error__is_plain_in_a_pipe(tmp_path: Path) -> None:
    ran = subprocess.run(_WRONG, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stderr.startswith("error: ")
    assert "\x1b" not in ran.stderr + ran.stdout


def test_table__has_a_bold_heading_unless_colours_are_unwanted(tmp_path: Path) -> None:
    assert "\x1b[1m" in shown(_TABLE, tmp_path)
    assert "\x1b" not in shown(_TABLE, tmp_path, NO_COLOR="1")


@pytest.mark.slow
def test_run__has_styles_on_a_terminal_and_none_in_its_files(
    small_run: list[str], shared_folder: Path, tmp_path: Path
) -> None:
    run = [f"data.root={shared_folder}", *small_run, "trainer.max_epochs=4", "optimizer.lr=1e4", "hydra.run.dir=run"]
    said = shown([sys.executable, "-m", "dogbreed.train", *run], tmp_path)
    assert "\x1b[1mbest epoch: " in said
    assert "\x1b[33mhealth: " in said
    assert "\nhealth: of " in said
    assert "wrote run/: metrics.json" in said
    written = [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".json", ".csv", ".yaml", ".html")]
    assert written
    assert not [path for path in written if "\x1b" in path.read_text()]
