"""Which finding explains which: causes first, each followed by its consequences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dogbreed.health.findings import Outcome, Status
from dogbreed.health.rules.activations import ALIKE, INITIAL_LOSS
from dogbreed.health.rules.classes import MISPREDICTED, MISSING, ONE_LABEL
from dogbreed.health.rules.tensors import IN_INPUTS, IN_LOSS, IN_TENSOR
from dogbreed.health.rules.updates import LARGE, SMALL

#: What a head that learns badly, or not at all, shows as well.
_WEAK = ("Confusion", "LossNotDecreasing", "Overfit", "Overtraining")
_STILL = ("VanishingGradient", "AllZero", "UnchangedTensor")
_BLOCKED = ("DeadRelu", "SaturatedActivation", "PoorWeightInitialization")
_LEARNING = (*_WEAK, *_STILL, *_BLOCKED, "WeightUpdateRatio")
#: What the machine does; behind all that is about learning.
_MACHINE = (
    "MaxInitializationTime", "Dataloader", "IOBottleneck", "CPUBottleneck", "BatchSize", "LowGPUUtilization",
    "GPUMemoryIncrease", "LoadBalancing", "StepOutlier", "StalledTraining",
    "OverallSystemUsage", "OverallFrameworkMetrics",
)  # fmt: skip
_AFTERWARDS = (Status.ISSUES, Status.ERROR, Status.NOT_ENOUGH, Status.NO_ISSUES, Status.NOT_APPLICABLE)


@dataclass(frozen=True)
class Cause:
    """A finding that explains others.

    Attributes:
        rule: whose finding.
        explains: rules whose findings it explains.
        clauses: of the finding; empty for any.
        explained: clauses of the explained findings; empty for any.
        from_then_on: whether it explains only what was seen at its step or later.
    """

    rule: str
    explains: frozenset[str]
    clauses: frozenset[str] = frozenset()
    explained: frozenset[str] = frozenset()
    from_then_on: bool = False

    def covers(self, cause: Outcome, other: Outcome) -> bool:
        """Whether the one finding, being such a cause, explains the other."""
        return (
            cause.rule == self.rule
            and other.rule in self.explains
            and (not self.clauses or _clause(cause) in self.clauses)
            and (not self.explained or _clause(other) in self.explained)
            and (not self.from_then_on or _step(cause) <= _step(other))
        )


def _cause(
    rule: str,
    explains: Iterable[str],
    clauses: Iterable[str] = (),
    explained: Iterable[str] = (),
    from_then_on: bool = False,
) -> Cause:
    return Cause(rule, frozenset(explains), frozenset(clauses), frozenset(explained), from_then_on)


#: In the order in which causes that do not explain each other are told.
CAUSES = (
    _cause("ExplodingTensor", _LEARNING, [IN_INPUTS], from_then_on=True),
    _cause("CheckInputImages", _LEARNING),
    _cause("CheckInputImages", ["ExplodingTensor"], explained=[IN_LOSS, IN_TENSOR]),
    _cause("CheckInputImages", ["ClassImbalance"], explained=[MISPREDICTED]),
    _cause("WeightUpdateRatio", _LEARNING, [LARGE]),
    _cause("WeightUpdateRatio", ["ExplodingTensor"], [LARGE], [IN_LOSS, IN_TENSOR]),
    _cause("WeightUpdateRatio", ["ClassImbalance"], [LARGE], [MISPREDICTED]),
    _cause("ExplodingTensor", _LEARNING, from_then_on=True),
    _cause("ExplodingTensor", ["ClassImbalance"], explained=[MISPREDICTED]),
    _cause("SaturatedActivation", (*_STILL, *_WEAK, "PoorWeightInitialization")),
    _cause("SaturatedActivation", ["WeightUpdateRatio"], explained=[SMALL]),
    _cause("DeadRelu", (*_STILL, *_WEAK, "PoorWeightInitialization")),
    _cause("DeadRelu", ["WeightUpdateRatio"], explained=[SMALL]),
    _cause("UnchangedTensor", ["AllZero", "Confusion", "LossNotDecreasing", "Overtraining"]),
    _cause("UnchangedTensor", ["WeightUpdateRatio"], explained=[SMALL]),
    _cause("UnchangedTensor", ["PoorWeightInitialization"], explained=[INITIAL_LOSS]),
    _cause("UnchangedTensor", ["ClassImbalance"], explained=[MISPREDICTED]),
    _cause("ClassImbalance", ["Confusion"]),
    _cause("ClassImbalance", ["Overfit", "Overtraining"], [*MISSING.values(), *ONE_LABEL.values()]),
    _cause("Overfit", ["Overtraining", "Confusion"]),
    # A head that has learned its pictures by heart has nothing left to learn.
    _cause("Overfit", (*_STILL, "LossNotDecreasing"), from_then_on=True),
    _cause("Overfit", ["PoorWeightInitialization"], explained=[ALIKE], from_then_on=True),
    _cause("VanishingGradient", ["UnchangedTensor", "AllZero", "LossNotDecreasing", "Confusion", "Overtraining"]),
    _cause("PoorWeightInitialization", ["LossNotDecreasing", "Confusion"]),
    _cause("WeightUpdateRatio", ["LossNotDecreasing", "Confusion", "Overtraining"], [SMALL]),
    _cause("LossNotDecreasing", ["Confusion", "Overtraining"]),
    _cause("LossNotDecreasing", ["ClassImbalance"], explained=[MISPREDICTED]),
    _cause("Dataloader", ["LowGPUUtilization", "CPUBottleneck", "BatchSize", "StepOutlier", "StalledTraining"]),
    _cause("IOBottleneck", ["LowGPUUtilization", "StepOutlier", "StalledTraining"]),
    _cause("CPUBottleneck", ["LowGPUUtilization", "BatchSize"]),
    _cause("BatchSize", ["LowGPUUtilization"]),
)


def rank(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes, findings first: each cause, followed by those that it explains, whose `consequence_of` names it.

    Findings about the machine come behind those about learning; then errors, rules without enough data, rules that
    found nothing, and those that do not apply, each in their order.
    """
    outcomes = list(outcomes)
    found = sorted((outcome for outcome in outcomes if outcome.status is Status.ISSUES), key=_place)
    roots = [(outcome, _root(outcome, found)) for outcome in found]
    told: list[Outcome] = []
    for cause in (outcome for outcome, root in roots if root is outcome):
        told.append(cause)
        consequences = (outcome for outcome, root in roots if root is cause and outcome is not cause)
        told += [replace(outcome, consequence_of=cause.rule) for outcome in consequences]
    rest = [outcome for outcome in outcomes if outcome.status is not Status.ISSUES]
    return told + sorted(rest, key=lambda outcome: _AFTERWARDS.index(outcome.status))


def _root(outcome: Outcome, found: list[Outcome]) -> Outcome:
    """What explains it, and is explained by nothing else."""
    passed = [outcome]
    while (cause := next((other for other in found if _explains(other, passed[-1])), None)) is not None:
        if cause in passed:  # a circle, which a rule named twice could make
            break
        passed.append(cause)
    return passed[-1]


def _explains(cause: Outcome, other: Outcome) -> bool:
    if cause is other or not _covers(cause, other):
        return False
    # Of two that could explain each other the earlier does; of the same step, the one that is told first.
    return not _covers(other, cause) or (_step(cause), _place(cause)) < (_step(other), _place(other))


def _covers(cause: Outcome, other: Outcome) -> bool:
    return any(entry.covers(cause, other) for entry in CAUSES)


def _place(outcome: Outcome) -> tuple[int, int, float]:
    """Where a finding is told among those that nothing explains."""
    if outcome.rule in _MACHINE:
        return 2, _MACHINE.index(outcome.rule), _step(outcome)
    places = (
        number
        for number, entry in enumerate(CAUSES)
        if entry.rule == outcome.rule and (not entry.clauses or _clause(outcome) in entry.clauses)
    )
    place = next(places, None)
    return (1, 0, _step(outcome)) if place is None else (0, place, _step(outcome))


def _clause(outcome: Outcome) -> str:
    return outcome.finding.clause if outcome.finding is not None else ""


def _step(outcome: Outcome) -> float:
    step = None if outcome.finding is None else outcome.finding.step
    return 0 if step is None else step
