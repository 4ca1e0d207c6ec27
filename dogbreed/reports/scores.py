"""Numbers from the answers for single pictures: confusion, calibration, and how sure an accuracy is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dogbreed.reports.contents import Prediction
from dogbreed.reports.evaluation import Counts

Numbers = npt.NDArray[np.float64]

#: Of equal width over [0, 1], as in Guo et al., On Calibration of Modern Neural Networks, 2017, table 1.
BINS = 15


@dataclass(frozen=True)
class Calibration:
    """How far probabilities can be taken at their word.

    Attributes:
        error: expected calibration error in [0, 1]: the mean over the pictures of |accuracy - confidence| of their bin.
        confidence: mean probability of the answers.
        accuracy: share of right answers.
        pictures: of each bin, length BINS.
        bin_accuracy: of each bin, NaN where it is empty.
        bin_confidence: of each bin, NaN where it is empty.
    """

    error: float
    confidence: float
    accuracy: float
    pictures: Counts
    bin_accuracy: Numbers
    bin_confidence: Numbers


def calibrate(probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """The calibration of answers, in bins of equal width, each with its upper edge.

    Args:
        probabilities: of the answer for each picture, length N > 0, in [0, 1].
        right: whether it was right, length N.
        bins: how many.

    >>> found = calibrate([0.8, 0.8, 0.8, 0.8], [True, True, True, False])
    >>> round(found.error, 4), found.accuracy
    (0.05, 0.75)
    """
    confidence, hits = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    pictures = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(place, hits, bins) / pictures
        mean = np.bincount(place, confidence, bins) / pictures
    gaps = np.nan_to_num(np.abs(accuracy - mean))
    error = float((gaps * pictures).sum() / len(confidence))
    return Calibration(error, float(confidence.mean()), float(hits.mean()), pictures, accuracy, mean)


def count_confusion(predictions: Sequence[Prediction], class_names: Sequence[str]) -> Counts:
    """Pictures by true class (row) and predicted class (column), (C, C)."""
    index = {name: number for number, name in enumerate(class_names)}
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    for answer in predictions:
        counts[index[answer.true], index[answer.predicted]] += 1
    return counts


def most_confused(confusion: Counts, limit: int) -> list[int]:
    """At most `limit` classes, those of the worst pairs, so ordered that those confused stand together.

    The order is that of the second eigenvector of the Laplacian of the mistakes (Fiedler, Algebraic connectivity of
    graphs, 1973), which puts what belongs together side by side.
    """
    mistakes = confusion + confusion.T
    np.fill_diagonal(mistakes, 0)
    worst = np.argsort(-np.triu(mistakes), axis=None, kind="stable")[: int((np.triu(mistakes) > 0).sum())]
    found: dict[int, None] = {}
    for position in worst:
        pair = divmod(int(position), len(mistakes))
        if len(found.keys() | set(pair)) <= limit:
            found |= dict.fromkeys(pair)
    chosen = np.array(sorted(found), dtype=np.int64)
    if len(chosen) < 3:
        return [int(index) for index in chosen]
    weights = mistakes[np.ix_(chosen, chosen)] + 1e-3  # so that no class stands quite alone
    laplacian = np.diag(weights.sum(axis=1)) - weights
    second = np.linalg.eigh(laplacian)[1][:, 1]
    return [int(index) for index in chosen[np.argsort(second, kind="stable")]]


def interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share that was seen in `count` pictures (Wilson 1927).

    >>> [round(bound, 3) for bound in interval(0.8, 100)]
    [0.711, 0.867]
    """
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return (centre - spread) / whole, (centre + spread) / whole
