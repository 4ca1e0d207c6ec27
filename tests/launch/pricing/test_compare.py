from __future__ import annotations

from dataclasses import replace

import pytest

from launch.pricing.assumptions import Assumptions, Span
from launch.pricing.compare import Way, compare, tell
from launch.pricing.estimate import Rent
from launch.pricing.minutes import Minutes
from launch.pricing.table import Price

ASSUMED = Assumptions.load()
RENT = Rent(Price("ml.g5.xlarge", "us-east-1", 1.5, "a source", "2026-11"), 1, 30, True, False, 0, 3600)
#: 4 to 8 min before the script, 1 to set it up, 10 for the features, 2 for the head.
MINUTES = Minutes(Span(4, 8), Span(13, 13), Span(10, 10), Span(2, 2), True, ())


def ways(minutes: Minutes = MINUTES, rent: Rent = RENT, backbones: int = 1) -> list[Way]:
    return compare(
        trials=20,
        parallel_jobs=4,
        parallel_tuning=2,
        early_stopping=False,
        backbones=backbones,
        minutes=minutes,
        rent=rent,
        assumptions=ASSUMED,
    )


def ends(span: Span | None) -> tuple[float, float]:
    assert span is not None
    return span.low, span.high


def test_compare__jobs_and_a_tuning_job_cost_the_same_and_the_fleet_a_fraction() -> None:
    jobs, tuning, fleet = ways()
    assert jobs.cost.usd == tuning.cost.usd
    assert jobs.cost.usd is not None
    assert fleet.cost.usd is not None
    assert fleet.cost.usd.high < jobs.cost.usd.low / 5
    assert jobs.cost.minutes == Span(5 * 17, 5 * 21)
    assert tuning.cost.minutes == Span(10 * 17, 10 * 21)


def test_compare__fleet_computes_the_features_once_and_trains_every_head_and_the_winner() -> None:
    fleet = ways()[-1]
    share = ASSUMED.fleet_share
    assert fleet.jobs == 1
    assert ends(fleet.minutes.script) == pytest.approx((13 + 40 * share.low, 13 + 40 * share.high))


def test_compare__fleet_needs_the_features_of_each_backbone() -> None:
    one, three = ways()[-1].minutes.script, ways(backbones=3)[-1].minutes.script
    assert one is not None
    assert three is not None
    assert three.low - one.low == pytest.approx(20)


@pytest.mark.parametrize("heads", [0.0, 0.5, 1.0])
def test_compare__fleet_of_undivided_minutes_spans_every_division(heads: float) -> None:
    undivided = ways(replace(MINUTES, features=None, heads=None), backbones=3)[-1].minutes.script
    parts = replace(MINUTES, features=Span(13 * (1 - heads), 13 * (1 - heads)), heads=Span(13 * heads, 13 * heads))
    divided = ways(parts, backbones=3)[-1].minutes.script
    assert undivided is not None
    assert divided is not None
    assert undivided.low <= divided.low
    assert divided.high <= undivided.high + 1e-9


def test_compare__on_pixels_there_is_no_fleet() -> None:
    found = ways(replace(MINUTES, on_features=False))
    assert len(found) == 2
    assert "no fleet" in tell(found, ASSUMED)


def test_compare__unknown_minutes_still_show_the_most() -> None:
    text = tell(ways(replace(MINUTES, script=None, features=None, heads=None)), ASSUMED)
    assert text.count("unknown") == 9
    assert f"{20 * (1 + ASSUMED.starting_minutes.high / 60) * 1.5:,.2f}" in text


def test_tell__columns_stand_below_each_other() -> None:
    found = ways()
    head, *lines = tell(found, ASSUMED).splitlines()[: len(found) + 1]
    ends = [head.index(name) + len(name) for name in ("jobs", "minutes a job", "minutes in all", "USD at most")]
    for line, way in zip(lines, found, strict=True):
        assert line.startswith(way.name)
        for end in ends:
            assert line[end - 1] != " "
            assert line[end : end + 1] in ("", " ")
