"""Jobs on this machine: SageMaker's requests and answers, a process in the place of a container."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dogbreed.errors import did_you_mean
from launch.backends import LogLine, Store
from launch.errors import LaunchError
from launch.files.stores import FolderStore
from launch.names import LAUNCH_TAG
from launch.process.describing import (
    describe_training,
    describe_tuning,
    summarize_tuning,
    training_state,
    tuning_state,
)
from launch.process.folders import (
    GRACE,
    INTERRUPT,
    JOBS,
    STOP,
    STORE,
    SUPERVISOR,
    TRIALS,
    TUNER,
    TUNING_JOB,
    TUNINGS,
    Folder,
    State,
    begin,
)
from launch.process.logs import read_lines
from launch.process.proposing import make_proposals
from launch.process.status import ENDED, IN_PROGRESS, first_state, now
from launch.process.tuner import parents_of, trials_of

#: Seconds between SIGTERM and SIGKILL, at SageMaker.
GRACE_S = 120.0
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # of a job, in the API reference


class ProcessBackend:
    """Runs jobs on this machine, for rehearsal and for tests (launch.backends.Backend).

    A job is a process of its own that outlives this one. Training jobs run as soon as they are created, as many at
    once as there are; the trials of a tuning job one after the other.

    Args:
        directory: of the jobs and their files.
        grace_s: seconds that a job has between SIGTERM and SIGKILL.
    """

    note = "a rehearsal on this machine: nothing runs at AWS, nothing is billed"

    def __init__(self, directory: Path, grace_s: float = GRACE_S) -> None:
        directory = directory.absolute()
        self._jobs, self._tuning = directory / JOBS, directory / TUNINGS
        self._options: dict[str, Any] = {GRACE: grace_s, STORE: str(directory / "store"), TUNING_JOB: None}
        self.store: Store = FolderStore(directory / "store")

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """Start a job.

        Raises:
            LaunchError: the name is taken or none.
        """
        for definition in request["AlgorithmSpecification"].get("MetricDefinitions", []):
            _check_regex(definition)
        self._create(self._jobs, request["TrainingJobName"], request, first_state(), SUPERVISOR)

    def describe_training_job(self, name: str) -> dict[str, Any] | None:
        """What SageMaker would say of the job; None where there is none."""
        folder = Folder(self._jobs / name)
        return describe_training(folder) if folder.exists else None

    def stop_training_job(self, name: str) -> None:
        """Ask a job to stop; nothing where it has ended.

        Raises:
            LaunchError: there is none of this name.
        """
        folder = self._existing(self._jobs, name)
        if training_state(folder)["TrainingJobStatus"] not in ENDED:
            folder.ask(STOP)

    def interrupt(self, name: str) -> None:
        """Take the spot instance away from a job, which goes on from its checkpoints on another one.

        Raises:
            LaunchError: there is none of this name, it has no spot instance, or it is not training.
        """
        folder = self._existing(self._jobs, name)
        if not folder.request.get("EnableManagedSpotTraining"):
            raise LaunchError(f"{name} runs on demand", "a job on a spot instance", "start it with sagemaker/job=spot")
        status = training_state(folder)["SecondaryStatus"]
        if status != "Training":
            raise LaunchError(f"{name} is not training: {status}", "a job that is training", "wait, or start another")
        folder.ask(INTERRUPT)

    def list_training_jobs(self, tags: Mapping[str, str], limit: int, named: str = "") -> list[dict[str, Any]]:
        """Descriptions of the jobs that carry all these tags and have this part in their names, the newest first."""
        near = [folder for folder in _folders(self._jobs) if named in folder.name]
        wanted = [folder for folder in near if tags.items() <= _tags(folder.request).items()]
        return [describe_training(folder) for folder in _newest(wanted)[:limit]]

    def create_tuning_job(self, request: Mapping[str, Any]) -> None:
        """Start a tuning job.

        Raises:
            LaunchError: the name is taken or none, or there is no such tuning job to learn from.
            ConfigError: what cannot be rehearsed here, or Optuna is missing.
        """
        for definition in request["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions", []):
            _check_regex(definition)
        make_proposals(request["HyperParameterTuningJobConfig"])
        for parent in parents_of(request):
            self._existing(self._tuning, parent)
        moment = now()
        state = {
            "HyperParameterTuningJobStatus": IN_PROGRESS,
            "CreationTime": moment,
            "LastModifiedTime": moment,
            TRIALS: [],
        }
        self._create(self._tuning, request["HyperParameterTuningJobName"], request, state, TUNER)

    def describe_tuning_job(self, name: str) -> dict[str, Any] | None:
        """What SageMaker would say of the tuning job; None where there is none."""
        folder = Folder(self._tuning / name)
        return describe_tuning(folder, self.list_trials(name)) if folder.exists else None

    def stop_tuning_job(self, name: str) -> None:
        """Ask a tuning job and its jobs to stop; nothing where it has ended.

        Raises:
            LaunchError: there is none of this name.
        """
        folder = self._existing(self._tuning, name)
        if tuning_state(folder)["HyperParameterTuningJobStatus"] not in ENDED:
            folder.ask(STOP)

    def list_tuning_jobs(self, limit: int, named: str = "") -> list[dict[str, Any]]:
        """HyperParameterTuningJobSummary entries of tuning jobs with this part in their names, the newest first."""
        near = [folder for folder in _folders(self._tuning) if named in folder.name]
        return [summarize_tuning(describe_tuning(one, trials_of(one))) for one in _newest(near)[:limit]]

    def list_trials(self, tuning_job: str) -> list[dict[str, Any]]:
        """Its HyperParameterTrainingJobSummary entries, in the order of their creation.

        Raises:
            LaunchError: there is no such tuning job.
        """
        return trials_of(self._existing(self._tuning, tuning_job))

    def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
        """What a training job printed since `position`, and the position to ask from the next time: bytes, as text."""
        return read_lines(Folder(self._jobs / job).log, position)

    def _create(self, where: Path, name: str, request: Mapping[str, Any], state: State, attendant: str) -> None:
        if not _NAME.fullmatch(name):
            raise LaunchError(
                f"the name {name}", "letters and digits, - between them, at most 63", "choose another name"
            )
        if begin(where / name, request, self._options, state, attendant) is None:
            ours, theirs = _tags(request).get(LAUNCH_TAG), _tags(Folder(where / name).request).get(LAUNCH_TAG)
            if ours is None or ours != theirs:
                raise LaunchError(f"the name {name} is taken", "a name of its own for each job", "choose another name")
            return

    def _existing(self, where: Path, name: str) -> Folder:
        folder = Folder(where / name)
        if not folder.exists:
            near = did_you_mean(name, [known.name for known in _folders(where)])
            raise LaunchError(
                f"there is no job {name}{near}",
                "one that was started here",
                "python -m launch.jobs list --backend process",
            )
        return folder


def _folders(where: Path) -> Iterator[Folder]:
    for path in where.glob("[!.]*"):
        folder = Folder(path)
        if folder.exists:
            yield folder


def _newest(folders: Iterable[Folder]) -> list[Folder]:
    return sorted(folders, key=lambda folder: folder.state["CreationTime"], reverse=True)


def _tags(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def _check_regex(definition: Mapping[str, str]) -> None:
    try:
        groups = re.compile(definition["Regex"]).groups
    except re.error as error:
        raise LaunchError(
            f"the pattern of {definition['Name']}: {error}", "a regular expression", f"correct {definition['Regex']}"
        ) from error
    if not groups:
        raise LaunchError(
            f"the pattern of {definition['Name']} has no group",
            "one that takes the value",
            f"correct {definition['Regex']}",
        )
