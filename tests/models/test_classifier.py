"""BreedClassifier: the same numbers whatever the batch, and checkpoints that belong to their run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.errors import CheckpointError, ConfigError
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.classifier import BreedClassifier, balanced_weights
from dogbreed.models.heads import LinearHead, MLPHead

NAMES = ("001.Breed_A", "002.Breed_B", "003.Breed_C", "004.Breed_D")


def make_classifier(backbone: Backbone, names: Sequence[str] = NAMES, **settings: Any) -> BreedClassifier:
    torch.manual_seed(1)
    head = LinearHead(backbone.num_features, len(names))
    return BreedClassifier(backbone, head, names, optimizer=partial(torch.optim.SGD, lr=0.1), **settings)


@torch.no_grad()
def solve_(model: BreedClassifier, data: BreedDataModule) -> None:
    """Ridge regression on the features of val, but that the last class is never answered: right, and wrong too."""
    batches = list(data.loader("val"))
    features = torch.cat([model.backbone(batch.inputs) for batch in batches])
    targets = nn.functional.one_hot(torch.cat([batch.targets for batch in batches]), 4).float()
    mean = features.mean(dim=0)
    scaled = (features - mean) / features.std()
    weight = torch.linalg.solve(scaled.T @ scaled + 30 * torch.eye(scaled.shape[1]), scaled.T @ targets).T
    weight = weight * 10 / features.std()
    bias = -weight @ mean + torch.tensor([0.0, 0, 0, -20])
    model.head.load_state_dict({"linear.weight": weight, "linear.bias": bias})


def make_trainer() -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def make_data(folder: Path, backbone: Backbone, batch_size: int = 8) -> BreedDataModule:
    return BreedDataModule(folder, backbone.transform, batch_size=batch_size, num_workers=0)


@pytest.fixture
def checkpoint(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> Path:
    """Of one epoch of training."""
    trainer = make_trainer()
    trainer.fit(make_classifier(backbone), make_data(shared_folder, backbone))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    return tmp_path / "one.ckpt"


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:Found .* module.s. in eval mode", "ignore:.*LeafSpec"
)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1, "class_weights": torch.tensor([1.0, 2, 3, 0.5])}])
def test_classifier__measures_the_same_in_batches_of_any_size(
    settings: dict[str, Any], backbone: Backbone, shared_folder: Path
) -> None:
    model = make_classifier(backbone, **settings)
    solve_(model, make_data(shared_folder, backbone))
    found = [
        make_trainer().validate(model, make_data(shared_folder, backbone, size), verbose=False)[0]
        for size in (1, 7, 64)
    ]

    assert 0.25 < found[0]["val/acc"] < 1
    assert [one["val/acc"] for one in found] == [found[0]["val/acc"]] * 3
    assert [one["val/loss"] for one in found] == pytest.approx([found[0]["val/loss"]] * 3, rel=1e-6)


def test_classifier__counts_every_picture_in_the_confusion_matrix(backbone: Backbone, shared_folder: Path) -> None:
    model, data = make_classifier(backbone), make_data(shared_folder, backbone, 7)
    solve_(model, data)
    make_trainer().test(model, data, verbose=False)

    expected = torch.zeros(4, 4, dtype=torch.long)
    for batch in data.loader("test"):
        for target, predicted in zip(batch.targets, model(batch.inputs).argmax(dim=1), strict=True):
            expected[target, predicted] += 1
    assert torch.equal(model.confusion_matrix, expected)


def test_classifier__forgets_the_confusions_of_an_earlier_test(backbone: Backbone, shared_folder: Path) -> None:
    model, trainer = make_classifier(backbone), make_trainer()
    for _ in range(2):
        trainer.test(model, make_data(shared_folder, backbone), verbose=False)

    assert int(model.confusion_matrix.sum()) == 16


def test_classifier__trains_the_head_alone(backbone: Backbone, shared_folder: Path) -> None:
    model = make_classifier(backbone)
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    make_trainer().fit(model, make_data(shared_folder, backbone))

    changed = {name for name, entry in model.state_dict().items() if not torch.equal(entry, before[name])}
    assert changed == {"network.head.linear.weight", "network.head.linear.bias"}


def test_classifier__draws_the_same_dropout_whatever_was_drawn_before(backbone: Backbone, shared_folder: Path) -> None:
    heads = []
    for draws in (0, 5):
        torch.manual_seed(3)
        head = MLPHead(backbone.num_features, 4, hidden=16, dropout=0.5)
        torch.rand(draws)
        model = BreedClassifier(backbone, head, NAMES, optimizer=partial(torch.optim.SGD, lr=1.0), seed=4)
        make_trainer().fit(model, make_data(shared_folder, backbone))
        heads.append(torch.cat([parameter.detach().flatten() for parameter in head.parameters()]))

    assert torch.equal(heads[0], heads[1])


def test_checkpoint__holds_the_head_alone_and_no_code(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)

    assert set(content["state_dict"]) == {"head.linear.weight", "head.linear.bias"}


def test_checkpoint__brings_the_head_back(checkpoint: Path, backbone: Backbone, shared_folder: Path) -> None:
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]["head.linear.weight"]
    model = make_classifier(backbone)
    data = make_data(shared_folder, backbone)
    make_trainer().validate(model, data, ckpt_path=checkpoint, weights_only=True, verbose=False)

    assert torch.equal(model.head.state_dict()["linear.weight"], saved)


def test_checkpoint__leaves_the_backbone_as_it_is(checkpoint: Path, backbone: Backbone, shared_folder: Path) -> None:
    before, data = backbone.fingerprint(), make_data(shared_folder, backbone)
    make_trainer().validate(make_classifier(backbone), data, ckpt_path=checkpoint, weights_only=True, verbose=False)

    assert backbone.fingerprint() == before


def test_checkpoint__of_another_backbone_is_refused(checkpoint: Path, shared_folder: Path) -> None:
    other = make_backbone("timm", "test_resnet", weights="none", image_size=32)
    next(other.network.parameters()).data[0] += 1e-3
    with pytest.raises(CheckpointError, match="its backbone differ"):
        make_trainer().validate(
            make_classifier(other), make_data(shared_folder, other), ckpt_path=checkpoint, weights_only=True
        )


def test_checkpoint__of_other_classes_is_refused(checkpoint: Path, backbone: Backbone, shared_folder: Path) -> None:
    names = ("001.Breed_A", "002.Breed_B", "003.Breed_C", "005.Breed_E")
    with pytest.raises(CheckpointError, match="its class names differ"):
        make_trainer().validate(
            make_classifier(backbone, names),
            make_data(shared_folder, backbone),
            ckpt_path=checkpoint,
            weights_only=True,
        )


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_classifier__refuses_a_label_smoothing_out_of_range(smoothing: float, backbone: Backbone) -> None:
    with pytest.raises(ConfigError, match=f"label_smoothing={smoothing}"):
        make_classifier(backbone, label_smoothing=smoothing)


def test_classifier__refuses_names_that_do_not_match_the_head(backbone: Backbone) -> None:
    with pytest.raises(ConfigError, match="3 class names for a head of 4 outputs"):
        BreedClassifier(backbone, LinearHead(backbone.num_features, 4), NAMES[:3])


def test_classifier__without_an_optimizer_says_how_to_give_one(backbone: Backbone, shared_folder: Path) -> None:
    model = BreedClassifier(backbone, LinearHead(backbone.num_features, 4), NAMES)
    with pytest.raises(ConfigError, match="optimizer=partial"):
        make_trainer().fit(model, make_data(shared_folder, backbone))


@pytest.mark.parametrize("counts", [[10, 30], [1, 1, 1], [5, 0, 100, 7]])
def test_balanced_weights__give_every_class_the_same_share(counts: list[int]) -> None:
    shares = balanced_weights(counts) * torch.tensor(counts)

    present = [float(share) for share, pictures in zip(shares, counts, strict=True) if pictures]
    assert present == pytest.approx([sum(counts) / len(counts)] * len(present))
