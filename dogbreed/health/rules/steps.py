"""The profiler's rules about the steps of training: when they begin, which take too long, how their time is spent."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.throughput import fewer_reads, more_workers
from dogbreed.health.samples import Facts, MachineSample, Sample
from dogbreed.health.usage import spread

_LEAST_STEPS = 100  # more are needed before a step can be called an outlier


@dataclass(kw_only=True)
class StepOutlier(Rule):
    """Some steps take much longer than the others.

    An outlier took longer than the mean of all steps so far by `stddev` of their (population) standard deviations;
    more than `n_outliers` of them are a finding. There is no verdict before the 101st step, and the newest one counts:
    what disturbed the beginning of a long run is no matter of the whole.

    Attributes:
        share_threshold: percent of all steps' time that the outliers must cost, by what they take beyond the mean.
    """

    needs = "steps of training"
    stddev: float
    n_outliers: int
    share_threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._durations, self._waits = array("d"), array("d")
        self._judged = 0
        self._waited_share = 0.0

    def see(self, sample: Sample) -> None:
        """Take the steps' durations; judge again where there are 1 % more than the last time, or an epoch ends."""
        if sample.mode != "TRAIN":
            return
        self._durations.extend(sample.durations)
        self._waits.extend(sample.waits or (0.0,) * len(sample.durations))
        count = len(self._durations)
        # Each verdict reads all durations: at every sample that would be quadratic in the length of the run.
        grown = count >= 1.01 * self._judged or sample.ends_epoch
        if count > max(_LEAST_STEPS, self._judged) and grown:
            self._judged = count
            self._look(sample.step)

    def _look(self, step: int) -> None:
        durations, waits = np.array(self._durations), np.array(self._waits)
        mean, sigma = float(durations.mean()), float(durations.std())
        limit = mean + self.stddev * sigma
        outliers = durations > limit
        count = int(outliers.sum())
        cost = 100 * float((durations[outliers] - mean).sum() / durations.sum())
        violated = count > self.n_outliers and cost >= self.share_threshold
        self.violations, self.finding = 0, None
        if violated:
            self._waited_share = float(waits[outliers].sum() / durations[outliers].sum())
        self.judge(
            violated,
            clause="steps that take much longer than the others",
            value=float(count),
            threshold=float(self.n_outliers),
            step=step,
            mode="TRAIN",
            meaning=lambda: (
                f"{count:,} of {len(durations):,} steps took longer than {limit:.3g} s (the mean, {mean:.3g} s, and "
                f"{self.stddev:g} standard deviations of {sigma:.3g} s; allowed: {self.n_outliers}), the longest "
                f"{float(durations.max()):.3g} s; they cost {cost:.0f} % of all steps' time, and "
                f"{self._waited_share:.0%} of their time was waiting for data."
            ),
        )

    def needed(self, facts: Facts) -> str | None:
        """101 steps."""
        count = len(self._durations)
        return None if count > _LEAST_STEPS else f"{count} of {_LEAST_STEPS + 1} steps of training"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Sooner data, where it is data that they wait for."""
        if self._waited_share < 0.5:
            return with_remedy(finding, advice="Look for what runs now and then: a callback, another process.")
        remedy = more_workers(facts, running=_workers(facts)) or fewer_reads(facts)
        return with_remedy(finding, *remedy, advice="They wait for data, which comes in bursts.")


@dataclass(kw_only=True)
class MaxInitializationTime(Rule):
    """The first step comes more than `threshold` minutes after the start."""

    needs = "steps or samples of the machine"
    threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._begun = False

    def see(self, sample: Sample) -> None:
        """The first step ends it."""
        if sample.mode == "TRAIN":
            self._look(sample.seconds)
            self._begun = True

    def see_machine(self, machine: MachineSample) -> None:
        """A look at the clock while there is no step."""
        self._look(machine.seconds)
        self._begun = self._begun or machine.training

    def _look(self, seconds: float) -> None:
        if self._begun:
            return
        minutes = seconds / 60
        self.finding, self.violations = None, 0  # the newest look has the longest time
        self.judge(
            minutes > self.threshold,
            clause="a long time before the first step",
            value=minutes,
            threshold=self.threshold,
            meaning=lambda: f"{minutes:.1f} minutes went by before the first step (allowed: {self.threshold:g}).",
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """What it was made of stands in the profile."""
        workers = more_workers(facts, running=_workers(facts)) if facts.settings else ()
        advice = "profile.json and the report say what they were made of; a feature pass is not made a second time."
        return with_remedy(finding, *workers, advice=advice)


@dataclass(kw_only=True)
class OverallFrameworkMetrics(Rule):
    """How the steps' time was spent, as a table; never a finding."""

    needs = "steps"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._durations, self._waits = array("d"), array("d")
        self._seconds = 0.0

    def see(self, sample: Sample) -> None:
        """Take the steps of training."""
        self._seconds = max(self._seconds, sample.seconds)
        if sample.mode == "TRAIN" and sample.durations:
            self._durations.extend(sample.durations)
            self._waits.extend(sample.waits or (0.0,) * len(sample.durations))
            self.judge(False)

    def details(self, facts: Facts) -> dict[str, Any]:
        """Shares in percent of the run's time so far, and the spread of a step's seconds."""
        stepped, waited = sum(self._durations), sum(self._waits)
        shares = {"waiting for data": waited, "rest of the steps": stepped - waited, "no step": self._seconds - stepped}
        whole = max(self._seconds, stepped)
        return {
            "steps": len(self._durations),
            "seconds": spread(self._durations),
            "waits": spread(self._waits),
            "shares": {name: round(100 * max(0.0, part) / whole, 1) for name, part in shares.items()} if whole else {},
        }


def _workers(facts: Facts) -> float:
    """The loader processes that the run asks for; infinitely many where the library chooses what suits the machine."""
    number = facts.settings.get("data.num_workers")
    return float(number) if isinstance(number, int) else float("inf")
