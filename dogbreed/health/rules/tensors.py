"""Rules that judge by the statistics of tensors: gradients, weights, and whatever else was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.samples import Facts, Sample, TensorStats

VANISHING = "gradient near zero"
IN_INPUTS, IN_LOSS, IN_TENSOR = (
    "no finite number in the inputs",
    "loss no finite number",
    "no finite number in a tensor",
)
ALL_ZERO = "all zero"
STALLED = "no new tensor"

#: Which of several tensors is named: what a reader can act on first.
_NAMED_FIRST = ("weights", "biases", "inputs")


def of(sample: Sample, collection: str) -> Iterator[tuple[str, TensorStats]]:
    """The sample's tensors of a collection that hold a finite value, by name."""
    for name, stats in sample.tensors.items():
        if stats.collection == collection and stats.size > stats.nans + stats.infs:
            yield name, stats


def order(stats: TensorStats) -> int:
    """Where the tensor stands among several that a finding could name."""
    return _NAMED_FIRST.index(stats.collection) if stats.collection in _NAMED_FIRST else len(_NAMED_FIRST)


def nothing_left(sample: Sample, loss_above: float | None) -> bool:
    """Whether the newest loss is so low that there is nothing left to learn."""
    return loss_above is not None and bool(sample.losses) and sample.losses[-1][1] <= loss_above


@dataclass(kw_only=True)
class VanishingGradient(Rule):
    """The gradient of a parameter is near zero: the mean of its absolute values.

    A parameter without a gradient is no data.

    Attributes:
        loss_above: judged only while the batch's loss is above it: with nothing left to learn gradients may vanish;
            null: always.
    """

    needs = "gradients"
    threshold: float
    loss_above: float | None

    def see(self, sample: Sample) -> None:
        """Judge the smallest gradient."""
        found = [(stats.abs_mean, name) for name, stats in of(sample, "gradients")]
        if not found:
            return
        size, name = min(found)
        self.judge(
            size < self.threshold and not nothing_left(sample, self.loss_above),
            clause=VANISHING,
            value=size,
            threshold=self.threshold,
            step=sample.step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: (
                f"The values of {name} are {size:.2g} on average, below {self.threshold:g}: "
                "what it belongs to no longer learns."
            ),
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A head without layers that can block the gradient."""
        linear = " A head without hidden layers (head=linear) has none." if "head.hidden" in facts.settings else ""
        return with_remedy(finding, advice=f"Look for a layer behind it that is dead or saturated.{linear}")


@dataclass(kw_only=True)
class ExplodingTensor(Rule):
    """A value is no finite number: NaN, or infinite.

    Named is the earliest, and of one step the inputs before the loss before the rest: in this order they infect
    each other.

    Attributes:
        only_nan: infinities are no matter.
        gradients: whether those count. In half precision the scaler skips a step whose gradients overflow.
    """

    needs = "tensors or losses"
    only_nan: bool
    gradients: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        self._losses: tuple[float, float] | None = None  # the first, and the newest that is finite
        self._calm = False

    def see(self, sample: Sample) -> None:
        """Judge every tensor and every loss."""
        found = sorted(self._found(sample), key=lambda entry: entry[:2])
        for loss in (loss for _, loss in sample.losses if sample.mode == "TRAIN" and math.isfinite(loss)):
            self._losses = (self._losses[0] if self._losses else loss, loss)
        if found and self.finding is None:
            self._calm = self._losses is None or self._losses[1] <= 2 * self._losses[0]
        if not sample.tensors and not sample.losses:
            return
        step, _, clause, name, count, size = found[0] if found else (sample.step, 0, IN_TENSOR, "", 0, 0)
        self.judge(
            bool(found),
            clause=clause,
            value=count,
            threshold=0,
            step=step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: (
                (
                    f"The loss is {count}"
                    if clause == IN_LOSS
                    else f"{count:,} of {size:,} values of {name} are NaN or inf"
                )
                + f" at step {step}. Whatever is computed with it is no number either: the run is lost from here on."
            ),
        )

    def _found(self, sample: Sample) -> Iterator[tuple[int, int, str, str, float, int]]:
        for name, stats in sample.tensors.items():
            bad = stats.nans + (0 if self.only_nan else stats.infs)
            if bad and (self.gradients or stats.collection != "gradients"):
                inputs = stats.collection == "inputs"
                yield sample.step, 0 if inputs else 2, IN_INPUTS if inputs else IN_TENSOR, name, bad, stats.size
        for step, loss in sample.losses:
            if math.isnan(loss) or (math.isinf(loss) and not self.only_nan):
                # In EVAL a loss has the number of its batch for a step.
                yield step if sample.mode == "TRAIN" else sample.step, 1, IN_LOSS, "loss", loss, 1

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A lower rate where the loss had grown; another look at the pictures where it had not."""
        if finding.clause == IN_INPUTS or (finding.clause == IN_LOSS and self._calm):
            half = facts.settings.get("features.precision") not in (None, "fp32")
            where = f"at {finding.tensor}" if finding.clause == IN_INPUTS else f"at the pictures of step {finding.step}"
            return with_remedy(
                finding,
                *(("features.precision=fp32",) if half else ()),
                advice=f"Look {where}: the training was calm until then, so a picture or its features are broken.",
            )
        overrides = (*remedies.scaled_rate(facts, 0.1), *(("trainer.gradient_clip_val=1.0",) if facts.settings else ()))
        return with_remedy(finding, *overrides, advice="" if overrides else "Lower the learning rate, clip gradients.")


@dataclass(kw_only=True)
class AllZero(Rule):
    """A tensor is zero, or nearly everywhere; biases that begin at zero are not meant, until they have been something.

    Attributes:
        threshold: share of zeros, in percent.
        loss_above: gradients are judged only while the batch's loss is above it; null: always.
    """

    needs = "tensors"
    threshold: float
    loss_above: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._begun: set[str] = set()  # tensors that have not been zero

    def see(self, sample: Sample) -> None:
        """Judge the tensor with the largest share of zeros."""
        passed = {"gradients"} if nothing_left(sample, self.loss_above) else set()
        self._begun.update(name for name, stats in sample.tensors.items() if stats.zeros < stats.size)
        found = [
            (-100 * stats.zeros / stats.size, order(stats), name)
            for name, stats in sample.tensors.items()
            if stats.size and stats.collection not in passed and (stats.collection != "biases" or name in self._begun)
        ]
        if not found:
            return
        least, _, name = min(found)
        self.judge(
            -least >= self.threshold,
            clause=ALL_ZERO,
            value=-least,
            threshold=self.threshold,
            step=sample.step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: f"{-least:.4g} % of the values of {name} are zero: it carries nothing.",
        )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Where to look."""
        return with_remedy(finding, *remedies.usual_rate(facts), advice="Look at how this tensor is made.")


@dataclass(kw_only=True)
class StalledTraining(Rule):
    """Between two samples, of whichever mode, lies more than `threshold` seconds."""

    threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._last: float | None = None

    def see(self, sample: Sample) -> None:
        """Judge the time since the sample before."""
        last, self._last = self._last, sample.seconds
        if last is None:
            return
        gap = sample.seconds - last
        self.judge(
            gap > self.threshold,
            clause=STALLED,
            value=gap,
            threshold=self.threshold,
            step=sample.step,
            mode=sample.mode,
            meaning=lambda: f"Nothing came for {gap / 60:.0f} minutes before step {sample.step}: the training stood.",
        )

    def needed(self, facts: Facts) -> str | None:
        """Two samples have a time between them."""
        return None if self.datapoints else f"{0 if self._last is None else 1} of 2 samples"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Where to look."""
        return with_remedy(finding, advice="Look at what the loader processes and the disk did in that time.")
