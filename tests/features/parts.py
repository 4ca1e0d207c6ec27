"""What the tests of the features share: data sets of a folder, and the plain way to their features."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import Split, find_split, list_class_names, scan_split
from dogbreed.data.images import decode_image
from dogbreed.data.transforms import Augmentation, CropFlip
from dogbreed.errors import ImageError
from dogbreed.features import store
from dogbreed.features.cache import FeatureCache, Loaded
from dogbreed.features.engines import TorchEngine
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone

CROPS = CropFlip(scale=(0.3, 1.0), ratio=(0.75, 1.33))


def dataset(
    backbone: Backbone,
    root: Path,
    name: str = "train",
    views: int | None = None,
    augmentation: Augmentation | None = CROPS,
    seed: int = 0,
) -> PictureDataset:
    """The pictures of a split; clean ones for `views=None`."""
    folder = find_split(root, name)
    assert folder is not None
    split = scan_split(name, folder, list_class_names(root / "train"))
    return PictureDataset(split, backbone.transform, augmentation if views else None, seed, views)


def of_paths(backbone: Backbone, paths: Sequence[Path | str], views: int | None = None) -> PictureDataset:
    """A data set of these files, all of one class."""
    split = Split("train", [str(path) for path in paths], [0] * len(paths))
    return PictureDataset(split, backbone.transform, CROPS if views else None, 0, views)


def load(root: Path, backbone: Backbone, datasets: Mapping[str, PictureDataset], **settings: Any) -> Loaded:
    """As a new process would load them: what another has checked is checked again."""
    store._verified.clear()
    engine = settings.pop("engine", None) or TorchEngine(backbone)
    return FeatureCache(root).load(backbone, engine, datasets, **({"workers": 0} | settings))


def all_features(views: FeatureViews) -> Tensor:
    """The features of every readable picture in every view, (V, n, D)."""
    positions = torch.nonzero(views.readable).flatten()
    return torch.stack([views.take(view, positions) for view in range(views.shape[0])])


def plain_features(backbone: Backbone, pictures: PictureDataset, view: int = 0) -> Tensor:
    """The features of every readable picture by the backbone itself, one by one, (n, D)."""
    found = []
    for index in range(len(pictures)):
        if view:
            image = pictures[(view, index)].image
        else:
            try:
                image = backbone.transform.clean_view(decode_image(pictures.path(index)))
            except ImageError:
                image = None
        if image is not None:
            found.append(backbone(image[None])[0])
    return torch.stack(found)


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())


def swap_unseen(path: Path) -> None:
    """Change the content, and neither size nor time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
