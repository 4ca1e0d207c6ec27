"""Which job is meant."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from dogbreed.errors import did_you_mean
from launch.backends import Backend
from launch.errors import LaunchError
from launch.views.telling import unknown

TRAINING, TUNING = "training job", "tuning job"
#: A part of a name is looked for among so many jobs, the newest.
_LOOKED_AT = 100
#: Source: the API reference of Amazon SageMaker, TrainingJobName and HyperParameterTuningJobName.
_NAME, _LONGEST_TUNING_JOB = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"), 32


class Found(NamedTuple):
    """A job that was named.

    Attributes:
        kind: "training job" or "tuning job".
        name: the whole.
        description: what AWS says of it.
    """

    kind: str
    name: str
    description: dict[str, Any]


def find_job(backend: Backend, named: str) -> Found:
    """The job of this name, or whose name alone has this part; a tuning job stands for its trials.

    Raises:
        LaunchError: there is none, or there are several.
    """
    if _NAME.fullmatch(named):
        found = _exactly(backend, named)
        if found is not None:
            return found
    jobs = backend.list_training_jobs({}, _LOOKED_AT)
    trials = {job["TrainingJobName"]: _tuning_job_of(job) for job in jobs}
    known = dict.fromkeys(name for pair in trials.items() for name in pair if name)
    near = [name for name in known if named in name]
    near = [name for name in near if trials.get(name) not in near]
    if len(near) > 1:
        raise LaunchError(
            f"{named} is in {len(near)} names: {', '.join(near[:10])}", "a part of one alone", "name more of it"
        )
    found = _exactly(backend, near[0]) if near else None
    if found is None:
        raise unknown("job", f"{named}{did_you_mean(named, known)}")
    return found


def _exactly(backend: Backend, name: str) -> Found | None:
    job = backend.describe_training_job(name)
    if job is not None:
        return Found(TRAINING, name, job)
    tuning_job = backend.describe_tuning_job(name) if len(name) <= _LONGEST_TUNING_JOB else None
    return None if tuning_job is None else Found(TUNING, name, tuning_job)


def _tuning_job_of(description: dict[str, Any]) -> str | None:
    arn = description.get("TuningJobArn")
    return str(arn).rpartition("/")[2] if arn else None
