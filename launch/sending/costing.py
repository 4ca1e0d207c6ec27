"""What an experiment will cost where it is sent, in words and for a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from dogbreed.sweeps.space import SearchSpace
from launch.machines import machines
from launch.pricing import compare as ways_of
from launch.pricing.assumptions import Assumptions
from launch.pricing.estimate import Rent, estimate_cost
from launch.pricing.measured import read_measured
from launch.pricing.minutes import Minutes, estimate_minutes
from launch.pricing.table import Price, Prices
from launch.sending.experiment import Experiment
from launch.settings import JobSettings

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
    rent = _rent(experiment, region)
    if rent is None:
        return _unknown(experiment, region)
    minutes, settings = _minutes(experiment), experiment.settings
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
    rent = _rent(experiment, region)
    if rent is None:
        return _unknown(experiment, region)
    minutes, assumptions, tuner = _minutes(experiment), Assumptions.load(), experiment.tuner
    backbones = space.dimensions.get(_BACKBONE)
    ways = ways_of.compare(
        trials=trials,
        parallel_jobs=experiment.settings.max_parallel,
        parallel_tuning=tuner.max_parallel if tuner else experiment.settings.max_parallel,
        early_stopping=tuner is not None and tuner.early_stopping,
        backbones=(backbones.size or 1) if backbones else 1,
        minutes=minutes,
        rent=rent,
        assumptions=assumptions,
    )
    told = next((way.cost for way in ways if way.how == chosen), ways[0].cost)
    lines = [*minutes.lines, *told.lines, "", f"{trials} trials in each way:", ways_of.tell(ways, assumptions)]
    return Costs(_section(lines), told.for_budget)


_FREE = Costs("price: nothing, it runs on this machine", 0.0)


def _rent(experiment: Experiment, region: str) -> Rent | None:
    price = price_of(experiment.settings, region)
    if price is None:
        return None
    machine = machines().get(experiment.settings.instance_type)
    return Rent.of(experiment.settings, price, local_disk=machine is not None and machine.nvme_gb > 0)


def _minutes(experiment: Experiment) -> Minutes:
    settings = experiment.settings
    machine = machines().get(settings.instance_type)
    run = settings.measured_run
    return estimate_minutes(
        machine=None if machine is None else asdict(machine),
        assumptions=Assumptions.load(),
        expected_minutes=settings.expected_minutes,
        measured=None if run is None else read_measured(Path(run).expanduser()),
    )


def _unknown(experiment: Experiment, region: str) -> Costs:
    return Costs(Prices.load().missing(experiment.settings.instance_type, region), None)


def _section(lines: Sequence[str]) -> str:
    return "\n".join(["price:", *(f"  {line}" if line else "" for text in lines for line in text.split("\n"))])
