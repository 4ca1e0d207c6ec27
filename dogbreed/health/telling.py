"""What the rules said, in words for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from dogbreed.health.findings import Finding, Outcome, Status

_WIDTH = 116
_OTHERS = {
    Status.NO_ISSUES: "found nothing",
    Status.NOT_ENOUGH: "had not enough data",
    Status.NOT_APPLICABLE: "did not apply",
    Status.ERROR: "could not judge",
}


def tell(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines: the findings, causes first, each with its remedy; then how the rules ended.

    Args:
        outcomes: ranked.
    """
    return list(_lines(outcomes))


def tell_all(outcomes: Sequence[Outcome]) -> list[str]:
    """The same, and what each of the rules has to say."""
    return [*_lines(outcomes), *_rest(outcomes)]


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    found = [outcome for outcome in outcomes if outcome.finding is not None]
    for outcome in found:
        if outcome.consequence_of is not None:
            continue
        assert outcome.finding is not None
        yield from _wrapped(f"health: {outcome.rule}{_where(outcome.finding)}: {outcome.finding.meaning}")
        if outcome.finding.remedy:
            yield f"  try: {' '.join(outcome.finding.remedy)}"
        if outcome.finding.advice:
            yield from _wrapped(f"  {outcome.finding.advice}")
        follow = [other.rule for other in found if other.consequence_of == outcome.rule]
        if follow:
            yield from _wrapped(f"  which explains what others found: {', '.join(follow)}")
    counts = Counter(outcome.status for outcome in outcomes)
    rest = ", ".join(f"{counts[status]} {words}" for status, words in _OTHERS.items() if counts[status])
    yield f"health: of {len(outcomes)} rules {counts[Status.ISSUES]} found something" + (f", {rest}" if rest else "")


def _rest(outcomes: Sequence[Outcome]) -> Iterator[str]:
    width = max((len(outcome.rule) for outcome in outcomes), default=0)
    for outcome in outcomes:
        status = outcome.status.value
        if outcome.finding is not None:
            status += f" (of {outcome.consequence_of})" if outcome.consequence_of else ""
        head = f"  {outcome.rule:{width}}  {status:17}  "
        yield from _wrapped(head + outcome.reason, indent=" " * len(head))


def _where(finding: Finding) -> str:
    place = f" at step {finding.step:,}" if finding.step is not None else ""
    return f"{place} of {finding.mode}" if finding.mode else place


def _wrapped(text: str, indent: str = "  ") -> Iterator[str]:
    yield from textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
