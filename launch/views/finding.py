"""Which job is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    trials = _names(backend, named)
    near = [name for name, tuning_job in trials.items() if tuning_job not in trials]
    if len(near) > 1:
        raise LaunchError(
            f"{named} is in {len(near)} names: {', '.join(near[:10])}", "a part of one alone", "name more of it"
        )
    found = _exactly(backend, near[0]) if near else None
    if found is None:
        raise unknown("job", f"{named}{did_you_mean(named, list(_names(backend)))}")
    return found


def find_tuning_job(backend: Backend, name: str) -> dict[str, Any] | None:
    """The tuning job of this very name; None where there is none."""
    is_a_name = _NAME.fullmatch(name) and len(name) <= _LONGEST_TUNING_JOB
    return backend.describe_tuning_job(name) if is_a_name else None


def tuning_job_of(description: Mapping[str, Any]) -> str:
    """The name of the tuning job that a training job is a trial of; empty for one that is none.

    >>> tuning_job_of({"TuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/lr"})
    'lr'
    """
    return str(description.get("TuningJobArn") or "").rpartition("/")[2]


def _names(backend: Backend, named: str = "") -> dict[str, str]:
    """The newest jobs with this part in their names, of both kinds -> the tuning jobs whose trials they are."""
    jobs = backend.list_training_jobs({}, _LOOKED_AT, named)
    tuning_jobs = backend.list_tuning_jobs(_LOOKED_AT, named)
    names = {job["HyperParameterTuningJobName"]: "" for job in tuning_jobs}
    return names | {job["TrainingJobName"]: tuning_job_of(job) for job in jobs}


def _exactly(backend: Backend, name: str) -> Found | None:
    job = backend.describe_training_job(name)
    if job is not None:
        return Found(TRAINING, name, job)
    tuning_job = find_tuning_job(backend, name)
    return None if tuning_job is None else Found(TUNING, name, tuning_job)
