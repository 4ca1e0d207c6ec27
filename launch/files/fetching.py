"""What a job left, put together again: its run's directory as if it had run here, its log and its description."""

from __future__ import annotations

import gzip
import heapq
import json
import os
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from dogbreed.files import writing
from launch.backends import Backend, LogLine
from launch.container import SWEEPER
from launch.errors import LaunchError
from launch.names import output_uri
from launch.views.telling import unknown

#: What is kept beside the run: the description is written last, so that where it is, all of it is.
LOG, DESCRIPTION = "job.log", "job.json"
#: What a job leaves, and where in the run's directory it belongs; {} is the run of which it is the artifact.
_OUTPUT, _MODEL = "output.tar.gz", "model.tar.gz"
_ARTIFACT, _OF_A_SWEEP = "artifact", "winner/artifact"
#: TrainingJobStatus of a job that nothing more will come of.
ENDED = ("Completed", "Failed", "Stopped")
#: What a damaged archive makes the readers raise; the last is an OSError, and none of the disk's.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, gzip.BadGzipFile)


def fetch_run(backend: Backend, name: str, directory: Path, *, say: Callable[[str], None] = print) -> Path:
    """The job's run in `directory`, whole or not at all: repeated, it fetches all of it again.

    What stands in `directory` otherwise stays there.

    Args:
        backend: where the job ran.
        name: of the training job.
        directory: of the run; made where it is missing.
        say: prints a line.

    Raises:
        LaunchError: there is no such job, or what it left cannot be fetched or is damaged.
        OutputError: the directory cannot be written.
    """
    description = backend.describe_training_job(name)
    if description is None:
        raise unknown("training job", name)
    status = description["TrainingJobStatus"]
    if status not in ENDED:
        raise LaunchError(
            f"{name} has not ended: {status}", "a job that has", f"python -m launch.jobs logs {name} --follow"
        )
    temporary = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    run = temporary / "run"
    with writing(directory):
        try:
            run.mkdir(parents=True)
            missing = [
                file for file, into in _places(description) if not _bring(backend, description, file, run / into)
            ]
            _save_log(backend, description, run / LOG)
            _save_description(description, run / DESCRIPTION)
            _move_into(run, directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if missing:
        say(f"{name} ({status}) left no {' and no '.join(missing)}; {LOG} tells how far it came")
    return directory


def is_sweep(description: Mapping[str, Any]) -> bool:
    """Whether the job runs a whole sweep."""
    return SWEEPER in description.get("HyperParameters", {})


def timed(line: LogLine) -> Iterator[str]:
    """The line with its time before it, in UTC, as dogbreed.health.jobs.log reads it.

    >>> list(timed(LogLine(1700000000.25, "epoch=0 val/acc=0.5")))
    ['2023-11-14T22:13:20.250Z epoch=0 val/acc=0.5']
    """
    moment = datetime.fromtimestamp(line.time, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # A bar that is rewritten in place is many lines to whoever reads the file.
    for text in line.text.splitlines() or [""]:
        yield f"{moment} {text}"


def all_lines(backend: Backend, name: str) -> Iterator[LogLine]:
    """Everything that a job has printed until now."""
    position = None
    while True:
        lines, position = backend.log_lines(name, position)
        if not lines:
            return
        yield from lines


def as_json(description: Mapping[str, Any]) -> str:
    """A description as the `aws` command prints it: times in ISO, in UTC."""
    return json.dumps(description, indent=2, ensure_ascii=False, default=_iso) + "\n"


def _places(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each archive and where in the run's directory it belongs."""
    return [(_OUTPUT, ""), (_MODEL, _OF_A_SWEEP if is_sweep(description) else _ARTIFACT)]


def _bring(backend: Backend, description: Mapping[str, Any], file: str, folder: Path) -> bool:
    """Fetch an archive and unpack it into `folder`; False where there is none, or nothing in it."""
    uri = output_uri(description, file)
    if not any(stored.uri == uri for stored in backend.store.files(uri)):
        return False
    archive = folder.with_name(f".{uuid.uuid4().hex}.{file}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    backend.store.get(uri, archive)
    try:
        return _unpack(archive, folder) > 0
    except _DAMAGE as error:
        raise LaunchError(
            f"{uri} is damaged: {error}", "an archive as SageMaker writes it", "fetch it again"
        ) from error
    finally:
        archive.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path) -> int:
    """Write the archive's files below `folder`; how many there were.

    Only files are made, never links, devices or owners: a link becomes a copy of what it points to in the archive. So
    nothing can lead out of `folder`, on every Python; tarfile's own filters are not in the early 3.10.
    """
    count = 0
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            if member.isdir():
                continue
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.islnk() or member.issym()):
                raise tarfile.TarError(f"{member.name} is no file below it")
            content = _content(members, member)
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, open(target, "wb") as file:
                shutil.copyfileobj(content, file)
            count += 1
    return count


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    try:
        content = members.extractfile(member)
    except (KeyError, RecursionError):
        content = None
    if content is None:
        raise tarfile.TarError(f"{member.name} is a link to what is no file in it")
    return content


def _save_log(backend: Backend, description: Mapping[str, Any], path: Path) -> None:
    """Write what the job printed, and between it, as AWS's SDK does, how its status went."""
    told = heapq.merge(
        ((line.time, text) for line in all_lines(backend, description["TrainingJobName"]) for text in timed(line)),
        ((time, text) for time, text in _statuses(description)),
        key=lambda entry: entry[0],
    )
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(f"{text}\n" for _, text in told)
        for kind in ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses"):
            for rule in description.get(kind, []):
                file.write(f"{rule['RuleConfigurationName']}: {rule['RuleEvaluationStatus']}\n")
        instances = description["ResourceConfig"].get("InstanceCount", 1)
        for word, key in (("Training", "TrainingTimeInSeconds"), ("Billable", "BillableTimeInSeconds")):
            if key in description:
                file.write(f"{word} seconds: {description[key] * instances}\n")


def _statuses(description: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for entry in description.get("SecondaryStatusTransitions", []):
        start = entry["StartTime"].astimezone(timezone.utc)
        yield start.timestamp(), f"{start:%Y-%m-%d %H:%M:%S} {entry['Status']} - {entry.get('StatusMessage', '')}"


def _save_description(description: Mapping[str, Any], path: Path) -> None:
    path.write_text(as_json(description), encoding="utf-8")


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    raise TypeError(f"{type(value).__name__} in a description")


def _move_into(folder: Path, directory: Path) -> None:
    """Move every file of `folder` to its place in `directory`, the description last."""
    last = folder / DESCRIPTION
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path == last)
    for path in files:
        target = directory / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
