"""Features that are there already: they tell whether two pictures show the same, at no cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogbreed.errors import DogbreedError
from dogbreed.features.inventory import Kept, list_kept
from dogbreed.features.keys import describe_view, view_keys
from dogbreed.features.names import default_root
from dogbreed.models.backbones import make_backbone


def kept_features(
    digests: Sequence[str], cache_root: str | Path | None = None
) -> tuple[NDArray[np.floating] | None, str]:
    """What a feature cache holds of pictures, float16 or float32 (N, D), and of which backbone; None and "" for none.

    Of the kinds of features there, it is the one with most of the pictures; rows that it lacks are NaN. Nothing is
    computed. Features of untrained weights do not count, since to them everything looks alike.

    Args:
        digests: the `picture_digest` of each of N files; "" for a file that cannot be read.
        cache_root: the cache's folder; None for the user's own.
    """
    keys = view_keys(digests, describe_view(None, 0, 0))
    read = np.array([bool(digest) for digest in digests], bool)
    found: list[tuple[int, Kept, NDArray[np.int64]]] = []
    for kept in list_kept(default_root() if cache_root is None else cache_root):
        if kept.store is not None:
            rows = np.where(read, kept.store.find(keys), -1)
            found.append((int((rows >= 0).sum()), kept, rows))
    for count, kept, rows in sorted(found, key=lambda entry: -entry[0]):
        if count and kept.recipe is not None and kept.store is not None and _is_trained(kept.recipe):
            features = np.full((len(rows), kept.store.num_features), np.nan, kept.store.dtype)
            features[rows >= 0] = kept.store.array()[rows[rows >= 0]]
            return features, "{library} {name}.{tag}".format_map(kept.recipe["backbone"])
    return None, ""


def _is_trained(recipe: dict[str, Any]) -> bool:
    """Whether its weights are others than those that its backbone begins with, which are the same each time."""
    try:
        return bool(make_backbone(**recipe["backbone"], weights="none").fingerprint() != recipe["weights"])
    except (DogbreedError, KeyError, TypeError):  # of a library that has no such backbone, or not yet
        return False
