"""How far a classifier's probabilities can be trusted, as measured on val."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Of each class, by index, the others it is confused with: (index, share in [0, 1]), the most confused first.
LookAlikes = tuple[tuple[tuple[int, float], ...], ...]


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of logits, and when an answer is unsure.

    Attributes:
        temperature: above 0; divides the logits before the softmax.
        ece_before: expected calibration error on val without the temperature, in [0, 1].
        ece_after: the same with it.
        threshold: an answer with a smaller probability is unsure; None where no threshold reaches `precision`,
            and every answer is unsure.
        precision: the share of right answers among the sure ones of val that was asked for, in (0, 1].
        coverage: the share of val's answers that are sure, in [0, 1].
        pictures: of val.
    """

    temperature: float
    ece_before: float
    ece_after: float
    threshold: float | None
    precision: float
    coverage: float
    pictures: int

    def __post_init__(self) -> None:
        shares = [self.ece_before, self.ece_after, self.precision, self.coverage]
        shares += [] if self.threshold is None else [self.threshold]
        if not (math.isfinite(self.temperature) and self.temperature > 0 and all(0 <= share <= 1 for share in shares)):
            raise ValueError(f"no calibration: {self}")

    def is_sure(self, probability: float) -> bool:
        """Whether an answer of this probability is as precise as was asked for."""
        return self.threshold is not None and probability >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_dict` wrote.

        Raises:
            TypeError, ValueError: it is none.
        """
        return cls(**fields)

    def describe(self) -> str:
        """One sentence for people."""
        said = f"temperature {self.temperature:.3g}, ECE {self.ece_before:.3f} -> {self.ece_after:.3f}"
        if self.threshold is None:
            return f"{said}; no threshold is right {self.precision:.0%} of the time: every answer is marked unsure"
        return (
            f"{said}; {self.coverage:.0%} of val is answered with a probability of {self.threshold:.2f} or more and "
            f"right {self.precision:.0%} of the time, the rest is marked unsure"
        )
