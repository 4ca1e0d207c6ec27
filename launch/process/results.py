"""What SageMaker moves between a container and S3: checkpoints both ways, results at the end."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from launch.backends import Store
from launch.names import output_uri
from launch.process.tree import local_path

MODEL, OUTPUT = "model.tar.gz", "output.tar.gz"
LONGEST_REASON = 1024  # FailureReason in the API reference


def fetch_checkpoints(store: Store, request: Mapping[str, Any], base: Path) -> None:
    """Bring the checkpoints of an interrupted job back.

    Raises:
        LaunchError: the store cannot be read.
    """
    if "CheckpointConfig" not in request:
        return
    folder = local_path(request, "CheckpointConfig", base)
    prefix = _prefix(request["CheckpointConfig"]["S3Uri"])
    for file in store.files(prefix):
        target = folder / file.uri.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get(file.uri, target)


def store_while_running(store: Store, request: Mapping[str, Any], base: Path) -> None:
    """Store what SageMaker keeps in S3 while a job runs: checkpoints, and what TensorBoard and Debugger have written.

    Here that is done at the end, and when the job is interrupted.

    Raises:
        LaunchError: the store refuses.
    """
    for folder, prefix in _kept(request, base):
        for path in _files(folder):
            store.put(f"{prefix}{path.relative_to(folder).as_posix()}", path)


def store_results(store: Store, request: Mapping[str, Any], base: Path, spare: Path) -> None:
    """Store model.tar.gz and output.tar.gz; there is none of an empty folder.

    Args:
        store: where to.
        request: a CreateTrainingJob request, which says under which prefix.
        base: what is /opt/ml in the container.
        spare: a folder for what is being packed.

    Raises:
        LaunchError: the store refuses.
    """
    for name, folder in ((MODEL, base / "model"), (OUTPUT, base / "output/data")):
        if not any(folder.iterdir()):
            continue
        archive = spare / name
        with tarfile.open(archive, "w:gz", compresslevel=1) as packed:  # what is packed are weights, which stay large
            for path in sorted(folder.iterdir()):
                packed.add(path, path.name)
        store.put(output_uri(request, name), archive)
        archive.unlink()


def failure_reason(base: Path, code: int) -> str:
    """FailureReason, as SageMaker makes it of output/failure and the exit code.

    Args:
        base: what is /opt/ml in the container.
        code: of the process; for one that a signal ended, as docker gives it.
    """
    file = base / "output/failure"
    said = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    end = f", exit code: {code}"
    return f"AlgorithmError: {said}"[: LONGEST_REASON - len(end)] + end


def _kept(request: Mapping[str, Any], base: Path) -> Iterator[tuple[Path, str]]:
    """Folder -> prefix. Source of the two last: where the SageMaker Python SDK 2 looks for a job's tensors."""
    name = request["TrainingJobName"]
    if "CheckpointConfig" in request:
        yield local_path(request, "CheckpointConfig", base), _prefix(request["CheckpointConfig"]["S3Uri"])
    for section, folder in (("TensorBoardOutputConfig", "tensorboard-output"), ("DebugHookConfig", "debug-output")):
        if section in request:
            prefix = _prefix(request[section]["S3OutputPath"])
            yield local_path(request, section, base), f"{prefix}{name}/{folder}/"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _prefix(uri: str) -> str:
    return f"{uri.rstrip('/')}/"
