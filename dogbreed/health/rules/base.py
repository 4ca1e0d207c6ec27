"""What a rule is: a small class that is fed with samples and says at any time what it has seen."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from dogbreed.health.findings import Finding, Outcome, Status
from dogbreed.health.samples import Facts, MachineSample, Measure, PictureStats, Sample


@dataclass(kw_only=True)
class Rule:
    """A rule; a subclass declares its parameters as fields and overrides what it looks at.

    A rule of your own is one class, named in the config:
    `+health.rules.Mine._target_=my_module.Mine +health.rules.Mine.threshold=3`.

    Attributes:
        needs: what it judges by, in the words of a message: "gradients", "losses of TRAIN and EVAL".
        datapoints: how often it could judge so far.
        violations: how often it has found something.
        finding: the first of them.
    """

    needs: ClassVar[str] = "samples"

    def __post_init__(self) -> None:
        self.datapoints = 0
        self.violations = 0
        self.finding: Finding | None = None

    @property
    def name(self) -> str:
        """The name of the class, AWS's where AWS has the rule."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def measure(self, measure: Measure) -> Measure:
        """How the tensors must be measured for this rule: the given way, or that with its own tolerances."""
        return measure

    def see(self, sample: Sample) -> None:
        """Look at the run at a step."""

    def see_pictures(self, pictures: PictureStats) -> None:
        """Look at the pictures as the backbone reads them."""

    def see_machine(self, machine: MachineSample) -> None:
        """Look at the machine at a moment."""

    def applies(self, facts: Facts) -> str | None:
        """None, or why the rule cannot apply to such a run."""
        return None

    def needed(self, facts: Facts) -> str | None:
        """None, or what is still missing for a verdict, such as "3 of 10 losses of TRAIN"."""
        return None if self.datapoints else f"no {self.needs} so far"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """The finding with its remedy for this run, by `dataclasses.replace`."""
        return finding

    def details(self, facts: Facts) -> dict[str, Any]:
        """Tables for the report."""
        return {}

    def judge(self, violated: bool, **found: Any) -> None:
        """Count a datapoint, and a violation where it is one; `found` makes the Finding of the first.

        `meaning` may be a callable, which is called for the first violation alone.
        """
        self.datapoints += 1
        if not violated:
            return
        self.violations += 1
        if self.finding is None:
            if callable(found["meaning"]):
                found["meaning"] = found["meaning"]()
            self.finding = Finding(**found)

    def outcome(self, facts: Facts) -> Outcome:
        """What it says now."""
        finding = self.finding and self.explained(self.finding, facts)
        status, reason = self._status(facts)
        return Outcome(
            rule=self.name,
            status=status,
            reason=reason,
            parameters=self.parameters,
            datapoints=self.datapoints,
            violations=self.violations,
            finding=finding,
            details=self.details(facts),
        )

    def _status(self, facts: Facts) -> tuple[Status, str]:
        if self.finding is not None:
            return Status.ISSUES, self.finding.meaning
        if (why := self.applies(facts)) is not None:
            return Status.NOT_APPLICABLE, why
        if (missing := self.needed(facts)) is not None:
            return Status.NOT_ENOUGH, missing
        return Status.NO_ISSUES, f"looked at {self.datapoints:,} times, found nothing"


def with_remedy(finding: Finding, *overrides: str, advice: str = "") -> Finding:
    """The finding with overrides to paste, and a sentence."""
    return replace(finding, remedy=overrides, advice=advice)
