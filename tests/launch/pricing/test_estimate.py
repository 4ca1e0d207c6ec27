from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from launch.pricing.assumptions import Assumptions, Span
from launch.pricing.estimate import Cost, Rent, estimate_cost
from launch.pricing.minutes import Minutes
from launch.pricing.table import Price
from launch.settings import JobSettings, make_settings

ASSUMED = Assumptions.load()
G5 = Price("ml.g5.xlarge", "us-east-1", 1.5, "a source", "2026-11")
RENT = Rent(G5, 1, 100, local_disk=True, spot=False, keep_alive_s=0, max_run_s=3600)
#: An hour to an hour and a half each, all in all.
MINUTES = Minutes(Span(5, 10), Span(55, 80), Span(5, 10), Span(20, 20), True, ())
UNKNOWN = replace(MINUTES, script=None)


def cost(jobs: int = 1, parallel: int = 1, minutes: Minutes = MINUTES, rent: Rent = RENT) -> Cost:
    return estimate_cost(jobs=jobs, parallel=parallel, minutes=minutes, rent=rent, assumptions=ASSUMED)


def usd(found: Cost) -> Span:
    assert found.usd is not None
    return found.usd


def ends(span: Span | None) -> tuple[float, float]:
    assert span is not None
    return span.low, span.high


def test_cost__is_billed_time_by_price() -> None:
    assert ends(usd(cost())) == pytest.approx((1.5, 2.25))


def test_cost__jobs_and_instances_multiply_and_parallel_ones_only_end_sooner() -> None:
    one_by_one, at_once = cost(jobs=6), cost(jobs=6, parallel=4)
    assert usd(one_by_one) == usd(at_once)
    assert ends(usd(at_once)) == pytest.approx((9, 13.5))
    assert one_by_one.minutes == Span(360, 540)
    assert at_once.minutes == Span(120, 180)
    assert usd(cost(rent=replace(RENT, instances=3))).high == pytest.approx(3 * usd(cost()).high)


def test_cost__spot_is_a_range_and_never_lowers_the_most() -> None:
    found = cost(rent=replace(RENT, spot=True))
    saving = ASSUMED.spot_saving
    assert ends(usd(found)) == pytest.approx((1.5 * (1 - saving.high), 2.25 * (1 - saving.low)))
    assert found.most == cost().most


def test_cost__volume_is_billed_where_the_instance_has_no_disk_of_its_own() -> None:
    found = cost(rent=replace(RENT, local_disk=False))
    month = 100 * ASSUMED.storage_usd_per_gb_month.high
    assert usd(found).high - usd(cost()).high == pytest.approx(month * 1.5 / 730)
    assert "the instance's own disks" in "".join(cost().lines)


def test_cost__waiting_instances_cost_once_for_each_job_at_once() -> None:
    found = cost(jobs=6, parallel=4, rent=replace(RENT, keep_alive_s=1800))
    without = cost(jobs=6, parallel=4)
    assert usd(found).low == usd(without).low
    assert usd(found).high - usd(without).high == pytest.approx(4 * 0.5 * 1.5)


def test_cost__most_is_every_job_until_it_is_stopped() -> None:
    starting = ASSUMED.starting_minutes.high / 60
    assert cost(jobs=2).most == pytest.approx(2 * (1 + starting) * 1.5)


def test_cost__unknown_minutes_leave_the_price_an_hour_and_the_most() -> None:
    found = cost(minutes=UNKNOWN)
    assert found.usd is None
    assert found.minutes is None
    assert found.for_budget == found.most
    assert "1.5 USD an hour" in found.lines[0]
    assert "at most" in "".join(found.lines)


def test_cost__budget_has_to_cover_the_upper_end() -> None:
    assert cost().for_budget == usd(cost()).high


def test_rent__takes_what_the_settings_say() -> None:
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        section = OmegaConf.to_container(compose("launch", ["sagemaker/job=spot"]).sagemaker, resolve=True)
    assert isinstance(section, dict)
    values = {str(key): value for key, value in section.items() if key != "tuner"}
    settings = make_settings(JobSettings, values, "sagemaker")
    found = Rent.of(settings, G5, local_disk=False)
    assert found.spot
    assert (found.instances, found.volume_gb, found.max_run_s) == (1, settings.volume_size_gb, settings.max_run_s)
