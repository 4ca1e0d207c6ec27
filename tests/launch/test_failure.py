"""The reason of a failure, read off what real processes print."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dogbreed.errors import ConfigError
from launch.failure import LONGEST, find_reason, reason_of

#: name -> (program, what the reason begins with, what it ends with).
PROGRAMS = {
    "exception": ("def f():\n    raise KeyError('lr')\nf()", "KeyError: 'lr'", "program.py:2 in f"),
    "message of lines": ("raise ValueError('one\\n  two')", "ValueError: one\n  two\n", "in <module>"),
    "cause": ("try:\n  1 / 0\nexcept ArithmeticError as e:\n  raise OSError(1) from e", "OSError: 1", ":4 in <module>"),
    "syntax": ("exec(compile('x = = 1', 'broken.py', 'exec'))", "SyntaxError: invalid syntax", "broken.py:1"),
    "logged before": (
        "import traceback\ntry:\n  1 / 0\nexcept ZeroDivisionError:\n  traceback.print_exc()\nraise OSError('last')",
        "OSError: last",
        ":6 in <module>",
    ),
    "without a word": ("print('epoch=0')\nraise SystemExit(3)", "exit code 3", "the last line: epoch=0"),
}  # fmt: skip


def run(tmp_path: Path, program: str) -> tuple[int, list[str]]:
    file = tmp_path / "program.py"
    file.write_text(program)
    ended = subprocess.run([sys.executable, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout.splitlines()


@pytest.mark.parametrize(("program", "begins", "ends"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_find_reason__of_a_program(tmp_path: Path, program: str, begins: str, ends: str) -> None:
    reason = find_reason(*run(tmp_path, program))
    assert reason.startswith(begins)
    assert reason.endswith(ends)


def test_find_reason__keeps_the_place_of_a_long_message(tmp_path: Path) -> None:
    reason = find_reason(*run(tmp_path, "raise ValueError('x' * 5000)"))
    assert len(reason) == LONGEST
    assert reason.startswith("ValueError: xxx")
    assert reason.endswith("program.py:1 in <module>")


def test_find_reason__of_a_mistake_is_what_the_user_was_told() -> None:
    told = f"error: {ConfigError('seed=abc', 'a whole number', 'set seed')}"
    assert find_reason(1, ["epoch=0", *told.splitlines(), "W1121 torchrun: closing"]) == told
    assert reason_of(ConfigError("seed=abc", "a whole number", "set seed")) == told


def test_find_reason__of_several_processes_is_that_of_the_first_to_fail() -> None:
    lines = """
        [rank1]: Traceback (most recent call last):
        [rank1]:   File "train.py", line 7, in step
        [rank0]: Traceback (most recent call last):
        [rank1]: ValueError: nan
        [rank0]:   File "comm.py", line 1, in wait
        [rank0]: RuntimeError: connection closed by peer
        Traceback (most recent call last):
          File "run.py", line 9, in main
        torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
    """
    assert find_reason(1, textwrap.dedent(lines).splitlines()) == "ValueError: nan\nat train.py:7 in step"


def test_find_reason__of_a_kill_is_no_error_of_before() -> None:
    lines = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "OSError: report", "epoch=1"]
    assert find_reason(137, lines).startswith("ended by SIGKILL")


def test_find_reason__sees_a_kill_in_the_table_of_torchrun() -> None:
    lines = ["  exitcode  : -9 (pid: 77)", "  traceback : Signal 9 (SIGKILL) received by PID 77", "====="]
    assert find_reason(1, lines).startswith("ended by SIGKILL")


def test_reason_of__defect_has_its_place() -> None:
    try:
        raise KeyError("host")
    except KeyError as error:
        reason = reason_of(error)
    assert reason.startswith("KeyError: 'host'\nat ")
    assert reason.endswith("in test_reason_of__defect_has_its_place")
