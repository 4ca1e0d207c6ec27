"""Several rules together: fed with the same events, their findings ranked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dogbreed.health.findings import Outcome, Status
from dogbreed.health.ranking import rank
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Event, Facts, MachineSample, Measure, PictureStats


class Panel:
    """Rules that see the same run.

    A rule that fails (one of the user's own, say) is out of the panel with its error; the run goes on.

    Args:
        rules: fed in their order.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)
        self._errors: dict[int, str] = {}
        measure = Measure()
        for rule in self.rules:
            measure = rule.measure(measure)
        self.measure = measure

    def see(self, *events: Event) -> None:
        """Show events to every rule."""
        for event in events:
            for number, rule in enumerate(self.rules):
                if number in self._errors:
                    continue
                try:
                    _show(rule, event)
                except Exception as error:  # whatever a rule of the user's own stumbles over
                    self._errors[number] = f"{type(error).__name__}: {error}"

    def outcomes(self, facts: Facts, names: Collection[str] | None = None) -> list[Outcome]:
        """What each rule says, or each of those that are named, ranked."""
        asked = ((number, rule) for number, rule in enumerate(self.rules) if names is None or rule.name in names)
        return rank([self._outcome(number, rule, facts) for number, rule in asked])

    def _outcome(self, number: int, rule: Rule, facts: Facts) -> Outcome:
        error = self._errors.get(number)
        if error is None:
            try:
                return rule.outcome(facts)
            except Exception as broken:  # the same
                error = f"{type(broken).__name__}: {broken}"
        return Outcome(rule.name, Status.ERROR, f"it could not judge, which is no finding: {error}", rule.parameters)


def _show(rule: Rule, event: Event) -> None:
    if isinstance(event, MachineSample):
        rule.see_machine(event)
    elif isinstance(event, PictureStats):
        rule.see_pictures(event)
    else:
        rule.see(event)
