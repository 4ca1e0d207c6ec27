from __future__ import annotations

import pytest

from dogbreed.health.findings import Status
from dogbreed.health.samples import Facts, PictureStats


def test_pictures__not_normalised_are_found(make):
    rule = make("CheckInputImages")
    rule.see_pictures(PictureStats(500, 0.45))
    finding = rule.outcome(Facts()).finding
    assert finding.value == pytest.approx(0.45)
    assert "backbone.transform" in finding.advice


def test_pictures__that_are_bytes_are_called_so(make):
    rule = make("CheckInputImages")
    rule.see_pictures(PictureStats(500, 115.0))
    assert "0 to 255" in rule.outcome(Facts()).finding.advice


def test_pictures__around_zero_are_quiet(make):
    rule = make("CheckInputImages")
    rule.see_pictures(PictureStats(500, -0.19))
    assert rule.outcome(Facts()).status is Status.NO_ISSUES


def test_pictures__needs_enough_of_them(make):
    rule = make("CheckInputImages")
    rule.see_pictures(PictureStats(3, 0.45))
    assert rule.outcome(Facts()).reason == "3 of 500 pictures"


def test_pictures__does_not_apply_where_none_was_read(make):
    assert make("CheckInputImages").outcome(Facts(features=True)).status is Status.NOT_APPLICABLE


def test_pictures__may_begin_dark(make):
    rule = make("CheckInputImages")
    rule.see_pictures(PictureStats(500, -0.5))
    dark = rule.outcome(Facts())
    rule.see_pictures(PictureStats(1500, 0.1))
    assert (dark.status, rule.outcome(Facts()).status) == (Status.ISSUES, Status.NO_ISSUES)


@pytest.mark.parametrize(
    ("mean", "spread", "found"),
    [(0.74, 0.97, False), (0.62, 0.22, True), (0.3, 0.25, True), (157.0, 57.0, True), (0.45, None, True)],
    ids=["bright, normalised", "bright, not", "dark, not", "bytes", "spread not known"],
)
def test_pictures__by_default_are_told_apart_by_their_spread(make, mean, spread, found):
    rule = make("CheckInputImages", "default")
    rule.see_pictures(PictureStats(60, mean, spread))
    rule.see_pictures(PictureStats(60, mean, spread))
    assert (rule.finding is not None) is found
