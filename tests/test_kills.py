"""Every command killed by SIGKILL at random moments: the short form of `python -m tests.kills`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_kills__every_command_ends_as_if_nobody_had_killed_it() -> None:
    """In a process of its own: a copy of this one would have its threads' locks and none of its threads."""
    settings = ["--kills", "12", "--seconds", "300", "--seed", "1", "--fresh", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.kills", *settings],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "140"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 kills in " in ended.stdout
