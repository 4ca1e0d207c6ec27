"""A rule that judges which classes are taken for others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import with_remedy
from dogbreed.health.rules.evaluations import ClassRule, Evaluation, balanced, class_name
from dogbreed.health.samples import Facts, Sample

RECALL, TAKEN_FOR = "low recall", "class taken for another"


@dataclass(kw_only=True)
class Confusion(ClassRule):
    """In the newest evaluation a class is seldom recognised, or often taken for one other class.

    AWS's formula for the diagonal fails on a perfect matrix, so the recall of each class stands for it: the share of
    its pictures that are recognised.

    Attributes:
        min_diag: of the recall of each class.
        max_off_diag: share of a class's pictures that are taken for one other class.
        min_pictures: a class with fewer is not judged.
    """

    needs = "predictions of EVAL"
    min_diag: float
    max_off_diag: float
    min_pictures: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._evaluation = Evaluation()

    def see(self, sample: Sample) -> None:
        """Count the predictions of an evaluation."""
        if sample.mode == "EVAL" and sample.pairs:
            self._evaluation.see(sample)

    def weigh(self, facts: Facts) -> None:
        """Judge each class, the worst first, then the pairs."""
        for wrong, index, pictures in self._evaluation.mistaken():
            if pictures >= self.min_pictures:
                name = class_name(index, facts)
                self._judge(
                    1 - wrong < self.min_diag,
                    RECALL,
                    1 - wrong,
                    self.min_diag,
                    name,
                    f"Of {pictures} pictures of {name} in val, {1 - wrong:.0%} are recognised.",
                )
        for pair in self._worst_pairs(facts):
            if pair["of"] >= self.min_pictures:
                self._judge(
                    pair["share"] > self.max_off_diag,
                    TAKEN_FOR,
                    pair["share"],
                    self.max_off_diag,
                    pair["true"],
                    f"Of {pair['of']} pictures of {pair['true']} in val, {pair['share']:.0%} are taken for "
                    f"{pair['predicted']}.",
                )

    def _judge(self, bad: bool, clause: str, value: float, threshold: float, name: str, meaning: str) -> None:
        self.judge(
            bad,
            clause=clause,
            value=value,
            threshold=threshold,
            step=self._evaluation.step,
            mode="EVAL",
            tensor=name,
            meaning=meaning,
        )

    def _worst_pairs(self, facts: Facts) -> list[dict[str, Any]]:
        pictures = self._evaluation.pictures()
        pairs = [
            {
                "true": class_name(true, facts),
                "predicted": class_name(predicted, facts),
                "pictures": count,
                "of": pictures[true],
                "share": count / pictures[true],
            }
            for (true, predicted), count in self._evaluation.pairs.items()
            if true != predicted
        ]
        return sorted(pairs, key=lambda pair: (-pair["share"], -pair["pictures"], pair["true"]))

    def needed(self, facts: Facts) -> str | None:
        """How many pictures the largest class has."""
        pictures = self._evaluation.pictures()
        if self.datapoints or not pictures:
            return super().needed(facts)
        return f"{max(pictures.values())} of {self.min_pictures} pictures of a class in val"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """More weight and more views for what is rare; elsewhere a look at the pictures."""
        advice = "Look at the confused pictures: are the classes told apart by what the pictures show?"
        counts = dict(zip(facts.class_names, facts.train_counts or (), strict=False))
        pictures = counts.get(finding.tensor or "", 0)
        rare = 0 < 2 * pictures * len(counts) < sum(counts.values())
        return with_remedy(finding, *(balanced(facts) if rare else remedies.more_views(facts)), advice=advice)

    def details(self, facts: Facts) -> dict[str, Any]:
        """The pairs that are mistaken most, by their share."""
        worst = self._worst_pairs(facts)[:20]
        return {"step": self._evaluation.step, "worst_pairs": worst} if self._evaluation.pairs else {}
