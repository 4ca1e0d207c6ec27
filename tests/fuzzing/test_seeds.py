"""What the fuzz campaigns found stays found: every seed ends right; and a short campaign finds nothing new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fuzzing.bases import make_photos
from tests.fuzzing.campaign import Campaign, draw_tasks, load, table
from tests.fuzzing.case import SHARES, Kind, make_kind, rng_of
from tests.fuzzing.kinds import pictures
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes
from tests.fuzzing.worker import Task, meet

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*.json"))
#: The others take seconds to load or to make what is damaged: a run, a sweep.
QUICK = ("pictures", "archives", "lists")
MARKED = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (not path.stem.startswith(QUICK))) for path in SEEDS
]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the undamaged things; what takes seconds to make is made by the kinds that need it."""
    folder = tmp_path_factory.mktemp("bases")
    make_photos(folder)
    return folder


@pytest.fixture(scope="session")
def kinds() -> dict[str, Kind]:
    """Kinds that have met a case here before."""
    return {}


@pytest.mark.parametrize("seed", MARKED)
def test_seed__ends_right(
    seed: Path,
    bases: Path,
    kinds: dict[str, Kind],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = load(seed)
    if task.kind not in kinds:
        kinds[task.kind] = make_kind(task.kind, bases, tmp_path_factory.mktemp(task.kind))
    monkeypatch.chdir(tmp_path_factory.mktemp("seed"))
    ended = meet(kinds[task.kind], task)
    assert ended.failure is None, ended.trace


def test_seeds__are_small() -> None:
    assert all(path.stat().st_size < 20_000 for path in SEEDS)


@pytest.mark.parametrize("name", QUICK)
def test_case__of_a_number_is_the_same_each_time(name: str, bases: Path, tmp_path: Path) -> None:
    kind = make_kind(name, bases, tmp_path)

    def make(number: int) -> Any:
        return kind.make(rng_of(0, name, number), number)

    assert [make(number) for number in range(20)] == [make(number) for number in range(20)]
    json.dumps([make(number) for number in range(20)])


def test_splices__lead_to_what_was_drawn() -> None:
    content = bytes(range(256))
    drawn = [splice(content, draw_splices(content, rng_of(0, "x", number), b"other")) for number in range(200)]
    assert len(set(drawn)) > 150


def test_change__drawn_changes_change_something() -> None:
    value = {"a": [1, 2, {"b": "c"}], "d": None}
    changed = [change(value, draw_changes(value, number)) for number in range(50)]
    assert sum(repr(one) != repr(value) for one in changed) > 35
    assert value == {"a": [1, 2, {"b": "c"}], "d": None}


def test_meet__finds_a_reader_that_lets_an_error_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(content: bytes) -> bool:
        raise KeyError("a field")

    kind = pictures.Cases(tmp_path, tmp_path)
    monkeypatch.setattr(pictures, "is_plain_jpeg", stumble)
    ended = meet(kind, Task("pictures", 0, 0))
    assert ended.failure is not None
    assert ended.failure.startswith("KeyError")


def test_meet__finds_a_result_that_is_not_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = pictures.Cases(tmp_path, tmp_path)
    monkeypatch.setattr(pictures, "picture_pixels", lambda content: 1)
    failures = {meet(kind, Task("pictures", 0, number)).failure for number in range(30)}
    assert "wrong: another size than it claims" in failures


@pytest.mark.slow
def test_campaign__a_short_one_finds_nothing(bases: Path, tmp_path: Path) -> None:
    chosen = [name for name in SHARES if name not in ("exports", "journals")]  # which take longer to make
    tasks = draw_tasks(250, 0, chosen)
    campaign = Campaign(bases, tmp_path, processes=1)
    campaign.run(tasks, seconds=float("inf"))
    assert not campaign.findings, "\n".join(table(campaign)) + "".join(
        finding.trace for finding in campaign.findings.values()
    )
    assert sum(sum(tally.outcomes.values()) for tally in campaign.tallies.values()) == len(tasks)
