"""A rule that judges how many pictures each class has, and which classes are never recognised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import with_remedy
from dogbreed.health.rules.evaluations import ClassRule, Evaluation, balanced, class_name
from dogbreed.health.samples import Facts, Mode, Sample

MISSING: dict[Mode, str] = {"TRAIN": "class missing from train", "EVAL": "class missing from val"}
UNEQUAL: dict[Mode, str] = {"TRAIN": "classes unequal in train", "EVAL": "classes unequal in val"}
ONE_LABEL: dict[Mode, str] = {"TRAIN": "all labels equal in train", "EVAL": "all labels equal in val"}
MISPREDICTED = "class mispredicted"

_SPLITS: dict[Mode, str] = {"TRAIN": "train", "EVAL": "val"}


@dataclass(kw_only=True)
class ClassImbalance(ClassRule):
    """A class has many times the pictures of another, or is hardly ever recognised.

    Train and val are judged apart; train by its folder's counts where they are known, so that a class without
    pictures is found at once. A class without pictures makes the ratio infinite.

    Attributes:
        threshold_imbalance: of the most frequent / the least frequent class.
        threshold_misprediction: share of a class's pictures in the newest evaluation that are taken for others; null:
            no matter.
        samples: labels that must have been seen.
        scale_samples: that many for 10 classes, and in proportion for others.
        whole_passes: whether a whole epoch or evaluation is enough, however few pictures it has.
    """

    needs = "labels and predictions"
    threshold_imbalance: float
    threshold_misprediction: float | None
    samples: int
    scale_samples: bool
    whole_passes: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        self._labels: dict[Mode, Counter[int]] = {"TRAIN": Counter(), "EVAL": Counter()}
        self._known: set[int] = set()
        self._whole: set[Mode] = set()
        self._steps: dict[Mode, int] = {"TRAIN": 0, "EVAL": 0}
        self._evaluation = Evaluation()

    def see(self, sample: Sample) -> None:
        """Count labels and predictions."""
        if not sample.pairs:
            return
        for true, predicted, pictures in sample.pairs:
            self._labels[sample.mode][true] += pictures
            self._known.update((true, predicted))
        self._steps[sample.mode] = sample.step
        if sample.ends_epoch:
            self._whole.add(sample.mode)
        if sample.mode == "EVAL":
            self._evaluation.see(sample)

    def weigh(self, facts: Facts) -> None:
        """Judge train, then val, then the predictions: what comes first explains the rest."""
        if facts.train_counts:
            self._weigh_labels("TRAIN", dict(enumerate(facts.train_counts)), facts)
        elif self._enough("TRAIN", facts):
            self._weigh_labels("TRAIN", self._labels["TRAIN"], facts)
        if self._enough("EVAL", facts):
            # Every evaluation shows the same pictures: one that is whole counts them once.
            whole = self._evaluation.pictures() if self._evaluation.whole else self._labels["EVAL"]
            self._weigh_labels("EVAL", whole, facts)
            self._weigh_predictions(facts)

    def _enough(self, mode: Mode, facts: Facts) -> bool:
        seen = self._labels[mode].total()
        return seen >= self._samples(facts) or (self.whole_passes and mode in self._whole)

    def _samples(self, facts: Facts) -> int:
        scaled = self.scale_samples and facts.num_classes is not None
        return round(self.samples * (facts.num_classes or 10) / 10) if scaled else self.samples

    def _counts(self, labels: Mapping[int, int], facts: Facts) -> dict[int, int]:
        classes = self._known | labels.keys() | set(range(facts.num_classes or 0))
        return {index: labels.get(index, 0) for index in sorted(classes)}

    def _weigh_labels(self, mode: Mode, labels: Mapping[int, int], facts: Facts) -> None:
        counts = self._counts(labels, facts)
        most, least = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
        ratio = counts[most] / counts[least] if counts[least] else math.inf
        one = ratio == math.inf and sum(map(bool, counts.values())) == 1
        clause = (ONE_LABEL if one else MISSING if ratio == math.inf else UNEQUAL)[mode]
        self.judge(
            ratio > self.threshold_imbalance,
            clause=clause,
            value=ratio,
            threshold=self.threshold_imbalance,
            step=0 if mode == "TRAIN" else self._steps[mode],
            mode=mode,
            tensor=class_name(most if one else least, facts),
            meaning=lambda: _tell_counts(_SPLITS[mode], counts, most, least, one, facts),
        )

    def _weigh_predictions(self, facts: Facts) -> None:
        if self.threshold_misprediction is None:
            return
        for wrong, index, pictures in self._evaluation.mistaken():
            name = class_name(index, facts)
            self.judge(
                wrong > self.threshold_misprediction,
                clause=MISPREDICTED,
                value=wrong,
                threshold=self.threshold_misprediction,
                step=self._evaluation.step,
                mode="EVAL",
                tensor=name,
                meaning=f"Of {pictures} pictures of {name} in val, {wrong:.0%} are taken for others.",
            )

    def needed(self, facts: Facts) -> str | None:
        """How many pictures were seen."""
        seen = max(labels.total() for labels in self._labels.values())
        return None if self.datapoints else f"{seen} of {self._samples(facts)} pictures"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Weights for the classes where they are unequal; elsewhere only the data can be changed."""
        if finding.clause in (UNEQUAL["TRAIN"], MISPREDICTED):
            balance = balanced(facts)
            return with_remedy(finding, *balance, advice="" if balance else "Collect more pictures of it.")
        split = _SPLITS["EVAL" if finding.mode == "EVAL" else "TRAIN"]
        where = f" under {facts.settings['data.root']}" if "data.root" in facts.settings else ""
        return with_remedy(finding, advice=f"Look at the folders of {split}{where}: is each picture with its class?")

    def details(self, facts: Facts) -> dict[str, Any]:
        """Pictures by class of what was judged."""
        labels: dict[str, Mapping[int, int]] = {_SPLITS[mode]: counts for mode, counts in self._labels.items()}
        if facts.train_counts is not None:
            labels["train"] = dict(enumerate(facts.train_counts))
        return {
            split: {class_name(index, facts): count for index, count in self._counts(counts, facts).items()}
            for split, counts in labels.items()
            if counts
        }


def _tell_counts(split: str, counts: Mapping[int, int], most: int, least: int, one: bool, facts: Facts) -> str:
    total = sum(counts.values())
    if one:
        return (
            f"All {total:,} labels of {split} are {class_name(most, facts)}, of {len(counts)} classes: "
            "no measure of the others means anything."
        )
    if not counts[least]:
        missing = [class_name(index, facts) for index, count in counts.items() if not count]
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        lost = "learned" if split == "train" else "measured"
        return f"{split} has no picture of {named}: what is not shown is not {lost}."
    return (
        f"{split} has {counts[most]:,} pictures of {class_name(most, facts)} and {counts[least]:,} of "
        f"{class_name(least, facts)}, {counts[most] / counts[least]:.3g} times as many: the rare class hardly counts."
    )
