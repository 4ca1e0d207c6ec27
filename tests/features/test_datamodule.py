"""Training on features: the batches of training on pixels, in the same order and views, and resumable."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import SGD

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.loading import SplitLoaders
from dogbreed.features.datamodule import FeatureDataModule
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import MLPHead, initialise
from dogbreed.training.interruption import LAST, ResumableCheckpoint
from tests.features.parts import CROPS, difference, load


def pixels_of(backbone: Backbone, folder: Path, views: int | None = 3) -> BreedDataModule:
    return BreedDataModule(
        folder,
        backbone.transform,
        batch_size=5,
        augmentation=CROPS if views else None,
        num_workers=0,
        seed=4,
        views=views,
        view_seed=9,
        on_error="skip",
    )


def features_of(backbone: Backbone, pictures: BreedDataModule, root: Path) -> FeatureDataModule:
    datasets = {name: pictures.pictures(name, train=name == "train") for name in ("train", "val", "test")}
    return FeatureDataModule(load(root, backbone, datasets).views, batch_size=5, seed=4, source=pictures)


@pytest.mark.parametrize("views", [None, 3])
@pytest.mark.parametrize("broken", [False, True], ids=["whole", "with a broken picture"])
def test_feature_data_module__gives_the_batches_of_pixels(
    backbone: Backbone, folder: Path, tmp_path: Path, views: int | None, broken: bool
) -> None:
    pixels = pixels_of(backbone, folder, views)
    if broken:
        for name in ("train", "val"):
            Path(pixels.split(name).paths[6]).write_bytes(b"broken")
    features = features_of(backbone, pixels, tmp_path / "cache")
    for make in ("train_dataloader", "val_dataloader", "test_dataloader"):
        ours, theirs = getattr(features, make)(), getattr(pixels, make)()
        for epoch in range(4 if make == "train_dataloader" else 1):
            ours.batch_sampler.set_epoch(epoch)
            theirs.batch_sampler.set_epoch(epoch)
            assert len(ours) == len(theirs)
            for mine, other in zip(ours, theirs, strict=True):
                assert torch.equal(mine.positions, other.positions)
                assert torch.equal(mine.targets, other.targets)
                assert difference(mine.inputs, backbone(other.inputs)) < 1e-5


def test_feature_data_module__a_batch_without_a_readable_picture_is_empty() -> None:
    import numpy as np

    views = FeatureViews([np.ones((1, 4), np.float32)], np.array([[-1, -1, -1, 0]]), torch.zeros(4, dtype=torch.int64))
    first, second = FeatureDataModule({"val": views}, batch_size=3).val_dataloader()
    assert (first.inputs.shape, len(first.targets), len(first.positions)) == ((0, 4), 0, 0)
    assert second.positions.tolist() == [3]


class Stop(pl.Callback):
    """Sends SIGTERM after a step."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.after = (epoch, batch)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == self.after:
            os.kill(os.getpid(), signal.SIGTERM)


def fit(backbone: Backbone, batches: SplitLoaders, out: Path, *callbacks: pl.Callback, resume: bool = False) -> Tensor:
    head = MLPHead(backbone.num_features, 4, hidden=16, dropout=0.3)
    initialise(head, 1)
    model = BreedClassifier(backbone, head, tuple("abcd"), optimizer=partial(SGD, lr=0.5, momentum=0.9))
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*callbacks, ResumableCheckpoint(out, "val/acc", "max")],
    )
    trainer.fit(model, batches, ckpt_path=out / LAST if resume else None, weights_only=True)
    return torch.cat([entry.flatten() for entry in head.state_dict().values()])


@pytest.mark.parametrize(
    "at", [pytest.param((0, 6), marks=pytest.mark.slow), (2, 3)], ids=["end of an epoch", "mid epoch"]
)
def test_feature_data_module__a_stopped_run_goes_on_to_the_same_bits(
    backbone: Backbone, shared_folder: Path, tmp_path: Path, at: tuple[int, int]
) -> None:
    features = partial(features_of, backbone, pixels_of(backbone, shared_folder), tmp_path / "cache")
    whole = fit(backbone, features(), tmp_path / "whole")
    with pytest.raises(SystemExit):
        fit(backbone, features(), tmp_path / "stopped", Stop(*at))
    assert torch.equal(fit(backbone, features(), tmp_path / "stopped", resume=True), whole)


def test_feature_data_module__trains_to_what_pixels_train_to(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    pixels = pixels_of(backbone, shared_folder)
    features = features_of(backbone, pixels, tmp_path / "cache")
    one, other = fit(backbone, features, tmp_path / "features"), fit(backbone, pixels, tmp_path / "pixels")
    assert float((one - other).norm() / other.norm()) < 1e-4
