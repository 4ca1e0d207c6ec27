"""Ends the processes of a job: all that were started in it, as the end of a container does."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import psutil

#: Tells a job where its container's /opt/ml is, and marks its processes.
BASE_VARIABLE = "SAGEMAKER_BASE_DIR"


def end_processes(bases: Collection[Path]) -> None:
    """Kill whatever still runs in the job whose trees are at `bases`, also what has left its process group.

    torchrun starts its workers in sessions of their own; the environment that they inherit says where they belong.
    """
    found = [process for process in psutil.process_iter() if _belongs(process, {str(base) for base in bases})]
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=5)


def _belongs(process: psutil.Process, bases: Collection[str]) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.environ().get(BASE_VARIABLE) in bases
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return False
