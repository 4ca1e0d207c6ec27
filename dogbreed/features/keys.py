"""What features depend on: where a cache keeps them follows from that."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dogbreed.data.dataset import PictureDataset
from dogbreed.data.transforms import Augmentation
from dogbreed.features.engines import Engine
from dogbreed.features.store import KEY_BYTES, Keys
from dogbreed.models.backbones import Backbone

_FORMAT = 1


def recipe_of(backbone: Backbone, engine: Engine, dtype: str) -> dict[str, Any]:
    """All that the features of any picture depend on, as plain values."""
    packages = ("dogbreed", "torchvision", "pillow", "simplejpeg", backbone.source["library"])
    return {
        "format": _FORMAT,
        "backbone": {key: backbone.source[key] for key in ("library", "name", "tag")},
        "weights": backbone.fingerprint(),
        "transform": backbone.transform.to_dict(),
        "num_features": backbone.num_features,
        "dtype": dtype,
        "engine": engine.identity,
        "versions": {name: importlib.metadata.version(name) for name in sorted(set(packages))},
    }


def key_of(recipe: Mapping[str, Any]) -> str:
    """The name of a store: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def row_keys(data: PictureDataset, contents: Sequence[str]) -> Keys:
    """The key of each view of each picture in a store, (V, N, 2).

    Args:
        data: N pictures in V views.
        contents: their digests, N of them.
    """
    views = [describe_view(data.augmentation, data.seed, view) for view in range(data.views or 1)]
    return np.stack([view_keys(contents, view) for view in views])


def view_keys(contents: Sequence[str], view: Mapping[str, Any]) -> Keys:
    """The key of one view of each picture in a store, (N, 2).

    Args:
        contents: the digests of N pictures.
        view: as `describe_view` tells it.
    """
    described = json.dumps(view, sort_keys=True).encode()
    keys = np.empty((len(contents), 2), np.uint64)
    for index, content in enumerate(contents):
        digest = hashlib.blake2b(content.encode() + described, digest_size=KEY_BYTES).digest()
        keys[index] = np.frombuffer(digest, np.uint64)
    return keys


def describe_view(augmentation: Augmentation | None, seed: int, view: int) -> dict[str, Any]:
    """What a view depends on beside the picture, as plain values."""
    if view == 0 or augmentation is None:
        return {"view": 0}
    kind = type(augmentation)
    settings = {name: repr(value) for name, value in vars(augmentation).items()}
    return {"view": view, "seed": seed, "augmentation": f"{kind.__module__}.{kind.__qualname__}", "settings": settings}
