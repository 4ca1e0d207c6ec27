"""Which jobs a list is about: those of a name or of tags, the newest, or all trials of one tuning job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table

from dogbreed.tables import print_table
from launch.backends import Backend
from launch.views.describing import COLUMNS, Description, Summary, tags_of
from launch.views.finding import find_tuning_job, tuning_job_of
from launch.views.telling import age, duration
from launch.views.tuning_view import COUNTERS

#: How many there are, unless more are asked for.
MOST = 20
#: By their tags tuning jobs are chosen among so many, the newest: AWS lists them by their names alone.
_LOOKED_AT = 100

_TUNING_COLUMNS = ("tuning job", "status", "age", "trials")


class Listed(NamedTuple):
    """What a list is about.

    Attributes:
        jobs: descriptions of training jobs, the newest first.
        tuning_jobs: likewise, or summaries.
        left_out: what is missing, in sentences.
    """

    jobs: list[Description]
    tuning_jobs: list[Description]
    left_out: list[str]


def find_jobs(backend: Backend, named: str, tags: Mapping[str, str], limit: int | None) -> Listed:
    """The jobs with this part in their names, and these tags; of a tuning job's whole name, its trials.

    Args:
        backend: where they run.
        named: a part of their names; empty for all.
        tags: that they carry.
        limit: how many at most; None for MOST, and for all trials of a tuning job.
    """
    tuning_job = find_tuning_job(backend, named)
    if tuning_job is not None:
        return _trials_of(backend, named, tuning_job, tags, limit)
    most = limit or MOST
    jobs: list[Description] = [*backend.list_training_jobs(tags, most + 1, named)]
    looked_at = _LOOKED_AT if tags else most + 1
    tuning_jobs: list[Description] = [*backend.list_tuning_jobs(looked_at, named)]
    if tags:
        of_jobs = {tuning_job_of(job) for job in jobs}
        tuning_jobs = [one for one in tuning_jobs if _name(one) in of_jobs or _carries(backend, one, tags)]
    left_out = [*_cut("training jobs", jobs, most), *_cut("tuning jobs", tuning_jobs, most)]
    return Listed(jobs[:most], tuning_jobs[:most], left_out)


def print_jobs(jobs: Sequence[Summary], tuning_jobs: Sequence[Description]) -> None:
    """Print a table of training jobs, and one of tuning jobs."""
    tables = [
        (COLUMNS, [one.cells for one in jobs]),
        (_TUNING_COLUMNS, [_cells(one) for one in tuning_jobs]),
    ]
    for columns, rows in tables:
        if rows:
            table = Table(*columns, box=None)
            for row in rows:
                table.add_row(*row)
            print_table(table)


def _cells(tuning_job: Description) -> tuple[str, ...]:
    """For a table; see _TUNING_COLUMNS."""
    counted = _counted(tuning_job)
    told = ", ".join(f"{number} {status}" for status, number in counted.items() if number)
    return _name(tuning_job), _status(tuning_job), duration(age(tuning_job)), told or "none yet"


def tuning_to_dict(tuning_job: Description) -> dict[str, object]:
    """For JSON."""
    return {
        "name": _name(tuning_job),
        "status": _status(tuning_job),
        "age_s": round(age(tuning_job)),
        "trials": _counted(tuning_job),
    }


def _trials_of(
    backend: Backend, name: str, description: Description, tags: Mapping[str, str], limit: int | None
) -> Listed:
    names = [trial["TrainingJobName"] for trial in reversed(backend.list_trials(name))]
    # A hundred descriptions at once, where a trial is called after its tuning job; the others one by one.
    found = backend.list_training_jobs({}, len(names), f"{name}-") if names else []
    known = {job["TrainingJobName"]: job for job in found}
    looked_up = [known.get(trial) or backend.describe_training_job(trial) for trial in names]
    there = [job for job in looked_up if job is not None]
    gone = [f"{len(names) - len(there)} trials of {name} have been deleted"] if len(there) < len(names) else []
    jobs: list[Description] = [job for job in there if tags.items() <= tags_of(job).items()]
    most = limit or len(jobs)
    is_like_that = bool(jobs) or tags.items() <= tags_of(description).items()
    return Listed(jobs[:most], [description] if is_like_that else [], gone + _cut(f"trials of {name}", jobs, most))


def _cut(what: str, jobs: Sequence[Description], most: int) -> list[str]:
    return [f"only the {most} newest {what}; there are more: --limit {2 * most}"] if len(jobs) > most else []


def _carries(backend: Backend, tuning_job: Description, tags: Mapping[str, str]) -> bool:
    """Whether it carries these tags: asked of one without trials only, as trials carry those of their tuning job."""
    if any(_counted(tuning_job).values()):
        return False
    return tags.items() <= tags_of(backend.describe_tuning_job(_name(tuning_job)) or {}).items()


def _counted(tuning_job: Description) -> dict[str, int]:
    """How many trials it has, by what became of them."""
    counters = tuning_job.get("TrainingJobStatusCounters", {})
    return {word: int(counters.get(key, 0)) for key, word in COUNTERS.items()}


def _name(tuning_job: Description) -> str:
    return str(tuning_job["HyperParameterTuningJobName"])


def _status(tuning_job: Description) -> str:
    return str(tuning_job["HyperParameterTuningJobStatus"])
