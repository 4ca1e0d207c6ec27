"""The free baseline: ridge regression on the features in closed form, over a whole path of penalties at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dogbreed.errors import DataError
from dogbreed.features.views import FeatureViews

#: Penalties, as multiples of the mean variance summed over the pictures, from the strongest to the weakest.
PATH = tuple(10 ** (exponent / 2) for exponent in range(4, -17, -1))

_CHUNK = 4096  # pictures at a time: the features themselves are never held whole


@dataclass(frozen=True)
class Ridge:
    """A linear classifier, fitted by least squares to one-hot targets.

    Attributes:
        penalty: of the squared weights.
        accuracy_on_val: of the penalty chosen.
        weight: float64 (D, C).
        bias: float64 (C,); it is not penalised.
    """

    penalty: float
    accuracy_on_val: float
    weight: Tensor
    bias: Tensor

    def accuracy(self, views: FeatureViews) -> float:
        """The share of a split's pictures, in their clean view, that it gets right."""
        right = [(x @ self.weight + self.bias).argmax(1) == targets for x, targets in _chunks(views)]
        return torch.cat(right).double().mean().item()


def fit_ridge(
    train: FeatureViews, val: FeatureViews, num_classes: int, penalties: Sequence[float] | None = None
) -> Ridge:
    """The ridge classifier of clean train features whose penalty is best on val; among equals the first.

    One eigendecomposition of the centred Gram matrix serves every penalty. All sums are float64, gathered in
    one pass over train in chunks; memory is about 8 * D * (3 * D + number of penalties * C) bytes.
    Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, section 3.4.1.

    Args:
        train: features of N pictures of width D.
        val: features to choose on.
        num_classes: C.
        penalties: to choose from; None for `PATH` times the mean of the Gram matrix's diagonal.

    Raises:
        DataError: a split has no readable picture.
    """
    gram, moment, mean, prior = _sums(train, num_classes)
    variances, directions = torch.linalg.eigh(gram)
    variances = variances.clamp(min=0)  # rounding leaves some just below
    if penalties is None:
        scale = variances.mean().item() or 1.0
        penalties = [scale * step for step in PATH]
    turned = directions.T @ moment
    shrunk = torch.stack([turned / (variances + penalty).unsqueeze(1) for penalty in penalties])  # (P, D, C)
    right = torch.zeros(len(penalties), dtype=torch.float64)
    for features, targets in _chunks(val):
        centred = (features - mean) @ directions
        for number, weight in enumerate(shrunk):
            right[number] += ((centred @ weight + prior).argmax(1) == targets).sum()
    best = int(right.argmax())
    weight = directions @ shrunk[best]
    pictures = int(val.readable.sum())
    return Ridge(penalties[best], right[best].item() / pictures, weight, prior - mean @ weight)


def _sums(views: FeatureViews, num_classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The centred Gram matrix (D, D), centred features times centred targets (D, C), and the two means."""
    shift: Tensor | None = None
    for features, targets in _chunks(views):
        if shift is None:  # near the mean, so that taking the means off at the end loses no digits
            shift = features.mean(0)
            width = len(shift)
            gram, moment = features.new_zeros(width, width), features.new_zeros(width, num_classes)
            total, counts, pictures = features.new_zeros(width), features.new_zeros(num_classes), 0
        moved = features - shift
        gram.addmm_(moved.T, moved)
        moment.index_add_(1, targets, moved.T)
        total += moved.sum(0)
        counts += torch.bincount(targets, minlength=num_classes)
        pictures += len(targets)
    assert shift is not None
    gram.addr_(total, total, alpha=-1 / pictures)
    moment.addr_(total, counts, alpha=-1 / pictures)
    return gram, moment, shift + total / pictures, counts / pictures


def _chunks(views: FeatureViews) -> Iterator[tuple[Tensor, Tensor]]:
    """Clean features float64 (B, D) and targets (B,) of the readable pictures, in their order."""
    readable = views.readable.nonzero().flatten()
    if len(readable) == 0:
        raise DataError("a split without a readable picture", "one at least", "look at skipped.csv, and at data.root")
    for positions in readable.split(_CHUNK):
        yield views.take(0, positions).double(), views.targets[positions]
