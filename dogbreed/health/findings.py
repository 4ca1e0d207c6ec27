"""What a rule says of a run: a status, and for a finding where, how much, what it means and what to change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Status(str, Enum):
    """AWS's words for a rule that has ended, and two that it lacks: NotApplicable, NotEnoughData."""

    NO_ISSUES = "NoIssuesFound"
    ISSUES = "IssuesFound"
    NOT_APPLICABLE = "NotApplicable"
    NOT_ENOUGH = "NotEnoughData"
    ERROR = "Error"


@dataclass(frozen=True)
class Finding:
    """The first moment at which a rule saw what it looks for.

    Attributes:
        step: optimiser steps done by then; None where it is no matter of a step.
        mode: TRAIN or EVAL; None where it is no matter of either.
        tensor: the name of the tensor, layer, class or device it was seen in; None for the run as a whole.
        clause: which of the rule's conditions was met, in a few words, the same words each time.
        value: what was measured.
        threshold: what it was compared with.
        meaning: one or two sentences for a person, with the numbers in it.
        remedy: Hydra overrides that can be pasted behind the run's command; empty where none can help.
        advice: what to do, in a sentence, where overrides alone do not say it.
    """

    clause: str
    value: float
    threshold: float
    meaning: str
    step: int | None = None
    mode: str | None = None
    tensor: str | None = None
    remedy: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a rule says of a run.

    Attributes:
        rule: its name, AWS's where AWS has one.
        status: see `Status`.
        reason: a sentence: why it does not apply, how much of which data is missing, what the error was, or what
            was looked at and found in order.
        parameters: the rule's, by AWS's names.
        datapoints: how often it could judge.
        violations: how often it found something.
        finding: the first of them; None where there is none.
        details: tables for the report, plain values.
        consequence_of: the rule whose finding explains this one; None where it stands for itself.
    """

    rule: str
    status: Status
    reason: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    datapoints: int = 0
    violations: int = 0
    finding: Finding | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    consequence_of: str | None = None

    def to_json(self) -> dict[str, Any]:
        """AWS's fields of a rule's report, then ours."""
        return {
            "RuleConfigurationName": self.rule,
            "RuleEvaluationStatus": self.status.value,
            "RuleTriggered": self.violations,
            "Violations": self.violations,
            "Details": dict(self.details),
            "Datapoints": self.datapoints,
            "RuleParameters": "\n".join(f"{key}:{value}" for key, value in self.parameters.items()),
            "reason": self.reason,
            "consequence_of": self.consequence_of,
            "finding": None if self.finding is None else {**asdict(self.finding), **_numbers(self.finding)},
        }


def _numbers(finding: Finding) -> dict[str, float | str]:
    """The value and its threshold; JSON has no number for what is not finite, so that becomes a word."""
    both = {"value": finding.value, "threshold": finding.threshold}
    return {key: value if math.isfinite(value) else str(value) for key, value in both.items()}
