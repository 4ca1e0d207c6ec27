"""What jobs will cost: a range with all that it rests on, and the most that it can come to."""

from __future__ import annotations

from dataclasses import dataclass

from launch.pricing.assumptions import Assumptions, Span
from launch.pricing.minutes import Minutes
from launch.pricing.table import Price
from launch.settings import JobSettings

_HOURS_A_MONTH = 730
_NOT_COUNTED = "not counted: S3, logs, data that leaves the region, taxes"


@dataclass(frozen=True)
class Rent:
    """What is paid for in each job.

    Attributes:
        price: of an instance.
        instances: of each job.
        volume_gb: storage of each instance.
        local_disk: whether the instance has disks of its own: then no volume is made, nor billed. Source: API
            reference of Amazon SageMaker, ResourceConfig.VolumeSizeInGB.
        spot: spare capacity.
        keep_alive_s: how long the instances wait, billed, for another job. Source: WarmPoolStatus, as above.
        max_run_s: after which AWS ends a job, all of its attempts together. Source: StoppingCondition, as above.
    """

    price: Price
    instances: int
    volume_gb: int
    local_disk: bool
    spot: bool
    keep_alive_s: int
    max_run_s: int

    @classmethod
    def of(cls, settings: JobSettings, price: Price, *, local_disk: bool) -> Rent:
        """What the settings of a job ask for."""
        return cls(
            price=price,
            instances=settings.instance_count,
            volume_gb=settings.volume_size_gb,
            local_disk=local_disk,
            spot=settings.spot,
            keep_alive_s=settings.keep_alive_s,
            max_run_s=settings.max_run_s,
        )


@dataclass(frozen=True)
class Cost:
    """What jobs will cost, in USD.

    Attributes:
        usd: what is expected; None where the minutes are not known.
        most: where every job runs until it is stopped, without a spot saving.
        minutes: from the first start to the last end, without waiting for capacity; None as above.
        lines: how it comes about.
    """

    usd: Span | None
    most: float
    minutes: Span | None
    lines: tuple[str, ...]

    @property
    def for_budget(self) -> float:
        """What a budget has to cover: the upper end of what is expected, or where nothing is, the most."""
        return self.most if self.usd is None else self.usd.high


def estimate_cost(*, jobs: int, parallel: int, minutes: Minutes, rent: Rent, assumptions: Assumptions) -> Cost:
    """What `jobs` alike will cost.

    Billed is the time from TrainingStartTime to TrainingEndTime, downloads included, on each instance. Source: API
    reference of Amazon SageMaker, DescribeTrainingJob.

    Args:
        jobs: how many.
        parallel: of them at once, which changes when they end, not what they cost.
        minutes: of each.
        rent: of each.
        assumptions: what is taken for granted.
    """
    hourly, per_hour = rent.price.usd_per_hour, _storage(rent, assumptions)
    # Whether the limit counts the downloads is not documented, so they come on top.
    longest = jobs * (rent.max_run_s / 3600 + assumptions.starting_minutes.high / 60)
    waiting = min(jobs, parallel) * rent.instances * rent.keep_alive_s / 3600 * hourly
    most = rent.instances * longest * (hourly + per_hour) + waiting
    lines = [rent.price.tell()]
    usd = in_all = None
    if minutes.total is not None:
        billed = (jobs * rent.instances / 60) * minutes.total
        usd = hourly * billed
        plan = f"{_count(jobs, 'job')} of {_count(rent.instances, 'instance')}, {minutes.total.tell()} min each"
        lines.append(f"{plan}: {usd.tell(3)} USD on demand")
        if rent.spot:
            saving = assumptions.spot_saving
            usd = Span(usd.low * (1 - saving.high), usd.high * (1 - saving.low))
            lines.append(f"{saving.line('spot saves')}: {usd.tell(3)} USD")
        stored = per_hour * billed
        lines.append(_storage_line(rent, stored, assumptions))
        usd = usd + stored + Span(0, waiting)
        in_all = -(-jobs // parallel) * minutes.total
    if waiting:
        lines.append(f"waiting for another job, {rent.keep_alive_s} s: up to {_usd(waiting)} USD")
    lines += [
        f"at most {_usd(most)} USD: until max_run_s={rent.max_run_s} ends every job, at the full price",
        _NOT_COUNTED,
    ]
    return Cost(usd, most, in_all, tuple(lines))


def _storage(rent: Rent, assumptions: Assumptions) -> float:
    """USD an hour for the volume of an instance."""
    return 0.0 if rent.local_disk else rent.volume_gb * assumptions.storage_usd_per_gb_month.high / _HOURS_A_MONTH


def _storage_line(rent: Rent, stored: Span, assumptions: Assumptions) -> str:
    if rent.local_disk:
        return "storage: the instance's own disks, which its price includes"
    price = assumptions.storage_usd_per_gb_month
    return f"storage: {stored.tell()} USD for {rent.volume_gb} GB at {price.tell()} USD a GB and month ({price.source})"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _usd(value: float) -> str:
    return Span(value, value).tell(3)
