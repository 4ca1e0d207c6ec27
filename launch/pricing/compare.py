"""The same trials as jobs, as one tuning job, and as a fleet in one job: what each takes and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from launch.pricing.assumptions import Assumptions, Span
from launch.pricing.estimate import Cost, Rent, estimate_cost
from launch.pricing.minutes import Minutes


@dataclass(frozen=True)
class Way:
    """One way to run the trials.

    Attributes:
        name: what it is.
        how: the command's own part.
        jobs: how many training jobs.
        minutes: of each.
        cost: of all.
        note: what to know of it.
    """

    name: str
    how: str
    jobs: int
    minutes: Minutes
    cost: Cost
    note: str


def compare(
    *,
    trials: int,
    parallel_jobs: int,
    parallel_tuning: int,
    early_stopping: bool,
    backbones: int,
    minutes: Minutes,
    rent: Rent,
    assumptions: Assumptions,
) -> list[Way]:
    """The ways to run a search, each with its price.

    Args:
        trials: of the search.
        parallel_jobs: of a multirun at once.
        parallel_tuning: of a tuning job at once.
        early_stopping: of a tuning job.
        backbones: that the trials use; each needs its own features.
        minutes: of a job with one trial.
        rent: of each job.
        assumptions: what is taken for granted.
    """
    warm = "; a waiting instance starts the next job sooner" if rent.keep_alive_s else ""
    stopped = "; trials that fall behind are stopped early, which this does not count" if early_stopping else ""
    ways = [
        ("a job for each trial", "-m hydra/launcher=sagemaker", trials, parallel_jobs, minutes),
        ("one tuning job", "launch.tune", trials, parallel_tuning, minutes),
    ]
    notes = [f"each starts and computes its features anew{warm}", f"the same jobs, started by AWS{stopped}"]
    if minutes.on_features:
        ways.append(
            ("the fleet in one job", "hydra/sweeper=fleet", 1, 1, _fleet(trials, backbones, minutes, assumptions))
        )
        notes.append("starts once, computes the features once, trains all heads side by side, and the winner once more")
    return [
        Way(
            name=name,
            how=how,
            jobs=jobs,
            minutes=each,
            cost=estimate_cost(jobs=jobs, parallel=parallel, minutes=each, rent=rent, assumptions=assumptions),
            note=note,
        )
        for (name, how, jobs, parallel, each), note in zip(ways, notes, strict=True)
    ]


def tell(ways: Sequence[Way], assumptions: Assumptions) -> str:
    """The ways side by side, what to know of each, and what the comparison rests on."""
    rows: list[tuple[str, ...]] = [("", "jobs", "minutes a job", "minutes in all", "USD", "USD at most")]
    for way in ways:
        spans = [(way.minutes.total, 0), (way.cost.minutes, 0), (way.cost.usd, 2)]
        told = [_span(span, digits) if span else "unknown" for span, digits in spans]
        rows.append((way.name, str(way.jobs), *told, f"{way.cost.most:,.2f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    notes = [f"{way.name} ({way.how}): {way.note}" for way in ways]
    if any(way.how == "hydra/sweeper=fleet" for way in ways):
        notes.append(assumptions.fleet_share.line("a head among many takes"))
    else:
        notes.append("no fleet: on pixels each trial runs the backbone anew (features=cached)")
    return "\n".join([*(line.rstrip() for line in lines), *notes])


def _fleet(trials: int, backbones: int, minutes: Minutes, assumptions: Assumptions) -> Minutes:
    """All trials in one job: what they share once, their heads side by side, and the winner's alone."""
    if minutes.script is None:
        return minutes
    share = assumptions.fleet_share
    alone = Span(trials * share.low + 1, trials * share.high + 1)
    if minutes.heads is None or minutes.features is None:
        # What is needed once and what by each trial is not known apart: from nothing to all.
        return replace(minutes, script=Span(minutes.script.low, max(backbones, alone.high) * minutes.script.high))
    features, heads = backbones * minutes.features, alone.times(minutes.heads)
    apart = minutes.features + minutes.heads
    set_up = Span(minutes.script.low - apart.low, minutes.script.high - apart.high)
    return replace(minutes, script=set_up + features + heads, features=features, heads=heads)


def _span(span: Span, digits: int) -> str:
    """Both ends with so many decimals, to stand below each other."""
    low, high = f"{span.low:,.{digits}f}", f"{span.high:,.{digits}f}"
    return low if low == high else f"{low} to {high}"
