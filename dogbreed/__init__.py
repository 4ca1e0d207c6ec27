"""dogbreed: train, explain and serve classifiers on frozen ImageNet backbones.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dogbreed.interrupts import ctrl_c

if TYPE_CHECKING:
    from dogbreed.data.datamodule import BreedDataModule
    from dogbreed.features.cache import FeatureCache
    from dogbreed.features.datamodule import FeatureDataModule
    from dogbreed.features.engines import make_engine
    from dogbreed.models.backbones import make_backbone
    from dogbreed.models.classifier import BreedClassifier
    from dogbreed.models.heads import LinearHead, MLPHead
    from dogbreed.reports.showing import show_report
    from dogbreed.serving.artifact import load_artifact, save_artifact
    from dogbreed.serving.predictor import Predictor

_HOMES = {
    "BreedClassifier": "dogbreed.models.classifier",
    "BreedDataModule": "dogbreed.data.datamodule",
    "FeatureCache": "dogbreed.features.cache",
    "FeatureDataModule": "dogbreed.features.datamodule",
    "LinearHead": "dogbreed.models.heads",
    "MLPHead": "dogbreed.models.heads",
    "Predictor": "dogbreed.serving.predictor",
    "load_artifact": "dogbreed.serving.artifact",
    "make_backbone": "dogbreed.models.backbones",
    "make_engine": "dogbreed.features.engines",
    "save_artifact": "dogbreed.serving.artifact",
    "show_report": "dogbreed.reports.showing",
}

__all__ = [
    "BreedClassifier",
    "BreedDataModule",
    "FeatureCache",
    "FeatureDataModule",
    "LinearHead",
    "MLPHead",
    "Predictor",
    "load_artifact",
    "make_backbone",
    "make_engine",
    "save_artifact",
    "show_report",
]

ctrl_c.hear_early(__name__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dogbreed' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
