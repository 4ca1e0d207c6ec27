"""What an experiment will cost where it is sent, in words and for a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from dogbreed.sweeps.space import SearchSpace
from launch.machines import machines
from launch.pricing.assumptions import Assumptions
from launch.pricing.compare import Way, compare, tell
from launch.pricing.estimate import Rent, estimate_cost
from launch.pricing.measured import read_measured
from launch.pricing.minutes import Minutes, estimate_minutes
from launch.pricing.table import Price, Prices
from launch.sending.experiment import Experiment
from launch.settings import JobSettings, TunerSettings

#: The key whose values each need features of their own.
_BACKBONE = "backbone"


class Costs(NamedTuple):
    """What it costs.

    Attributes:
        text: how that comes about, to be shown.
        for_budget: USD that a budget has to cover; None where that is not known.
    """

    text: str
    for_budget: float | None


def price_of(settings: JobSettings, region: str) -> Price | None:
    """An instance's price: of the settings, or of the table; None where neither has one."""
    if settings.price_per_hour is not None:
        return Price.given(settings.instance_type, region, settings.price_per_hour)
    return Prices.load().price_of(settings.instance_type, region)


def cost_of_jobs(experiment: Experiment, region: str, jobs: int = 1) -> Costs:
    """What training jobs alike cost.

    Raises:
        ConfigError: the run that was measured is none.
    """
    if not experiment.settings.on_aws:
        return _FREE
    settings = experiment.settings
    rent = _rent(settings, region)
    if rent is None:
        return _unknown(settings, region)
    minutes = _minutes(settings)
    parallel = min(jobs, settings.max_parallel)
    cost = estimate_cost(jobs=jobs, parallel=parallel, minutes=minutes, rent=rent, assumptions=Assumptions.load())
    return Costs(_section([*minutes.lines, *cost.lines]), cost.for_budget)


def cost_of_search(experiment: Experiment, region: str, space: SearchSpace, trials: int, chosen: str) -> Costs:
    """What `trials` trials of a space cost, in each way to run them.

    Args:
        experiment: with a tuner's settings.
        region: of AWS.
        space: what varies.
        trials: how many.
        chosen: the way that is planned, by its words in the command: "launch.tune" or "hydra/sweeper=fleet".

    Raises:
        ConfigError: the run that was measured is none.
    """
    if not experiment.settings.on_aws:
        return _FREE
    settings = experiment.settings
    backbones = space.dimensions.get(_BACKBONE)
    count = (backbones.size or 1) if backbones else 1
    ways = ways_of_search(settings, experiment.tuner, region, trials=trials, backbones=count)
    if not ways:
        return _unknown(settings, region)
    told = next((way.cost for way in ways if way.how == chosen), ways[0].cost)
    compared = ["", f"{trials} trials in each way:", tell(ways, Assumptions.load())]
    return Costs(_section([*_minutes(settings).lines, *told.lines, *compared]), told.for_budget)


def ways_of_search(
    settings: JobSettings, tuner: TunerSettings | None, region: str, *, trials: int, backbones: int = 1
) -> list[Way]:
    """What a search takes and costs in each way to run it; none where the price of an instance is not known.

    Args:
        settings: of each job.
        tuner: of a tuning job.
        region: of AWS.
        trials: how many.
        backbones: that the trials use.

    Raises:
        ConfigError: the run that was measured is none.
    """
    rent = _rent(settings, region)
    if rent is None:
        return []
    return compare(
        trials=trials,
        parallel_jobs=settings.max_parallel,
        parallel_tuning=tuner.max_parallel if tuner else settings.max_parallel,
        early_stopping=tuner is not None and tuner.early_stopping,
        backbones=backbones,
        minutes=_minutes(settings),
        rent=rent,
        assumptions=Assumptions.load(),
    )


_FREE = Costs("price: nothing, it runs on this machine", 0.0)


def _rent(settings: JobSettings, region: str) -> Rent | None:
    price = price_of(settings, region)
    if price is None:
        return None
    machine = machines().get(settings.instance_type)
    return Rent.of(settings, price, local_disk=machine is not None and machine.nvme_gb > 0)


def _minutes(settings: JobSettings) -> Minutes:
    machine, run = machines().get(settings.instance_type), settings.measured_run
    return estimate_minutes(
        machine=None if machine is None else asdict(machine),
        assumptions=Assumptions.load(),
        expected_minutes=settings.expected_minutes,
        measured=None if run is None else read_measured(Path(run).expanduser()),
    )


def _unknown(settings: JobSettings, region: str) -> Costs:
    return Costs(Prices.load().missing(settings.instance_type, region), None)


def _section(lines: Sequence[str]) -> str:
    return "\n".join(["price:", *(f"  {line}" if line else "" for text in lines for line in text.split("\n"))])
