"""What the rules saw, kept in the run's directory to be judged again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dogbreed.errors import DataError
from dogbreed.files import write_text, writing
from dogbreed.health.samples import VERSION, Event, Facts, Measure, Sample, from_json, to_json

SAMPLES = "samples.jsonl"


@dataclass
class Recording:
    """A recording that was read.

    Attributes:
        facts: of the run.
        measure: how its tensors were measured.
        events: in their order.
        damaged: lines that could not be read: a run that was killed leaves half a line at the end.
    """

    facts: Facts
    measure: Measure
    events: list[Event]
    damaged: int = 0


def record(path: Path, *events: Event | Facts | Measure) -> None:
    """Append events to the recording, a line each; a kill costs the last line at most.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    lines = [to_json(event) + "\n" for event in events]
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.writelines(lines)


def read_recording(path: Path) -> Recording:
    """What `record` wrote, as far as it is whole.

    Raises:
        DataError: there is no such file, or none of its lines is a recording's.
    """
    recording = Recording(Facts(), Measure(), [])
    read = 0
    for entry in _lines(path):
        if entry is None:
            recording.damaged += 1
            continue
        read += 1
        if isinstance(entry, Facts):
            recording.facts = entry
        elif isinstance(entry, Measure):
            recording.measure = entry
        else:
            recording.events.append(entry)
    if recording.measure.version != VERSION:
        raise DataError(
            f"{path} was recorded by another version of dogbreed ({recording.measure.version}, this one: {VERSION})",
            "a recording of this version",
            "replay it with the version that is named in run.json, or train again",
        )
    if not read:
        raise DataError(
            f"{path} holds no recording of this version" if recording.damaged else f"{path} is empty",
            f"{SAMPLES} as a run wrote it",
            "name a run's directory; or train again with this version",
        )
    return recording


def keep_until(path: Path, step: int, facts: Facts, measure: Measure) -> list[Event]:
    """What was recorded before optimiser step `step`, for a run that continues there; the file then holds just that.

    A run that begins, or whose recording is damaged, of another version or measured in another way, begins it anew.

    Args:
        path: of the recording.
        step: from which on the run sees everything again.
        facts: of the run as it is now.
        measure: how its tensors are measured now.

    Raises:
        OutputError: it cannot be written.
    """
    kept: list[Event] = []
    if step:
        with suppress(DataError):  # what only explains a run must not keep it from going on
            recording = read_recording(path)
            if recording.measure == measure:
                kept = [event for event in recording.events if not isinstance(event, Sample) or _precedes(event, step)]
    write_text(path, "".join(to_json(event) + "\n" for event in (facts, measure, *kept)))
    return kept


def _precedes(sample: Sample, step: int) -> bool:
    return sample.step < step if sample.mode == "TRAIN" else sample.step <= step


def _lines(path: Path) -> Iterator[Event | Facts | Measure | None]:
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "the recording of a run", "name a run's directory"
        ) from error
    for line in content.splitlines():
        try:
            yield from_json(line)
        except (ValueError, KeyError, TypeError):
            yield None
