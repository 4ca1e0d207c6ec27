"""The three sentences that a report begins with: how good, what is wrong, where the time went."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dogbreed.health.findings import Outcome, Status
from dogbreed.reports.contents import Health, Profile, Run
from dogbreed.reports.run_plots import TRAINING, initialisation
from dogbreed.reports.scores import interval
from dogbreed.reports.words import count, duration, percent, sentence

_WAITING = "waiting for data"


@dataclass(frozen=True)
class Sentence:
    """An answer.

    Attributes:
        topic: the question, in two or three words.
        tone: good, bad or plain.
        strong: the answer in short.
        rest: how it is meant; goes on after `strong`.
        remedy: overrides to paste; empty where there are none.
    """

    topic: str
    tone: str
    strong: str
    rest: str = ""
    remedy: str = ""


def judge(run: Run) -> list[Sentence]:
    """The three sentences."""
    return [
        Sentence("How good", *_how_good(run)),
        _what_is_wrong(run.health, run),
        Sentence("Where the time went", "plain", *_where_time_went(run.profile, run)),
    ]


def class_sizes(run: Run, split: str = "test") -> list[int]:
    """Pictures of each class in a split; empty where that is not known."""
    if run.data is not None and split in run.data.counts:
        return list(run.data.counts[split])
    return [int(row["pictures"]) for row in run.per_class] if split == "test" else []


def _how_good(run: Run) -> tuple[str, str, str]:
    if "test/acc" not in run.metrics:
        return ("plain", *_how_far(run))
    accuracy, sizes = run.metrics["test/acc"], class_sizes(run)
    pictures, classes = len(run.predictions) or sum(sizes), len(run.class_names) or len(sizes)
    if not pictures or not classes or math.isnan(accuracy):
        return "plain", f"The test accuracy is {percent(accuracy, 1)}.", "Of how many pictures is not recorded."
    low, high = interval(accuracy, pictures)
    chance, usual = 1 / classes, max(sizes, default=0) / max(1, sum(sizes))
    strong = f"{percent(accuracy, 1)} of {count(pictures, 'test picture')} are named right,"
    among, certain = count(classes, "class", "classes"), f"{percent(0.95)} interval"
    rest = f"among {among} ({certain}: {percent(low, 1)} to {percent(high, 1)})."
    if classes == 1:
        return "plain", strong, f"{rest} Nothing else could have been named."
    rest += f" Chance is {percent(chance, 1)}"
    # In a balanced test set the two are the same thing.
    rest += f", and always naming the most frequent class {percent(usual, 1)}." if usual > 1.1 * chance else "."
    if low <= max(chance, usual):
        return "bad", strong, f"{rest} That is not clearly better than guessing."
    return "plain", strong, rest


def _how_far(run: Run) -> tuple[str, str]:
    measured = [row for row in run.epochs if not math.isnan(row.get("val/acc", math.nan))]
    if not measured:
        return (
            "How good it is cannot be said:",
            "the folder holds no metrics; the run ended before its first epoch did.",
        )
    best = max(measured, key=lambda row: row["val/acc"])
    return (
        f"There is no test result after {count(len(run.epochs), 'epoch')}:",
        f"the run has not ended, or not well. Its best accuracy on val was {percent(best['val/acc'], 1)},"
        f" in epoch {best['epoch']:.0f}.",
    )


def findings(health: Health) -> list[Outcome]:
    """What the rules found that stands for itself, first things first."""
    return [one for one in health.outcomes if one.status is Status.ISSUES and not _is_explained(one, health)]


def consequences(outcome: Outcome, health: Health) -> list[Outcome]:
    """What else the rules found that this finding explains."""
    return [one for one in health.outcomes if one.consequence_of == outcome.rule and one.status is Status.ISSUES]


def _is_explained(outcome: Outcome, health: Health) -> bool:
    causes = {one.rule for one in health.outcomes if one.status is Status.ISSUES and one.consequence_of is None}
    return outcome.consequence_of in causes


def _what_is_wrong(health: Health | None, run: Run) -> Sentence:
    topic = "Is anything wrong"
    if health is None:
        why = run.folder.why("health.json", "no rules watched this run")
        unread = "health.json" in run.folder.problems
        return Sentence(topic, "plain", "That cannot be said." if unread else "Nobody looked.", why)
    found = findings(health)
    if found and found[0].finding is not None:
        first = found[0].finding
        follow = len(consequences(found[0], health))
        more = [count(follow, "finding follows", "findings follow") + " from it" if follow else ""]
        more += [count(len(found) - 1, "more stands", "more stand") + " below" if len(found) > 1 else ""]
        also = "; ".join(filter(None, more))
        rest = " ".join(filter(None, [sentence(first.meaning), sentence(first.advice), sentence(also)]))
        return Sentence(topic, "bad", f"{found[0].rule}: {first.clause}.", rest, " ".join(first.remedy))
    number = {status: sum(one.status is status for one in health.outcomes) for status in Status}
    judged = number[Status.NO_ISSUES]
    others = [
        (number[Status.NOT_APPLICABLE], "does not apply to such a run", "do not apply to such a run"),
        (number[Status.NOT_ENOUGH], "had not enough data", "had not enough data"),
        (number[Status.ERROR], "could not be evaluated", "could not be evaluated"),
    ]
    rest = ", ".join(f"{many} {one if many == 1 else more}" for many, one, more in others if many)
    looked = f"{count(judged, 'rule')} looked and {'was' if judged == 1 else 'were'} content"
    tone = "good" if judged and not number[Status.ERROR] else "plain"
    return Sentence(topic, tone, "No rule found anything.", f"{looked}{'; ' if rest else ''}{rest}.")


def _where_time_went(profile: Profile | None, run: Run) -> tuple[str, str]:
    if profile is None:
        return "That is not known.", run.folder.why("profile.json", "the run is older than its profile, or did not end")
    whole = profile.seconds or 1.0
    before = initialisation(profile.phases)
    spent = sum(phase.seconds for phase in before)
    strong = f"{duration(profile.seconds)} in all, {percent(spent / whole)} of it before the first step of training."
    rest = ""
    if before:
        longest = max(before, key=lambda phase: phase.seconds)
        rest = f"Most of that: {longest.name}, {duration(longest.seconds)}. "
    training = next((phase for phase in profile.phases.parts if phase.name == TRAINING), None)
    if training is not None:
        waiting = next((part.seconds for part in training.parts if part.name == _WAITING), 0.0)
        share = f", {percent(waiting / training.seconds)} of it waiting for data" if training.seconds else ""
        rest += f"Training took {duration(training.seconds)}{share}."
    return strong, rest
