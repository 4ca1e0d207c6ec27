"""Where jobs run: Amazon SageMaker, or processes on this machine laid out as its container is.

Both take the same requests and answer in the same words, those of SageMaker's API, so that everything above them is
written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class LogLine(NamedTuple):
    """A line that a job printed.

    Attributes:
        time: when, in seconds since 1970.
        text: without the line break.
    """

    time: float
    text: str


class StoredFile(NamedTuple):
    """A file in a store.

    Attributes:
        uri: s3://BUCKET/KEY.
        size: in bytes.
    """

    uri: str
    size: int


class Store(Protocol):
    """Files by s3:// URI.

    Every method raises a LaunchError where the store cannot be reached or refuses.
    """

    def put(self, uri: str, path: Path) -> None:
        """Store a file; it is whole or not there."""

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Store a small file from memory."""

    def get(self, uri: str, path: Path) -> None:
        """Fetch a file to `path`, whole or not at all; a LaunchError where there is none."""

    def get_bytes(self, uri: str) -> bytes | None:
        """The content of a small file; None where there is none."""

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """Every file whose URI starts with `prefix`, in the order of their URIs."""

    def copy(self, source: str, target: str) -> None:
        """Store under `target` what is stored under `source`, without sending it; of at most 5 GB."""

    def holds(self, uri: str, path: Path) -> bool:
        """Whether what is stored is the very content of the file `path`; False where that cannot be told."""

    def remove(self, uri: str) -> None:
        """Take a file away; nothing where there is none."""


class Backend(Protocol):
    """Where jobs run.

    Requests and descriptions are those of SageMaker's API: what boto3's client takes and returns, times as
    timezone-aware datetimes. Every method raises a LaunchError, in one clear line, where AWS or the network refuses.
    """

    store: Store
    #: What a user must know of jobs that run here; empty for nothing.
    note: str

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """Start a job (CreateTrainingJob).

        Returns well, too, where a job of this name and these tags runs already: the answer to an earlier try was lost.
        """

    def describe_training_job(self, name: str) -> dict[str, Any] | None:
        """DescribeTrainingJob with its Tags beside it; None where there is no such job."""

    def stop_training_job(self, name: str) -> None:
        """Ask a job to stop; nothing where it has ended."""

    def list_training_jobs(self, tags: Mapping[str, str], limit: int, named: str = "") -> list[dict[str, Any]]:
        """Descriptions (as above) of jobs that carry all these tags, the newest first.

        Args:
            tags: by name.
            limit: how many of them at most.
            named: a part of their names.
        """

    def create_tuning_job(self, request: Mapping[str, Any]) -> None:
        """Start a tuning job (CreateHyperParameterTuningJob); returns well where it runs already, as above."""

    def describe_tuning_job(self, name: str) -> dict[str, Any] | None:
        """DescribeHyperParameterTuningJob with its Tags beside it; None where there is no such job."""

    def stop_tuning_job(self, name: str) -> None:
        """Ask a tuning job and its jobs to stop; nothing where it has ended."""

    def list_tuning_jobs(self, limit: int, named: str = "") -> list[dict[str, Any]]:
        """HyperParameterTuningJobSummary entries of tuning jobs with this part in their names, the newest first."""

    def list_trials(self, tuning_job: str) -> list[dict[str, Any]]:
        """Its HyperParameterTrainingJobSummary entries, all of them, in the order of their creation."""

    def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
        """What a training job printed since `position`, and the position to ask from the next time."""
