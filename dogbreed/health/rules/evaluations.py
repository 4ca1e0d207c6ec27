"""What the rules about classes share: the newest evaluation, and the names of the classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter

from dogbreed.health.findings import Outcome
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Facts, Sample


def class_name(index: int, facts: Facts) -> str:
    """The name of a class, or its number where the name is not known.

    >>> class_name(1, Facts(class_names=("Akita", "Beagle"))), class_name(1, Facts())
    ('Beagle', 'class 1')
    """
    return facts.class_names[index] if index < len(facts.class_names) else f"class {index}"


def balanced(facts: Facts) -> tuple[str, ...]:
    """The override that gives every class the same share in the loss, unless the run has it."""
    known = "class_weights" in facts.settings
    return ("class_weights=balanced",) if known and facts.settings["class_weights"] != "balanced" else ()


class Evaluation:
    """The pictures of the newest evaluation by true and predicted class.

    Attributes:
        step: of training at which it took place.
        pairs: (true, predicted) -> pictures.
    """

    def __init__(self) -> None:
        self.step = 0
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.whole = False

    def see(self, sample: Sample) -> None:
        """Take up a sample of EVAL; one after the end of an evaluation, or of a later step, begins another."""
        if self.whole or sample.step != self.step:
            self.pairs.clear()
        self.step, self.whole = sample.step, sample.ends_epoch
        for true, predicted, pictures in sample.pairs:
            self.pairs[true, predicted] += pictures

    def pictures(self) -> Counter[int]:
        """True class -> pictures."""
        counts: Counter[int] = Counter()
        for (true, _), pictures in self.pairs.items():
            counts[true] += pictures
        return counts

    def mistaken(self) -> list[tuple[float, int, int]]:
        """(share taken for others, class, pictures) of each class that has pictures, the worst first."""
        pictures = self.pictures()
        shares = [(1 - self.pairs[index, index] / count, index, count) for index, count in pictures.items() if count]
        return sorted(shares, key=lambda entry: (-entry[0], entry[1]))


class ClassRule(Rule, ABC):
    """A rule that judges what was counted when it is asked, for it needs the names and the number of the classes.

    So the newest evaluation speaks: what an untrained head mistook is forgotten.
    """

    def outcome(self, facts: Facts) -> Outcome:
        """What it says now, judged anew."""
        self.datapoints, self.violations, self.finding = 0, 0, None
        self.weigh(facts)
        return super().outcome(facts)

    @abstractmethod
    def weigh(self, facts: Facts) -> None:
        """Judge what was counted."""

    def applies(self, facts: Facts) -> str | None:
        """Not to a single class."""
        return "there is only one class" if facts.num_classes == 1 else None
