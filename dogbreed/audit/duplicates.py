"""Pictures that are there twice: the same file, or the same photograph saved anew, resized, cropped or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dogbreed.audit.alignment import COARSE, FINE, Aligner, Pairs
from dogbreed.audit.hashing import find_candidates, make_signatures

#: Of `Pair.score`. Measured on 8,400 photographs of dogs: copies with 5 % lost have 0.88 and more, and the best of two
#: different dogs has 0.71. Drawn dogs of one pattern reach 0.87, all but one pair in 500 of them less than 0.84.
SAME = 0.85
#: With less than that the features of a trained backbone have to agree: then it is the next photograph of a series.
LIKELY, AGREED = 0.65, 0.88
#: Of 1,000 copies that were recoloured, cropped and saved anew, those with a mean square of more than 8 units of colour
#: have a cosine of 0.83 or more between their colours; two dogs drawn alike in other colours have 0.5.
_COLOURFUL, _SAME_TINTS = 8.0, 0.7
_COARSE = 0.45  # of the first comparison: copies have 0.68 there


@dataclass(frozen=True)
class Pair:
    """Two pictures that are one.

    Attributes:
        first: index of the one.
        second: index of the other, larger.
        exact: whether the files are equal, byte by byte.
        score: the mean of how well all fits and how well the weakest part but one does, 0..1; 1 for equal files.
        mirrored: whether one is the mirror image of the other.
        cosine: of the backbone's features; None where there are none of both.
    """

    first: int
    second: int
    exact: bool
    score: float
    mirrored: bool
    cosine: float | None


def find_duplicates(
    digests: Sequence[str],
    thumbnails: NDArray[np.uint8],
    tints: NDArray[np.int8],
    features: NDArray[np.floating] | None = None,
) -> list[Pair]:
    """All pairs of pictures that are one, ordered by their indices.

    Of n equal files there are n - 1 pairs, the first one with each other, and only the first is compared with other
    pictures. Pictures of one colour, or with nothing but grain, are like nothing but equal files.

    Args:
        digests: what recognises each file's content, N of them; empty for a file that cannot be read.
        thumbnails: grey, (N, 64, 64).
        tints: colours, (N, 8, 8, 2).
        features: of a backbone, (N, D), rows of NaN where there are none; None for none at all.
    """
    firsts: dict[str, int] = {}
    pairs = [
        Pair(firsts[digest], index, True, 1.0, False, None if features is None else _cosine(features, index, index))
        for index, digest in enumerate(digests)
        if digest and firsts.setdefault(digest, index) != index
    ]
    members = np.array(list(firsts.values()), np.int64)
    for one, other, mirrored, score in _find_near(thumbnails[members]):
        first, second = int(members[one]), int(members[other])
        cosine = None if features is None else _cosine(features, first, second)
        if _clash(tints[first], tints[second, :, ::-1] if mirrored else tints[second]):
            continue
        if score >= SAME or (cosine is not None and cosine >= AGREED):
            pairs.append(Pair(first, second, False, score, mirrored, cosine))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _find_near(thumbnails: NDArray[np.uint8]) -> list[tuple[int, int, bool, float]]:
    """First, second, mirrored and score of pairs that are at least `LIKELY` the same, each once."""
    coarse = Aligner(thumbnails, COARSE)
    found: list[Pairs] = [np.empty((0, 3), np.int64)]
    with tqdm(total=len(thumbnails), desc="comparing pictures", unit="picture", disable=None, delay=2) as progress:
        for candidates, done in find_candidates(make_signatures(thumbnails)):
            found.append(candidates[coarse.fit(candidates)[0] >= _COARSE])
            progress.update(done - progress.n)
    pairs = np.concatenate(found)
    pairs[:, :2].sort(axis=1)  # most come twice, from either picture
    pairs = np.unique(pairs, axis=0)
    members, numbers = np.unique(pairs[:, :2], return_inverse=True)
    among = np.column_stack([numbers.reshape(-1, 2), pairs[:, 2]])
    fine = Aligner(thumbnails[members], FINE)
    # Which of the two is a part of the other only shows when both are tried.
    turned = among[:, [1, 0, 2]]
    (fits, windows), (fits_turned, windows_turned) = fine.fit(among), fine.fit(turned)
    weakest = np.where(fits >= fits_turned, fine.weakest(among, windows), fine.weakest(turned, windows_turned))
    scores = (np.maximum(fits, fits_turned) + weakest) / 2
    best: dict[tuple[int, int], tuple[bool, float]] = {}
    for (one, other, mirrored), score in zip(pairs.tolist(), scores.tolist(), strict=True):
        if score >= max(LIKELY, best.get((one, other), (False, 0.0))[1]):
            best[one, other] = bool(mirrored), round(min(score, 1.0), 4)
    return [(one, other, *found) for (one, other), found in best.items()]


def _clash(one: NDArray[np.int8], other: NDArray[np.int8]) -> bool:
    """Whether two pictures differ in colour, as two things of one shape do.

    A picture without much colour clashes with none: it may be a copy in grey.
    """
    first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    colourful = min(lengths) / np.sqrt(len(first)) > _COLOURFUL
    return bool(colourful and first @ second < _SAME_TINTS * lengths[0] * lengths[1])


def _cosine(features: NDArray[np.floating], first: int, second: int) -> float | None:
    one, other = features[first].astype(np.float64), features[second].astype(np.float64)
    cosine = float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))
    return None if np.isnan(cosine) else round(cosine, 4)
