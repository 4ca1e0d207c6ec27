"""The sentences that an audit's page begins with: what is wrong, what can be believed, what excluding does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dogbreed.audit.audit import Audit
from dogbreed.reports.audit_contents import EXCLUDE, LEAKS, Twins, count_kinds, count_severities, emptied, leaked, total
from dogbreed.reports.names import legible
from dogbreed.reports.verdict import Sentence
from dogbreed.reports.words import count, percent
from dogbreed.serving.names import readable
from dogbreed.sweeps.dimensions import override_line

_NAMED = 5  # kinds or classes that a sentence lists


def judge_audit(audit: Audit, twins: list[Twins], out: Path) -> list[Sentence]:
    """The sentences.

    Args:
        audit: it.
        twins: its pairs.
        out: the folder that holds its exclusion list.
    """
    return [
        Sentence("Is anything wrong", *_what_is_wrong(audit, twins)),
        Sentence("Can the test accuracy be believed", *_what_leaks(audit, twins)),
        _what_excluding_does(audit, out),
    ]


def _what_is_wrong(audit: Audit, twins: list[Twins]) -> tuple[str, str, str]:
    numbers, looked = count_severities(audit), count(len(audit.looks), "picture")
    errors, warnings, notes = numbers["error"], numbers["warning"], numbers["note"]
    noted = f"{count(notes, 'note')} on what is good to know." if notes else ""
    if not errors + warnings:
        return "good", f"No problem was found in {looked}.", noted
    lies = sum("test" in (one.first.split, one.second.split) for one in twins if one.kind in LEAKS)
    strong = f"{count(errors + warnings, 'problem')} in {looked}: {_listed(errors, warnings)}"
    strong += f"; {lies:,} {'makes' if lies == 1 else 'make'} the test accuracy lie." if lies else "."
    by_hand = [(kind, n) for kind, n in count_kinds(audit) if kind.severity != "note" and not kind.excludes]
    listed = ", ".join(f"{kind.name.replace('_', ' ')} ({n:,})" for kind, n in by_hand[:_NAMED])
    listed += ", and more" if len(by_hand) > _NAMED else ""
    rest = f"To be mended by hand: {listed}." if listed else "The exclusion list takes care of all of them."
    return ("bad" if errors else "plain"), strong, f"{rest} {noted}".strip()


def _listed(errors: int, warnings: int) -> str:
    found = [count(number, name) for number, name in ((errors, "error"), (warnings, "warning")) if number]
    return " and ".join(found)


def _what_leaks(audit: Audit, twins: list[Twins]) -> tuple[str, str, str]:
    test, of_test = leaked(twins, "test"), total(audit.before.get("test", {}))
    also = list(_what_else_misleads(twins))
    if test:
        strong = f"Not as it stands: {count(test, 'picture')} of test, {percent(test / max(1, of_test), 1)}, "
        strong += f"{_stand(test)} in train or val too."
        return "bad", strong, " ".join(["There a model is judged on what it has learned by heart.", *also])
    strong = "No photograph of test stands in train or val." if of_test else "There is no test picture to judge by."
    return ("bad" if also else "good" if of_test else "plain"), strong, " ".join(also)


def _what_else_misleads(twins: list[Twins]) -> Iterator[str]:
    val = leaked(twins, "val")
    if val:
        yield f"{count(val, 'picture')} of val {_stand(val)} in train, which flatters the choice of a model."
    labels = sum(one.first.class_name != one.second.class_name for one in twins)
    if labels:
        yield f"{count(labels, 'pair')} of the same photograph {_stand(labels)} in two classes."


def _stand(number: int) -> str:
    return "stands" if number == 1 else "stand"


def _what_excluding_does(audit: Audit, out: Path) -> Sentence:
    topic = "What excluding does"
    before = sum(map(total, audit.before.values()))
    after = sum(map(total, audit.after.values()))
    if not audit.exclusions:
        return Sentence(topic, "plain", "No file has to be left out.", f"All {count(before, 'picture')} can be used.")
    lost = emptied(audit)
    listed = ", ".join(f"{legible(readable(name), 60)} in {split}" for split, name in lost[:_NAMED])
    more = f" and {count(len(lost) - _NAMED, 'more class', 'more classes')}" if len(lost) > _NAMED else ""
    rest = f"No picture is left of {listed}{more}." if lost else "Every class keeps pictures in each of its splits."
    strong = f"Leaving out {count(len(audit.exclusions), 'file')} keeps {after:,} of {count(before, 'usable picture')}."
    remedy = override_line("data.exclude", str(out / EXCLUDE))
    return Sentence(topic, "bad" if lost else "plain", strong, rest, remedy)
