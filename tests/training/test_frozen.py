from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.optim import SGD

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.errors import FrozenError
from dogbreed.models.backbones import Backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import LinearHead
from dogbreed.training.frozen import FrozenGuard


def fit(backbone: Backbone, folder: Path, *callbacks: pl.Callback) -> BreedClassifier:
    data = BreedDataModule(folder, backbone.transform, batch_size=8, num_workers=0)
    head = LinearHead(backbone.num_features, data.num_classes)
    model = BreedClassifier(backbone, head, data.class_names, optimizer=partial(SGD, lr=1.0))
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*callbacks, FrozenGuard()],
    )
    trainer.fit(model, data)
    return model


class Meddle(pl.Callback):
    """Does something to the backbone after the first training step."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, BreedClassifier)
        self.what(pl_module.backbone.network)


def test_frozen__no_entry_changes_in_a_run(backbone: Backbone, shared_folder: Path) -> None:
    before = {name: entry.clone() for name, entry in backbone.state_dict().items()}
    head_before = LinearHead(backbone.num_features, 4).state_dict()
    model = fit(backbone, shared_folder)
    model.train()
    model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    after = model.backbone.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert not torch.equal(model.head.state_dict()["linear.weight"], head_before["linear.weight"])


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda network: network.bn1.running_mean.add_(1), "bn1.running_mean"),
        (lambda network: network.bn1.num_batches_tracked.add_(1), "bn1.num_batches_tracked"),
        (lambda network: network.conv1[0].weight.data.mul_(1.001), "conv1.0.weight"),
        (lambda network: network.train(), "running_mean"),
    ],
    ids=["a statistic", "a counter", "a weight", "BatchNorm in train mode"],
)
def test_guard__fails_the_run_and_names_the_entry(
    backbone: Backbone, shared_folder: Path, what: Any, named: str
) -> None:
    names = dict(backbone.network.named_modules())
    assert isinstance(names["bn1"], torch.nn.BatchNorm2d)
    with pytest.raises(FrozenError) as error:
        fit(backbone, shared_folder, Meddle(what))
    assert named in str(error.value)
