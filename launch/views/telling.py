"""Times, durations and sums of money in words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from launch.errors import LaunchError


def clock(moment: float) -> str:
    """The time of the day here, of seconds since 1970."""
    return datetime.fromtimestamp(moment).strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """How long, to two figures or so.

    >>> duration(8.2), duration(372), duration(4000), duration(200_000)
    ('8 s', '6.2 min', '1.1 h', '2.3 days')
    """
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def usd(amount: float) -> str:
    """A sum of money.

    >>> usd(0.004), usd(0.27), usd(1234.5)
    ('0.0040 USD', '0.27 USD', '1,234.50 USD')
    """
    return f"{amount:,.4f} USD" if amount < 0.01 else f"{amount:,.2f} USD"


def age(description: Mapping[str, Any]) -> float:
    """Seconds since the job was asked for."""
    created: datetime = description["CreationTime"]
    return time.time() - created.timestamp()


def saved(description: Mapping[str, Any]) -> list[str]:
    """What spot capacity has saved of a job that has ended, if it ran on it.

    Source of the formula: DescribeTrainingJob in the API reference, BillableTimeInSeconds.

    >>> saved({"EnableManagedSpotTraining": True, "TrainingTimeInSeconds": 500, "BillableTimeInSeconds": 185})
    ['63 % saved by spot capacity']
    """
    billable, trained = description.get("BillableTimeInSeconds"), description.get("TrainingTimeInSeconds")
    if not description.get("EnableManagedSpotTraining") or billable is None or not trained:
        return []
    return [f"{100 * (1 - billable / trained):.0f} % saved by spot capacity"]


def unknown(kind: str, name: str) -> LaunchError:
    """The error for a job that does not exist."""
    return LaunchError(f"there is no {kind} {name}", "one that was started", "look for it: python -m launch.jobs list")
