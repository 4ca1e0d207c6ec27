from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dogbreed.audit.features import kept_features
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import list_class_names, scan_split
from dogbreed.data.images import picture_digest
from dogbreed.features.cache import FeatureCache
from dogbreed.features.engines import TorchEngine
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone, make_backbone
from tests.conftest import BACKBONE


@pytest.fixture
def trained(tmp_path: Path) -> Backbone:
    """The small backbone with other weights than those that it begins with."""
    weights = make_backbone(**BACKBONE).network.state_dict()  # type: ignore[arg-type]
    save_file({name: entry * 1.5 for name, entry in weights.items()}, tmp_path / "weights.safetensors")
    return make_backbone(**{**BACKBONE, "weights": str(tmp_path / "weights.safetensors")})  # type: ignore[arg-type]


def fill(cache: Path, backbone: Backbone, root: Path, split: str) -> tuple[list[str], FeatureViews]:
    """Compute the features of a split: the digests of its pictures, and their features."""
    pictures = scan_split(split, root / split, list_class_names(root / "train"))
    data = {split: PictureDataset(pictures, backbone.transform)}
    found = FeatureCache(cache).load(backbone, TorchEngine(backbone), data, workers=0)
    return [picture_digest(Path(path).read_bytes()) for path in pictures.paths], found.views[split]


def test_features__are_those_of_the_cache(trained: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    digests, views = fill(tmp_path / "cache", trained, shared_folder, "test")
    asked = [digests[3], "", "0" * 32, *digests]
    features, name = kept_features(asked, tmp_path / "cache")
    assert name == "timm test_resnet.r160_in1k"
    assert features is not None
    assert np.isnan(features[1:3]).all()
    expected = views.take(0, torch.arange(len(digests))).numpy()
    np.testing.assert_array_equal(features[3:], expected)
    np.testing.assert_array_equal(features[0], expected[3])


def test_features__of_untrained_weights_do_not_count(
    backbone: Backbone, trained: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    digests, _ = fill(tmp_path / "cache", backbone, shared_folder, "train")
    assert kept_features(digests, tmp_path / "cache") == (None, "")
    some, _ = fill(tmp_path / "cache", trained, shared_folder, "test")  # fewer, but they count
    features, _ = kept_features([*digests, *some], tmp_path / "cache")
    assert features is not None
    assert (~np.isnan(features).any(axis=1)).sum() == len(set(some))


def test_features__none_without_a_cache_and_without_pictures(tmp_path: Path) -> None:
    assert kept_features(["0" * 32], tmp_path / "nowhere") == (None, "")
    assert kept_features([], tmp_path) == (None, "")
    assert not list(tmp_path.iterdir())
