"""From words to the backend they mean; what it needs is imported only then."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dogbreed.errors import ConfigError, did_you_mean
from launch.backends import Backend
from launch.settings import BACKENDS

#: Where the process backend keeps its jobs, unless it is told: the variable, and the folder without one.
JOBS_VARIABLE, JOBS_FOLDER = "DOGBREED_JOBS", "~/.cache/dogbreed/jobs"


def connect(backend: str, region: str | None, process_dir: str | None) -> Backend:
    """The backend of this name.

    Args:
        backend: "sagemaker" or "process".
        region: of AWS; None for the environment's or the profile's.
        process_dir: where the process backend keeps its jobs; None for its own place.

    Raises:
        ConfigError: there is no backend of this name.
        LaunchError: the extra that it needs is not installed.
    """
    if backend == "sagemaker":
        from launch.aws.backend import SageMakerBackend
        from launch.aws.session import make_session

        return SageMakerBackend(make_session(region))
    if backend == "process":
        from launch.process.backend import ProcessBackend

        return ProcessBackend(jobs_folder(process_dir))
    raise ConfigError(f"backend={backend}{did_you_mean(backend, BACKENDS)}", ", ".join(BACKENDS), "name one of them")


def jobs_folder(process_dir: str | None) -> Path:
    """Where the process backend keeps its jobs."""
    return Path(process_dir or os.environ.get(JOBS_VARIABLE) or JOBS_FOLDER).expanduser().absolute()


def whereabouts(backend: str, region: str | None, process_dir: str | None) -> list[str]:
    """The options by which `python -m launch.jobs` finds the same backend.

    >>> whereabouts("process", None, "/my jobs")
    ['--backend', 'process', '--process-dir', '/my jobs']
    >>> whereabouts("sagemaker", None, None)
    []
    """
    if backend == "process":
        return ["--backend", backend, *(["--process-dir", process_dir] if process_dir else [])]
    return ["--region", region] if region else []


def jobs_command(command: str, name: str, where: Sequence[str], *more: str) -> str:
    """The line that looks after a job, to be pasted.

    >>> jobs_command("logs", "a", ["--backend", "process"], "--follow")
    'python -m launch.jobs logs a --follow --backend process'
    """
    return shlex.join(["python", "-m", "launch.jobs", command, name, *more, *where])
