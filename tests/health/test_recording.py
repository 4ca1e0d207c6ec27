"""What is kept of a run to be judged again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed.errors import DataError
from dogbreed.health.recording import keep_until, read_recording, record
from dogbreed.health.samples import Event, Facts, Measure, PictureStats, Sample

FACTS = Facts({"optimizer.lr": 0.1}, num_classes=3)
EVENTS: list[Event] = [
    PictureStats(10, 0.1),
    Sample(0, "TRAIN", losses=((0, 1.0),)),
    Sample(4, "TRAIN", losses=((1, 0.9), (4, 0.8)), ends_epoch=True),
    Sample(5, "EVAL", losses=((0, 0.7),), ends_epoch=True),
    Sample(5, "TRAIN", losses=((5, 0.6),)),
    Sample(9, "TRAIN", losses=((9, 0.5),)),
    Sample(10, "EVAL", losses=((1, 0.4),), ends_epoch=True),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "samples.jsonl"
    record(file, FACTS, Measure(rtol=1e-3), *EVENTS)
    return file


def test_recording__comes_back(path: Path) -> None:
    recording = read_recording(path)
    assert recording.events == EVENTS
    assert recording.facts == FACTS
    assert recording.measure == Measure(rtol=1e-3)
    assert recording.damaged == 0


def test_recording__cut_by_a_kill_lacks_its_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    recording = read_recording(path)
    assert recording.events == EVENTS[:-1]
    assert recording.damaged == 1


def test_keep_until__forgets_what_is_done_again(path: Path) -> None:
    now = Facts({"optimizer.lr": 0.5}, num_classes=3)
    assert keep_until(path, 5, now, Measure(rtol=1e-3)) == EVENTS[:4]
    assert read_recording(path).events == EVENTS[:4]
    assert read_recording(path).facts == now


@pytest.mark.parametrize("content", [None, "", "{"])
def test_keep_until__of_nothing_that_can_be_read_begins_anew(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "samples.jsonl"
    if content is not None:
        path.write_text(content)
    assert keep_until(path, 5, FACTS, Measure()) == []
    assert read_recording(path).facts == FACTS


@pytest.mark.parametrize(("step", "rtol"), [(0, 1e-3), (5, 1e-4)])
def test_keep_until__a_run_that_begins_or_measures_otherwise_begins_anew(path: Path, step: int, rtol: float) -> None:
    assert keep_until(path, step, FACTS, Measure(rtol=rtol)) == []
    assert read_recording(path).events == []


@pytest.mark.parametrize(
    "content", ["", "no JSON\n", '{"kind": "sample", "colour": 3}\n', '{"kind": "thing"}\n', "[1]\n"]
)
def test_recording__of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"samples\.jsonl"):
        read_recording(path)


def test_recording__of_another_version_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('"version":2', '"version":1'))
    with pytest.raises(DataError, match="another version of dogbreed"):
        read_recording(path)


def test_recording__missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_recording(tmp_path / "samples.jsonl")
