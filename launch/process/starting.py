"""How a job's processes are started: the container's own entry point, or what AWS's toolkit does in its place."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.backends import Store
from launch.errors import LaunchError
from launch.names import COMMAND, PROCESSES
from launch.process.ending import BASE_VARIABLE
from launch.process.tree import rebased

_PROGRAM, _SUBMITTED = "sagemaker_program", "sagemaker_submit_directory"
#: What this process's own environment must not tell a job.
_NOT_PASSED_ON = (COMMAND, PROCESSES, "SMDEBUG_CONFIG_FILE_PATH", "HYDRA_FULL_ERROR")
_NOT_PASSED_ON_PREFIXES = ("SM_", "SAGEMAKER_", "TRAINING_JOB_")


def start(command: Sequence[str], environment: Mapping[str, str], base: Path) -> subprocess.Popen[bytes]:
    """The running job: a session of its own, stdout and stderr in one pipe, which keeps their order."""
    return subprocess.Popen(
        list(command),
        cwd=base / "code",
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def command_of(request: Mapping[str, Any], base: Path, store: Store) -> list[str]:
    """What is run in the container of a job.

    A job of a tuning job names no entry point. There AWS's sagemaker-training toolkit unpacks
    sagemaker_submit_directory and runs sagemaker_program, its hyperparameters as arguments; here that is done without
    the toolkit in between, so that SIGTERM reaches the program at once.

    Args:
        request: a CreateTrainingJob request.
        base: what is /opt/ml in the container.
        store: that has the code.

    Raises:
        LaunchError: the request names nothing to run, or the code is not there.
    """
    algorithm = request["AlgorithmSpecification"]
    entry = algorithm.get("ContainerEntrypoint")
    if entry is None:
        return _toolkit(request.get("HyperParameters", {}), base, store)
    words = [*entry, *algorithm.get("ContainerArguments", [])]
    # A shell's script takes the base directory quoted, whatever it is called.
    quoted = Path(shlex.quote(str(base)))
    return [
        rebased(word, quoted if before == "-c" else base) for before, word in zip(["", *words], words, strict=False)
    ]


def environment_of(request: Mapping[str, Any], base: Path, host: str, arn: str) -> dict[str, str]:
    """This process's environment with what SageMaker tells a container.

    Args:
        request: a CreateTrainingJob request.
        base: what is /opt/ml in the container.
        host: its name.
        arn: of the job.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_PASSED_ON and not name.startswith(_NOT_PASSED_ON_PREFIXES)
    }
    return {
        **inherited,
        **rebased(dict(request.get("Environment", {})), base),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "TRAINING_JOB_NAME": request["TrainingJobName"],
        "TRAINING_JOB_ARN": arn,
        "CURRENT_HOST": host,
        BASE_VARIABLE: str(base),
        "DOGBREED_INSTALL": "no",  # what a job needs is here
    }


def _toolkit(hyperparameters: Mapping[str, str], base: Path, store: Store) -> list[str]:
    told = {name: _decoded(text) for name, text in hyperparameters.items()}
    if _PROGRAM not in told or _SUBMITTED not in told:
        raise LaunchError(
            "a job with neither ContainerEntrypoint nor sagemaker_program",
            "one that names what it runs",
            "send it by launch.train or launch.tune",
        )
    submitted = told[_SUBMITTED]
    archive = Path(rebased(submitted, base))  # a file in the container, unless the store has it
    if submitted.startswith("s3://"):
        archive = base / "input" / "submitted.tar.gz"
        store.get(submitted, archive)
    subprocess.run(["tar", "-xzf", archive, "-C", base / "code"], check=True)
    arguments = [
        word for name, text in sorted(told.items()) if not name.startswith("sagemaker_") for word in (f"--{name}", text)
    ]
    return [sys.executable, told[_PROGRAM], *arguments]


def _decoded(text: str) -> str:
    """The text within JSON's quotes; any other as it stands."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, str) else text
