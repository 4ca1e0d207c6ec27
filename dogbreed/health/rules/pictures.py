"""A rule that judges the pictures as the backbone reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dogbreed.health.findings import Finding
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.samples import Facts, PictureStats

MEAN = "mean far from zero"


@dataclass(kw_only=True)
class CheckInputImages(Rule):
    """The mean of the pictures is far from zero, as it is where they were not normalised.

    The mean is that of all pictures so far, and the newest verdict counts: where pictures come class by class, the
    first are no fair draw.

    Attributes:
        threshold_mean: of the |mean| over all pixels and channels.
        threshold_samples: pictures before a verdict.
        healthy_spread: between which the standard deviation of all pixels lies where they are normalised; then a mean
            far from zero is what the pictures are like, bright or dark. Null: no matter.
    """

    needs = "pictures"
    threshold_mean: float
    threshold_samples: int
    healthy_spread: tuple[float, float] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._pictures, self._sum, self._squares = 0, 0.0, 0.0

    def see_pictures(self, pictures: PictureStats) -> None:
        """Take up more pictures, and judge all so far."""
        self._pictures += pictures.pictures
        self._sum += pictures.pictures * pictures.mean
        # A batch whose spread is not known leaves all of them without one.
        spread = math.nan if pictures.spread is None else pictures.spread
        self._squares += pictures.pictures * (spread**2 + pictures.mean**2)
        if self._pictures < self.threshold_samples or not self._pictures:
            return
        count, mean = self._pictures, self._sum / self._pictures
        self.violations, self.finding = 0, None
        self.judge(
            abs(mean) > self.threshold_mean and not self._spread_like_normalised(mean),
            clause=MEAN,
            value=abs(mean),
            threshold=self.threshold_mean,
            meaning=lambda: (
                f"The pixels of {count:,} pictures are {mean:.3g} on average as the backbone reads them, where about 0 "
                "is expected: they are not normalised, or not as this backbone was trained."
            ),
        )

    def _spread_like_normalised(self, mean: float) -> bool:
        variance = self._squares / self._pictures - mean**2
        if self.healthy_spread is None or math.isnan(variance):
            return False
        low, high = self.healthy_spread
        return low**2 <= variance <= high**2

    def applies(self, facts: Facts) -> str | None:
        """Not where the features were there already."""
        if facts.features and not self._pictures:
            return "the features were in the cache already, so no picture was read"
        return None

    def needed(self, facts: Facts) -> str | None:
        """How many pictures were seen."""
        return None if self.datapoints else f"{self._pictures} of {self.threshold_samples} pictures"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Where the normalisation comes from."""
        bytes_ = finding.value > 10
        return with_remedy(
            finding,
            advice=("The pixels seem to be bytes, 0 to 255. " if bytes_ else "")
            + "Let the pictures through the transform of the backbone they are for (backbone.transform).",
        )
