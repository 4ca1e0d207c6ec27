from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dogbreed.health.jobs.job import read_job
from launch.pricing.bill import bill_of, sum_of, tell
from launch.pricing.table import Price

START = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
PRICE = Price("ml.g5.xlarge", "us-east-1", 3.6, "a source", "2026-11")  # a tenth of a cent a second
LATER = START + timedelta(days=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(**more: Any) -> dict[str, Any]:
    """A job that waited 60 s for its instance, then ran 500 s: 100 of data and image, 350 of script, 50 of upload."""
    statuses = [("Starting", 0, 60), ("Downloading", 60, 160), ("Training", 160, 510), ("Uploading", 510, 560)]
    transitions = [
        {"Status": status, "StartTime": at(start), "EndTime": at(end), "StatusMessage": ""}
        for status, start, end in statuses
    ]
    transitions[1]["StatusMessage"] = "Downloading the training image"
    transitions.append({"Status": "Completed", "StartTime": at(560), "EndTime": at(560), "StatusMessage": "done"})
    return {
        "TrainingJobName": "dogs",
        "TrainingJobStatus": "Completed",
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "SecondaryStatusTransitions": transitions,
        "TrainingStartTime": at(60),
        "TrainingEndTime": at(560),
        "TrainingTimeInSeconds": 500,
        "BillableTimeInSeconds": 500,
    } | more


def running(until: int) -> dict[str, Any]:
    """The same job in the middle, as it has got to its `until`th status."""
    found = job(TrainingJobStatus="InProgress", SecondaryStatusTransitions=job()["SecondaryStatusTransitions"][:until])
    for name in ("TrainingEndTime", "TrainingTimeInSeconds", "BillableTimeInSeconds"):
        del found[name]
    return found


def test_bill__is_split_into_what_the_seconds_went_into() -> None:
    bill = bill_of(job(), PRICE, now=LATER)
    assert bill.parts == {"data and image": 100, "training": 350, "upload": 50}
    assert bill.seconds == bill.charged == 500
    assert bill.usd == pytest.approx(0.5)
    assert not bill.running


def test_bill__knows_the_phases_that_the_report_of_a_job_knows(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job(), default=datetime.isoformat))
    report = read_job(path)
    bill = bill_of(job(), PRICE, now=LATER)
    assert sorted(bill.parts.values()) == sorted(phase.billed for phase in report.phases if phase.billed)
    assert report.bill is not None
    assert bill.seconds == report.bill.seconds


def test_bill__first_step_divides_the_scripts_time() -> None:
    bill = bill_of(job(), PRICE, now=LATER, first_step=at(200).timestamp())
    assert bill.parts == {"data and image": 100, "set-up": 40, "training": 310, "upload": 50}


def test_bill__waiting_that_is_billed_counts_as_starting() -> None:
    assert bill_of(job(TrainingStartTime=at(40)), PRICE, now=LATER).parts["starting"] == 20


def test_bill__spot_is_paid_for_less_than_it_ran() -> None:
    bill = bill_of(job(EnableManagedSpotTraining=True, BillableTimeInSeconds=150), PRICE, now=LATER)
    assert bill.seconds == 500
    assert bill.charged == 150
    assert bill.usd == pytest.approx(0.15)


def test_bill__instances_are_paid_each() -> None:
    bill = bill_of(job(ResourceConfig={"InstanceCount": 3}), PRICE, now=LATER)
    assert bill.charged == 1500
    assert bill.usd == pytest.approx(1.5)


def test_bill__warm_pool_is_paid_too() -> None:
    pool = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 200}
    bill = bill_of(job(WarmPoolStatus=pool, ResourceConfig={"InstanceCount": 2}), PRICE, now=LATER)
    assert bill.parts["warm pool"] == 200
    assert bill.charged == 2 * 700


def test_bill__of_a_running_job_goes_up_to_now() -> None:
    bill = bill_of(running(3), PRICE, now=at(260))
    assert bill.running
    assert bill.parts == {"data and image": 100, "training": 100}
    assert bill.usd == pytest.approx(0.2)
    assert "200 s billed so far" in tell(bill)[0]


def test_bill__of_a_job_that_waits_for_its_instance_is_nothing() -> None:
    waiting = running(1)
    del waiting["TrainingStartTime"]
    bill = bill_of(waiting, PRICE, now=at(50))
    assert bill.running
    assert bill.seconds == bill.usd == 0


def test_bill__of_a_job_that_never_got_one_is_nothing() -> None:
    failed = job(TrainingJobStatus="Failed")
    del failed["TrainingStartTime"], failed["BillableTimeInSeconds"]
    bill = bill_of(failed, PRICE, now=LATER)
    assert not bill.running
    assert bill.usd == 0


def test_bill__seconds_of_no_known_phase_are_other() -> None:
    bill = bill_of(job(SecondaryStatusTransitions=[]), PRICE, now=LATER)
    assert bill.parts == {"other": 500}


def test_bill__without_a_price_still_has_its_seconds() -> None:
    bill = bill_of(job(), None, now=LATER)
    assert bill.usd is None
    assert bill.seconds == 500
    assert "price unknown: give price_per_hour" in tell(bill)[1]


def test_bill__of_a_trials_summary_has_only_its_times() -> None:
    summary = {
        key: job()[key] for key in ("TrainingJobName", "TrainingJobStatus", "TrainingStartTime", "TrainingEndTime")
    }
    assert bill_of(summary, PRICE, now=LATER).usd == pytest.approx(0.5)


def test_sum__adds_up() -> None:
    first, second = bill_of(job(), PRICE, now=LATER), bill_of(running(3), PRICE, now=at(260))
    both = sum_of([first, second])
    assert both.seconds == 700
    assert both.parts["training"] == 450
    assert both.usd == pytest.approx(0.7)
    assert both.running
    assert both.price == PRICE


def test_sum__of_an_unknown_price_is_unknown() -> None:
    both = sum_of([bill_of(job(), PRICE, now=LATER), bill_of(job(), None, now=LATER)])
    assert both.usd is None
    assert both.price is None
