"""The phases of a SageMaker job and its bill, from its log and its description.

What the words mean:

- A *phase* lasts from one status of the job to the next. The SDK asks every 30 s and prints the time of the job's
  last change, so phases read off its log are right to about half a minute; describe-training-job is exact, but
  knows only one phase for each status.
- The *bill* is a stretch of time: from TrainingStartTime to TrainingEndTime where the description is there; else it
  ends with the job and is as long as "Training seconds". The instances are not billed while they are being prepared.
- *Billed* of a phase is what of it lies within that stretch: a phase under way when the bill begins counts in part.
- *Before the first step* is billed time too: from the start of the bill to the first training step. Downloads, the
  start of the container and the script's own set-up are all in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dogbreed.health.jobs.log import JobLog, Transition, moment

#: The phases that the advice speaks of.
DATA, IMAGE, BOTH = "downloading the data", "downloading the image", "downloading data and image"
SET_UP, TRAINING, UNDIVIDED = "set-up of the script", "training", "set-up and training"
#: Names by status, and by the beginning of the message where one status covers several.
_NAMES = (
    ("Starting", "Preparing", "preparing the instances"),
    ("Starting", "Launching", "launching the instances"),
    ("Starting", "", "starting"),
    ("Downloading", "Downloading the training image", IMAGE),
    ("Downloading", "", DATA),
    ("Training", "Downloading the training image", IMAGE),
    ("Training", "", UNDIVIDED),
    ("Uploading", "", "uploading the model"),
)
_LATEST = 4e9  # seconds since 1970: what is larger counts milliseconds, or nothing


@dataclass(frozen=True)
class JobPhase:
    """A part of the job.

    Attributes:
        name: what was done.
        start: seconds since 1970.
        seconds: how long; None where that is not known.
        billed: how much of it was billed, in seconds; None where that is not known.
    """

    name: str
    start: float
    seconds: float | None
    billed: float | None = None


@dataclass(frozen=True)
class Bill:
    """The stretch of time that was billed, on each instance.

    Attributes:
        start, end: seconds since 1970.
        source: how they are known.
        charged: seconds that were charged, over all instances; None where that is not known. Less than the stretch
            where spot instances were used, more where there were several.
    """

    start: float
    end: float
    source: str
    charged: float | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def within(self, start: float, end: float) -> float:
        """Seconds of the bill between two times."""
        return max(0.0, min(end, self.end) - max(start, self.start))


def find_transitions(log: JobLog, description: Mapping[str, Any]) -> list[Transition]:
    """The job's statuses in their order: the log's where they tell more, else the description's."""
    described = list(_described(description))
    # A log that was printed after the end has one time on all its lines, and so no phases.
    told = log.transitions if len({one.time for one in log.transitions}) > 1 else []
    chosen = told if len(told) > len(described) else described or log.transitions[-1:]
    started = log.container_start
    for i, (now, after) in enumerate(pairwise(chosen)):
        # The SDK may sleep through the end of the image's download; the container's first words tell of it.
        missed = _name(now) == IMAGE and after.status not in ("Downloading", "Training")
        if missed and started is not None and now.time < started < after.time:
            return [*chosen[: i + 1], Transition(started, "Training", "the container started"), *chosen[i + 1 :]]
    return chosen


def find_bill(log: JobLog, description: Mapping[str, Any], transitions: Sequence[Transition]) -> Bill | None:
    """When the billed time was; None where nothing tells."""
    start, end = when(description.get("TrainingStartTime")), when(description.get("TrainingEndTime"))
    resources, charged = description.get("ResourceConfig"), description.get("BillableTimeInSeconds")
    instances = resources.get("InstanceCount") if isinstance(resources, dict) else None
    if isinstance(charged, int | float):
        charged = charged * (instances if isinstance(instances, int) else 1)
    else:
        charged = log.billable_s
    if start is not None and end is not None and end >= start:
        return Bill(start, end, "the job's description", charged)
    ended = transitions[-1].time if transitions and transitions[-1].final else None
    first = next((one.time for one in transitions if one.status == "Downloading"), None)
    seconds = log.training_s
    if ended is not None and seconds is not None:
        if first is not None and ended - seconds < transitions[0].time:
            return Bill(first, ended, "the log: more seconds than passed, so for several instances", charged)
        return Bill(ended - seconds, ended, 'the "Training seconds" of the log, counted back from its end', charged)
    if first is None:
        return None
    last = ended if ended is not None else log.last_time if log.last_time is not None else transitions[-1].time
    so_far = "" if ended is not None else ", so far"
    return Bill(first, max(first, last), f"the log, from the first download{so_far}: it names no seconds", charged)


def divide(transitions: Sequence[Transition], bill: Bill | None, first_step: float | None) -> Iterator[JobPhase]:
    """The phases, the script's own divided at the first step; neighbours of one name are one."""
    edges = [(_name(one), one.time) for one in transitions]
    if edges and not transitions[-1].final:
        edges.append(("", max(edges[-1][1], bill.end) if bill else edges[-1][1]))
    merged = [edge for i, edge in enumerate(edges) if i == 0 or edge[0] != edges[i - 1][0]]
    for (name, start), (_, end) in pairwise(merged):
        if name == UNDIVIDED and first_step is not None and first_step < end:
            if first_step > start:
                yield _phase(SET_UP, start, first_step, bill)
            yield _phase(TRAINING, max(start, first_step), end, bill)
        else:
            yield _phase(name, start, end, bill)


def when(value: Any) -> float | None:
    """Seconds since 1970 of a time in AWS's JSON: ISO text, or a number; None where it is neither."""
    if isinstance(value, str):
        return moment(value)
    return float(value) if isinstance(value, int | float) and 0 < value < _LATEST else None


def entries(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list `key` of AWS's JSON; none where there is no such list."""
    found = content.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _described(description: Mapping[str, Any]) -> Iterator[Transition]:
    for entry in entries(description, "SecondaryStatusTransitions"):
        time = when(entry.get("StartTime"))
        if time is not None:
            # Of a status that covers several phases the description keeps the last message alone.
            both = entry.get("Status") == "Downloading" and "image" in str(entry.get("StatusMessage"))
            yield Transition(time, str(entry.get("Status")), BOTH if both else "")


def _name(one: Transition) -> str:
    if one.message == BOTH:
        return BOTH
    named = (name for status, message, name in _NAMES if one.status == status and one.message.startswith(message))
    return next(named, "" if one.final else one.status.lower())


def _phase(name: str, start: float, end: float, bill: Bill | None) -> JobPhase:
    if end < start:
        return JobPhase(name, start, None)
    return JobPhase(name, start, end - start, bill.within(start, end) if bill else None)
