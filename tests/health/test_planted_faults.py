"""Real runs with a fault in each: the rule that names it comes first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dogbreed.train
from dogbreed.data.sample import draw_sample
from tests.conftest import draw_folder

Command = Callable[..., Any]
Judge = Callable[..., list[dict[str, Any]]]

PLANTED = '''
import time

import torch
from torch import nn

import pytorch_lightning as pl
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.transforms import TransformSpec
from dogbreed.models.backbones import make_backbone
from dogbreed.models.heads import MLPHead


class DeadLinear(nn.Linear):
    def reset_parameters(self):
        super().reset_parameters()
        nn.init.constant_(self.bias, -100.0)


class DeadHead(MLPHead):
    """Its hidden units see nothing but a bias far below zero."""

    kind = "dead"

    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes, hidden=16, dropout=0.0)
        self.layers[0] = DeadLinear(num_features, 16)


def make_unnormalised(**settings):
    """A backbone whose preprocessing forgets Normalize."""
    backbone = make_backbone(**settings)
    fields = backbone.transform.to_dict() | {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    backbone.transform = TransformSpec.from_dict(fields)
    return backbone


class SleepyDataset(PictureDataset):
    def __getitem__(self, key):
        time.sleep(SLEEP_S)
        return super().__getitem__(key)


class SleepyData(BreedDataModule):
    """Takes its time with every picture."""

    def pictures(self, name, **settings):
        made = super().pictures(name, **settings)
        made.__class__ = SleepyDataset
        return made


class OneNan(pl.Callback):
    """A NaN in one picture's features, in the third epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 2:
            batch.inputs[batch.positions == 17, 3] = float("nan")
'''


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 pictures of 4 classes to train on, 80 of val."""
    return draw_folder(tmp_path_factory.mktemp("planted") / "photos", train=60, val=20)


@pytest.fixture
def judge(
    command: Command, small_run: list[str], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Judge:
    """Trains by the real command and gives what the rules say, ranked: judge(*overrides)."""
    (tmp_path / "planted.py").write_text(PLANTED.replace("SLEEP_S", "0.004"))
    monkeypatch.syspath_prepend(tmp_path)

    def run(*overrides: str) -> list[dict[str, Any]]:
        out = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        healthy = ["data.batch_size=16", "optimizer.lr=1", "trainer.max_epochs=12", "report=false", "logger=none"]
        ended = command(
            dogbreed.train.main, *small_run, f"data.root={pictures}", f"hydra.run.dir={out}", *healthy, *overrides
        )
        assert ended.code == 0, ended.err
        rules: list[dict[str, Any]] = json.loads((out / "health.json").read_text())["rules"]
        return rules

    return run


def found(rules: list[dict[str, Any]]) -> list[str]:
    """The rules that found something by themselves."""
    return [
        rule["RuleConfigurationName"]
        for rule in rules
        if rule["RuleEvaluationStatus"] == "IssuesFound" and rule["consequence_of"] is None
    ]


def test_healthy_run__has_no_finding(judge: Judge) -> None:
    rules = found(judge())
    assert [rule for rule in rules if rule != "StepOutlier"] == []  # which judges what else the machine does


def test_learning_rate_too_high__and_its_remedy(judge: Judge) -> None:
    rules = judge("optimizer.lr=1000")
    assert found(rules)[0] == "WeightUpdateRatio"
    assert "WeightUpdateRatio" not in found(judge("optimizer.lr=1000", *rules[0]["finding"]["remedy"]))


def test_learning_rate_zero__and_its_remedy(judge: Judge) -> None:
    rules = judge("optimizer.lr=0")
    assert found(rules)[0] == "UnchangedTensor"
    assert "UnchangedTensor" not in found(judge("optimizer.lr=0", *rules[0]["finding"]["remedy"]))


def test_dead_relu_head(judge: Judge) -> None:
    rules = judge("head._target_=planted.DeadHead")
    assert found(rules)[0] == "DeadRelu"


def test_labels_of_val_all_equal(judge: Judge, pictures: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(pictures, tmp_path / "one_label"))
    for folder in sorted((root / "valid").iterdir())[1:]:
        for picture in folder.iterdir():
            picture.unlink()
    rules = judge(f"data.root={root}")
    assert found(rules)[0] == "ClassImbalance"
    assert "val" in rules[0]["finding"]["meaning"]


def test_normalisation_missing(judge: Judge) -> None:
    rules = judge("backbone._target_=planted.make_unnormalised")
    assert found(rules)[0] == "CheckInputImages"


@pytest.mark.slow
def test_sleeping_loader__and_its_remedy(judge: Judge) -> None:
    sleepy = ["features=pixels", "data._target_=planted.SleepyData", "trainer.max_epochs=4"]
    rules = judge(*sleepy)
    assert found(rules)[0] == "Dataloader"
    assert "Dataloader" not in found(judge(*sleepy, *rules[0]["finding"]["remedy"]))


def test_class_missing_from_train(judge: Judge, pictures: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(pictures, tmp_path / "one_missing"))
    for picture in (root / "train/003.Breed_C").iterdir():
        picture.unlink()
    rules = judge(f"data.root={root}")
    assert found(rules)[0] == "ClassImbalance"
    assert "Breed_C" in rules[0]["finding"]["meaning"]


def test_overfit_on_twenty_pictures(judge: Judge, tmp_path: Path) -> None:
    root = draw_sample(tmp_path / "twenty", train=2, val=8, test=1)
    settings = ["backbone.library=torchvision", "backbone.name=resnet18", "backbone.tag=null", "backbone.image_size=64"]
    rules = judge(f"data.root={root}", *settings, "optimizer=adamw", "optimizer.lr=0.01", "trainer.max_epochs=60")
    assert found(rules)[0] == "Overfit"


def test_nan_in_one_pictures_tensor(judge: Judge) -> None:
    rules = judge("+callbacks.planted._target_=planted.OneNan")
    assert found(rules)[0] == "ExplodingTensor"
    assert rules[0]["finding"]["tensor"].startswith("inputs of ")
