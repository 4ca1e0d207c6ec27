"""The story of a job in SageMaker's words: its statuses, and when it moved from one to the next."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

from launch.process.folders import Folder, State

IN_PROGRESS, STOPPING, STOPPED = "InProgress", "Stopping", "Stopped"
COMPLETED, FAILED = "Completed", "Failed"
ENDED = (COMPLETED, FAILED, STOPPED)

#: Secondary status -> status, and what is said of it; None: the status stays, for a job that stops uploads too.
#: Source of the statuses: DescribeTrainingJob in the API reference. AWS's own messages may change, as it says there.
_STEPS: dict[str, tuple[str | None, str]] = {
    "Starting": (IN_PROGRESS, "Starting the training job"),
    "Downloading": (IN_PROGRESS, "Downloading input data"),
    "Training": (IN_PROGRESS, "Training image download completed. Training in progress."),
    "Interrupted": (IN_PROGRESS, "The spot instance was taken away"),
    "Stopping": (STOPPING, "Stopping the training job"),
    "Uploading": (None, "Uploading generated training model"),
    "Completed": (COMPLETED, "Training job completed"),
    "Failed": (FAILED, "Training job failed"),
    "Stopped": (STOPPED, "Training job stopped"),
    "MaxRuntimeExceeded": (STOPPED, "Training job runtime exceeded MaxRuntimeInSeconds provided"),
    "MaxWaitTimeExceeded": (STOPPED, "Training job exceeded MaxWaitTimeInSeconds provided"),
}


def now() -> datetime:
    """The time, with its zone, as boto3 gives times."""
    return datetime.now(timezone.utc)


def first_state() -> State:
    """The state of a job that has just been asked for."""
    moment = now()
    return moved({"CreationTime": moment, "SecondaryStatusTransitions": []}, "Starting", moment)


def moved(state: State, secondary: str, moment: datetime, **more: Any) -> State:
    """The state one step on.

    Args:
        state: so far.
        secondary: the SecondaryStatus.
        moment: of the step.
        more: other members of DescribeTrainingJob's answer.
    """
    status, message = _STEPS[secondary]
    story = [dict(step) for step in state["SecondaryStatusTransitions"]]
    if story:
        story[-1].setdefault("EndTime", moment)
    step = {"Status": secondary, "StartTime": moment, "StatusMessage": message}
    ended = {"EndTime": moment} if status in ENDED else {}
    return {
        **state,
        "TrainingJobStatus": status or state["TrainingJobStatus"],
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": [*story, step | ended],
        "LastModifiedTime": moment,
        **(_times(state, moment) if ended else {}),
        **more,
    }


def failed(state: State, reason: str) -> State:
    """The state of a job that has failed now."""
    return moved(state, "Failed", now(), FailureReason=reason)


class Story:
    """The state of a job that is running, on disk after each step.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.state = folder.state

    def step(self, secondary: str, **more: Any) -> None:
        """Go on to the next status."""
        self.state = moved(self.state, secondary, now(), **more)
        self._folder.write_state(self.state)


def _times(state: State, moment: datetime) -> State:
    """How long it took, from the first moment on an instance; nothing where it never came so far."""
    if "TrainingStartTime" not in state:
        return {}
    seconds = math.ceil((moment - state["TrainingStartTime"]).total_seconds())
    return {"TrainingEndTime": moment, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
