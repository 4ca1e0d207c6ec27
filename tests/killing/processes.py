"""Processes that can be killed: commands forked from a warm parent, or started afresh."""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil


def start(module: str, arguments: Sequence[str], folder: Path, log: Path, *, fresh: bool) -> int:
    """The id of a process, leader of a group of its own, that runs `python -m module` in `folder`.

    Args:
        module: such as "dogbreed.train".
        arguments: of its command line.
        folder: where it works.
        log: takes what it says.
        fresh: a new Python, which imports everything first; otherwise a copy of this one, which has done so.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        silence = os.open(os.devnull, os.O_RDONLY)
        for source, stream in ((silence, 0), (said, 1), (said, 2)):
            os.dup2(source, stream)
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
        code = _run(module, arguments)
    finally:
        os._exit(code)


def _run(module: str, arguments: Sequence[str]) -> int:
    """The exit code of `python -m module` in this process."""
    sys.argv = [module, *arguments]
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(Exception):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def wait(pid: int, seconds: float) -> int | None:
    """The exit code of a child that ended within `seconds`, the negative number of a signal; None where it runs on."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        left = end - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(0.002, left))


def kill(pid: int, *, group: bool) -> list[psutil.Process]:
    """Kill a child, or its whole process group, by SIGKILL; the processes that it had started, to be watched.

    Only a child that `wait` has not reaped may be killed: its id is nobody else's then.
    """
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(pid).children(recursive=True)
    if group:
        with suppress(ProcessLookupError):  # it has not made its group yet
            os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return family


def orphans(family: Sequence[psutil.Process], seconds: float) -> list[str]:
    """Those that are still alive after `seconds`; one that nobody has reaped is not."""
    end = time.monotonic() + seconds
    while alive := [one for one in family if _lives(one)]:
        if time.monotonic() > end:
            return [str(one) for one in alive]
        time.sleep(0.05)
    return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
