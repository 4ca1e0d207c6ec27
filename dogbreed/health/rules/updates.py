"""Rules that judge by how far the weights move from sample to sample of the training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.losses import finite_losses
from dogbreed.health.rules.tensors import of, order
from dogbreed.health.samples import Facts, Measure, Sample

UNCHANGED = "unchanged"
LARGE, SMALL = "update large against the weights", "update small against the weights"

#: |update| / |weight| of a head's healthy first steps: 0.002 to 0.1, measured on linear and two-layer heads.
_HEALTHY = 0.01
#: Samples within which the loss shows whether a large update did harm.
_SHOWS_WITHIN = 10


@dataclass(kw_only=True)
class UnchangedTensor(Rule):
    """A tensor of the training stands still: its newest `num_steps` samples are all close, as numpy.allclose has it.

    Compared are neighbours: num_steps samples, num_steps - 1 comparisons. Only TRAIN counts, for within an
    evaluation weights stand still. What is frozen is not measured.
    """

    needs = "tensors that are compared"
    num_steps: int
    rtol: float
    atol: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seen: dict[str, int] = {}  # samples
        self._same: dict[str, int] = {}  # comparisons in a row that were close
        self._unchanged: list[str] = []

    def measure(self, measure: Measure) -> Measure:
        """With its own tolerance, if it is relative."""
        return replace(measure, rtol=self.rtol) if self.rtol else measure

    def see(self, sample: Sample) -> None:
        """Judge the tensors that have enough samples."""
        if sample.mode != "TRAIN":
            return
        compared = {name: stats for name, stats in sample.tensors.items() if stats.excess is not None}
        for name, stats in compared.items():
            moved = stats.excess if self.rtol else stats.update_max
            assert moved is not None
            self._seen[name] = self._seen.get(name, 1) + 1
            self._same[name] = self._same.get(name, 0) + 1 if moved <= self.atol else 0
        if not any(self._seen[name] >= self.num_steps for name in compared):
            return
        still = [name for name in compared if self._same[name] >= self.num_steps - 1]
        still.sort(key=lambda name: order(compared[name]))
        if still and not self._unchanged:
            self._unchanged = still
        named = still[0] if still else ""
        self.judge(
            bool(still),
            clause=UNCHANGED,
            value=(compared[named].update_l2 or 0.0) if still else 0.0,
            threshold=self.atol,
            step=sample.step,
            mode=sample.mode,
            tensor=named,
            meaning=lambda: (
                f"{named} was the same in {self.num_steps} samples in a row, up to step {sample.step}: "
                "it is not being trained."
            ),
        )

    def needed(self, facts: Facts) -> str | None:
        """How many samples there are."""
        if self.datapoints or not self._seen:
            return super().needed(facts)
        return f"{max(self._seen.values())} of {self.num_steps} samples of a tensor"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """The usual rate in the place of zero, or of one that is far too low."""
        overrides = remedies.usual_rate(facts)
        advice = "" if overrides else "See that the learning rate is not zero and that a gradient reaches it."
        return with_remedy(finding, *overrides, advice=advice)

    def details(self, facts: Facts) -> dict[str, Any]:
        """What stood still when it was first seen."""
        return {"unchanged": self._unchanged} if self._unchanged else {}


@dataclass(kw_only=True)
class WeightUpdateRatio(Rule):
    """The weights change by many times, or next to nothing of, what they were.

    The ratio is |w - w_before| / (|w_before| + epsilon) between two samples of TRAIN. AWS does not publish the norm:
    here it is L2. Weights that are all zero have no ratio.

    Attributes:
        loss_factor: a large update is a finding only if the loss stands, in the same sample or one of the next ten,
            at so many times the run's first; null: always.
    """

    needs = "weights at two steps"
    large_threshold: float
    small_threshold: float
    epsilon: float
    loss_factor: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._norms: dict[str, tuple[int, float]] = {}  # step and norm at the last sample
        self._first: float | None = None
        self._suspect: dict[str, Any] | None = None  # a large update, until the loss shows what it did
        self._left = 0  # samples that it still has
        self._steps = 1  # that lie in the update of the finding

    def see(self, sample: Sample) -> None:
        """Judge the weight that changed most, and the one that changed least."""
        if sample.mode != "TRAIN":
            return
        losses = finite_losses(sample)
        if self._first is None and losses:
            self._first = losses[0][1]
        ratios = list(self._ratios(sample))
        if ratios and self._suspect is None:
            self._suspect_largest(sample, *max(ratios))
        if self._suspect is not None and self._harmful(losses, self._suspect["step"]):
            self.judge(True, **self._suspect)
            self._suspect = None
        elif ratios:
            self._judge_smallest(sample, *min(ratios))
        if self._left:
            self._left -= 1
        else:
            self._suspect = None

    def _ratios(self, sample: Sample) -> list[tuple[float, str, int]]:
        found = []
        for name, stats in of(sample, "weights"):
            step, norm = self._norms.get(name, (sample.step, 0.0))
            self._norms[name] = sample.step, stats.l2
            if norm and stats.update_l2 is not None and math.isfinite(stats.update_l2):
                found.append((stats.update_l2 / (norm + self.epsilon), name, max(1, sample.step - step)))
        return found

    def _suspect_largest(self, sample: Sample, ratio: float, name: str, steps: int) -> None:
        if ratio <= self.large_threshold:
            return
        if self.finding is None:
            self._steps = steps
        self._left = _SHOWS_WITHIN
        self._suspect = {
            "clause": LARGE,
            "value": ratio,
            "threshold": self.large_threshold,
            "step": sample.step,
            "mode": sample.mode,
            "tensor": name,
            "meaning": lambda: (
                f"In {steps} step{'s' * (steps > 1)} before step {sample.step}, {name} changed by {ratio:.3g} times "
                "its own size: each step throws away what was learned, for the learning rate is too high."
            ),
        }

    def _harmful(self, losses: list[tuple[int, float]], since: int) -> bool:
        if self.loss_factor is None:
            return True
        bound = math.inf if self._first is None else self.loss_factor * self._first
        return any(loss >= bound for step, loss in losses if step >= since)

    def _judge_smallest(self, sample: Sample, ratio: float, name: str, steps: int) -> None:
        self.judge(
            ratio < self.small_threshold,
            clause=SMALL,
            value=ratio,
            threshold=self.small_threshold,
            step=sample.step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: (
                f"Before step {sample.step}, {name} changed by {ratio:.2g} times its own size: it is hardly trained."
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """The rate times what brings a step's ratio to a healthy one; the usual rate where it is too low."""
        if finding.clause == LARGE:
            overrides = remedies.scaled_rate(facts, _HEALTHY * self._steps / finding.value)
            return with_remedy(finding, *overrides, advice="" if overrides else "Lower the learning rate.")
        overrides = remedies.usual_rate(facts)
        return with_remedy(finding, *overrides, advice="" if overrides else "Raise the learning rate.")
