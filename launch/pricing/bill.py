"""What jobs did cost, or have cost so far: the billed seconds, what they went into, and their price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dogbreed.health.jobs.log import JobLog
from dogbreed.health.jobs.timeline import (
    BOTH,
    DATA,
    IMAGE,
    SET_UP,
    TRAINING,
    UNDIVIDED,
    divide,
    find_bill,
    find_transitions,
)
from launch.pricing.table import Price

#: What the names of the phases are told as, in their order.
_PARTS = {
    "preparing the instances": "starting",
    "launching the instances": "starting",
    "starting": "starting",
    DATA: "data",
    IMAGE: "image",
    BOTH: "data and image",
    SET_UP: "set-up",
    TRAINING: "training",
    UNDIVIDED: "training",
    "uploading the model": "upload",
}
_WARM = "warm pool"
_OTHER = "other"
_ORDER = (*dict.fromkeys(_PARTS.values()), _OTHER, _WARM)


@dataclass(frozen=True)
class Bill:
    """What jobs were billed.

    Attributes:
        name: of the job, or how many they are.
        seconds: that the jobs ran billed, by the clock, on each of their instances.
        charged: seconds that are paid, over all instances; less than `seconds` where spot capacity was cheaper.
        parts: how the seconds were spent, in their order; what is not known is "other".
        usd: what that comes to, without storage; None where no price is known.
        price: of an instance; None where it is not known or the jobs differ.
        running: whether some of it is still to come.
    """

    name: str
    seconds: float
    charged: float
    parts: dict[str, float]
    usd: float | None
    price: Price | None
    running: bool


def bill_of(
    description: Mapping[str, Any], price: Price | None, *, now: datetime, first_step: float | None = None
) -> Bill:
    """What a job was billed, or has been so far.

    Args:
        description: what DescribeTrainingJob answers.
        price: of its instances; None where it is not known.
        now: up to when a job that runs is billed.
        first_step: when the first training step began, in seconds since 1970, where that is known: it divides the
            script's time into "set-up" and "training".
    """
    plain = _plain(description)
    instances = int(plain.get("ResourceConfig", {}).get("InstanceCount", 1))
    running = "TrainingEndTime" not in plain and plain.get("TrainingJobStatus") in ("InProgress", "Stopping")
    if running and "TrainingStartTime" in plain:
        plain["TrainingEndTime"] = max(now.timestamp(), plain["TrainingStartTime"])
    log = JobLog()
    transitions = find_transitions(log, plain)
    # Without its start nothing was billed: the job still waits for its instances, or never got them.
    stretch = find_bill(log, plain, transitions) if "TrainingStartTime" in plain else None
    seconds = stretch.seconds if stretch else 0.0
    charged = stretch.charged if stretch and stretch.charged is not None else seconds * instances
    parts = dict.fromkeys(_ORDER, 0.0)
    for phase in divide(transitions, stretch, first_step):
        parts[_PARTS.get(phase.name, _OTHER)] += phase.billed or 0.0
    parts[_OTHER] += max(0.0, seconds - sum(parts.values()))
    # Source: API reference of Amazon SageMaker, WarmPoolStatus.
    kept = float((plain.get("WarmPoolStatus") or {}).get("ResourceRetainedBillableTimeInSeconds", 0))
    parts[_WARM] = kept
    charged += kept * instances
    return Bill(
        name=str(plain.get("TrainingJobName", "")),
        seconds=seconds + kept,
        charged=charged,
        parts={name: found for name, found in parts.items() if found >= 0.5},
        usd=None if price is None else charged / 3600 * price.usd_per_hour,
        price=price,
        running=running,
    )


def sum_of(bills: Sequence[Bill]) -> Bill:
    """What several jobs were billed together; `usd` is None where one of them has no price."""
    parts = {name: sum(bill.parts.get(name, 0.0) for bill in bills) for name in _ORDER}
    prices = {bill.price for bill in bills}
    known = [bill.usd for bill in bills if bill.usd is not None]
    return Bill(
        name=f"{len(bills)} jobs",
        seconds=sum(bill.seconds for bill in bills),
        charged=sum(bill.charged for bill in bills),
        parts={name: found for name, found in parts.items() if found},
        usd=sum(known) if len(known) == len(bills) else None,
        price=prices.pop() if len(prices) == 1 else None,
        running=any(bill.running for bill in bills),
    )


def tell(bill: Bill) -> list[str]:
    """The bill as lines: its seconds with what they went into, and what they cost.

    >>> tell(Bill("a", 579, 579, {"data": 120, "training": 459}, 0.5, None, False))
    ['a: 579 s billed: data 120 s, training 459 s', '579 s paid: 0.5000 USD, without storage']
    """
    spent = ", ".join(f"{name} {seconds:,.0f} s" for name, seconds in bill.parts.items())
    so_far = " so far" if bill.running else ""
    first = f"{bill.name}: {bill.seconds:,.0f} s billed{so_far}" + (f": {spent}" if spent else "")
    usd = "price unknown: give price_per_hour" if bill.usd is None else f"{bill.usd:,.4f} USD, without storage"
    by = f" ({bill.price.tell()})" if bill.price else ""
    return [first, f"{bill.charged:,.0f} s paid{so_far}: {usd}{by}"]


def _plain(value: Any) -> Any:
    """The answer with its times in seconds since 1970, as the timeline reads them."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value.timestamp() if isinstance(value, datetime) else value
