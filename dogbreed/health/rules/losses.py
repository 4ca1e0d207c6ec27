"""A rule that judges by the losses of training alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.samples import Facts, Sample

NOT_FALLEN, RISEN = "the loss has not fallen", "the loss has risen"


def finite_losses(sample: Sample) -> list[tuple[int, float]]:
    """The sample's losses that are finite numbers: of the others ExplodingTensor speaks."""
    return [(step, loss) for step, loss in sample.losses if math.isfinite(loss)]


@dataclass(kw_only=True)
class LossNotDecreasing(Rule):
    """The loss of training does not fall.

    Every `num_steps` steps the newest loss is compared with the newest that is at least `num_steps` older. One that
    has not fallen by `diff_percent` is a finding; if it has even risen by more than `increase_threshold_percent`,
    the clause says so. Losses are those of TRAIN: between two evaluations steps say nothing of those of EVAL.

    Attributes:
        smoothing: losses whose mean stands for a loss.
        content_after_percent: a loss that stands by so much below the run's first is a plateau and no finding; null:
            every plateau is one.
    """

    needs = "losses of TRAIN"
    num_steps: int
    diff_percent: float
    increase_threshold_percent: float
    smoothing: int
    content_after_percent: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        # Since the last comparison, and before it what its mean took up.
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._first: float | None = None

    def see(self, sample: Sample) -> None:
        """Compare the newest losses of TRAIN with older ones."""
        if sample.mode == "TRAIN":
            for step, loss in finite_losses(sample):
                self._take(step, loss)

    def _take(self, step: int, loss: float) -> None:
        self._first = loss if self._first is None else self._first
        self._steps.append(step)
        self._losses.append(loss)
        if self._span() < self.num_steps:
            return
        end = bisect_right(self._steps, step - self.num_steps)
        was, now = self._losses[end - self.smoothing : end], self._losses[-self.smoothing :]
        self._compare(self._steps[end - 1], math.fsum(was) / self.smoothing, step, math.fsum(now) / self.smoothing)
        self._steps, self._losses = self._steps[-self.smoothing :], now

    def _span(self) -> int:
        """Steps between the first loss that can be averaged and the newest; -1 where there is none."""
        return self._steps[-1] - self._steps[self.smoothing - 1] if len(self._steps) >= self.smoothing else -1

    def _compare(self, before: int, was: float, step: int, now: float) -> None:
        content = self.content_after_percent
        assert self._first is not None
        learned = content is not None and now <= self._first - abs(self._first) * content / 100
        change = 100 * (now - was) / abs(was) if was else math.copysign(math.inf, now) if now else 0.0
        risen = change > self.increase_threshold_percent
        self.judge(
            not learned and was - now < abs(was) * self.diff_percent / 100,
            clause=RISEN if risen else NOT_FALLEN,
            value=change,
            threshold=self.increase_threshold_percent if risen else -self.diff_percent,
            step=step,
            mode="TRAIN",
            meaning=lambda: (
                f"The loss was {was:.4g} at step {before} and {now:.4g} at step {step}: a change of {change:+.2g} %, "
                f"where a fall of at least {self.diff_percent:g} % is expected. The head is not learning."
            ),
        )

    def needed(self, facts: Facts) -> str | None:
        """How far the losses reach."""
        if self.datapoints or not self._steps:
            return super().needed(facts)
        if len(self._steps) < self.smoothing:
            return f"{len(self._steps)} of {self.smoothing} losses of TRAIN to average"
        return f"{self._span()} of {self.num_steps} steps between two losses of TRAIN"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """The rate towards its usual value, or down where the loss rises."""
        overrides = remedies.usual_rate(facts)
        if finding.clause == RISEN:
            overrides = overrides or remedies.scaled_rate(facts, 0.1)
        elif not overrides:
            return with_remedy(finding, advice="Try a learning rate ten times as high, then one ten times as low.")
        return with_remedy(finding, *overrides, advice="" if overrides else "Lower the learning rate.")
