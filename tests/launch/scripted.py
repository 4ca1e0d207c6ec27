"""A backend (launch.backends.Backend) whose jobs follow a script: each look at one shows its next scene."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from launch.backends import LogLine, Store
from launch.errors import LaunchError
from launch.files.stores import FolderStore

#: When every script begins, in seconds since 1970.
START = 1_790_000_000.0
REGION = "us-east-1"
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
}


@dataclass(frozen=True)
class Scene:
    """What is there at one look.

    Attributes:
        description: the whole answer.
        lines: printed since the scene before.
        error: instead of the answer.
        interrupt: Ctrl-C is pressed while the question is asked.
    """

    description: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[LogLine] = ()
    error: LaunchError | None = None
    interrupt: bool = False


class ScriptedBackend:
    """Plays training jobs and tuning jobs scene by scene; the last scene stays.

    Args:
        directory: of the store.

    Attributes:
        asked: what was asked of which job, but to look at it.
        readings: how often a log was read.
    """

    note = ""

    def __init__(self, directory: Path) -> None:
        self.store: Store = FolderStore(directory)
        self.asked: list[tuple[str, str]] = []
        self.readings = 0
        self._scenes: dict[str, list[Scene]] = {}
        self._tuning: dict[str, list[Scene]] = {}
        self._trials: dict[str, list[list[dict[str, Any]]]] = {}
        self._lines: dict[str, list[LogLine]] = {}
        self._endings: dict[str, list[Scene]] = {}

    def play(self, name: str, *scenes: Scene, when_stopped: Sequence[Scene] = ()) -> None:
        """Let a training job be so; `when_stopped` comes once it is asked to stop."""
        self._scenes[name], self._lines[name], self._endings[name] = list(scenes), [], list(when_stopped)

    def play_tuning(self, name: str, *scenes: tuple[Scene, list[dict[str, Any]]]) -> None:
        """Let a tuning job be so, and have these trials."""
        self._tuning[name] = [scene for scene, _ in scenes]
        self._trials[name] = [trials for _, trials in scenes]

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """A script has no use for it."""
        raise LaunchError("a script", "jobs that are in it", "play it")

    create_tuning_job = create_training_job

    def describe_training_job(self, name: str) -> dict[str, Any] | None:
        """The next scene."""
        if name not in self._scenes:
            return None
        scene = _next(self._scenes[name])
        self._lines[name] += [line for line in scene.lines if line not in self._lines[name]]
        return _shown(scene)

    def stop_training_job(self, name: str) -> None:
        """Go on with the scenes of its end."""
        self.asked.append(("stop", name))
        self._scenes[name] = self._endings[name] or self._scenes[name]

    def list_training_jobs(self, tags: Mapping[str, str], limit: int, named: str = "") -> list[dict[str, Any]]:
        """The scene that each job is in."""
        shown = [dict(scenes[0].description) for name, scenes in self._scenes.items() if named in name]
        wanted = [one for one in shown if tags.items() <= {tag["Key"]: tag["Value"] for tag in one["Tags"]}.items()]
        return sorted(wanted, key=lambda one: one["CreationTime"], reverse=True)[:limit]

    def describe_tuning_job(self, name: str) -> dict[str, Any] | None:
        """The next scene."""
        return _shown(_next(self._tuning[name])) if name in self._tuning else None

    def list_tuning_jobs(self, limit: int, named: str = "") -> list[dict[str, Any]]:
        """The scene that each tuning job is in."""
        shown = [
            {**scenes[0].description, "HyperParameterTuningJobName": name}
            for name, scenes in self._tuning.items()
            if named in name
        ]
        return sorted(shown, key=lambda one: one["CreationTime"], reverse=True)[:limit]

    def stop_tuning_job(self, name: str) -> None:
        """Remember that it was asked."""
        self.asked.append(("stop", name))

    def list_trials(self, tuning_job: str) -> list[dict[str, Any]]:
        """Those of the scene."""
        trials = self._trials[tuning_job]
        return trials.pop(0) if len(trials) > 1 else trials[0]

    def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
        """Those of all scenes so far; the position is their number."""
        self.readings += 1
        lines = self._lines[job]
        return lines[int(position or 0) :], str(len(lines))


def _next(scenes: list[Scene]) -> Scene:
    return scenes.pop(0) if len(scenes) > 1 else scenes[0]


def _shown(scene: Scene) -> dict[str, Any]:
    if scene.interrupt:
        signal.raise_signal(signal.SIGINT)
    if scene.error is not None:
        raise scene.error
    return dict(scene.description)


def at(seconds: float) -> datetime:
    """A moment of the script, as boto3 gives times."""
    return datetime.fromtimestamp(START + seconds, timezone.utc)


def printed(seconds: float, text: str) -> LogLine:
    """A line of the log."""
    return LogLine(START + seconds, text)


def describe(name: str, *statuses: tuple[str, float], **more: Any) -> dict[str, Any]:
    """What DescribeTrainingJob says of a job on one ml.g5.xlarge.

    Args:
        name: of the job.
        statuses: secondary status and when it began, in seconds of the script; the last one is the job's. It is billed
            from its first download on.
        more: other members of the answer.
    """
    entries: list[dict[str, Any]] = []
    for status, seconds in statuses:
        if entries:
            entries[-1]["EndTime"] = at(seconds)
        entries.append({"Status": status, "StartTime": at(seconds), "StatusMessage": _MESSAGES[status]})
    last, end = statuses[-1]
    ended = last in ("Completed", "Failed", "Stopped")
    begun = next((seconds for status, seconds in statuses if status == "Downloading"), None)
    times: dict[str, Any] = {} if begun is None else {"TrainingStartTime": at(begun)}
    if ended and begun is not None:
        spent = int(end - begun)
        times |= {"TrainingEndTime": at(end), "TrainingTimeInSeconds": spent, "BillableTimeInSeconds": spent}
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:123456789012:training-job/{name}",
        "TrainingJobStatus": last if ended or last == "Stopping" else "InProgress",
        "SecondaryStatus": last,
        "SecondaryStatusTransitions": entries,
        "CreationTime": at(statuses[0][1]),
        "LastModifiedTime": at(end),
        "HyperParameters": {"backbone": '"resnet18"', "optimizer.lr": "0.5"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/dogbreed/jobs"},
        "Tags": [],
        **times,
        **more,
    }


#: How a job that goes well goes.
STEPS = (("Starting", 0.0), ("Downloading", 60.0), ("Training", 100.0), ("Uploading", 400.0), ("Completed", 420.0))


def scenes_of(name: str, **more: Any) -> list[Scene]:
    """A job that goes well, status by status, with two epochs."""
    lines = [
        printed(130, "reading 32 photographs"),
        printed(200, "epoch=0 step=4 train/loss=1.38629 val/loss=1.25000 val/acc=0.500000"),
        printed(300, "epoch=1 step=8 train/loss=0.693147 val/loss=0.750000 val/acc=0.812500"),
        printed(390, "best epoch: val/loss=0.750000 val/acc=0.812500 test/acc=0.750000"),
    ]
    return [
        Scene(describe(name, *STEPS[: i + 1], **more), lines if status == "Uploading" else ())
        for i, (status, _) in enumerate(STEPS)
    ]
