from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.models.backbones import Backbone
from dogbreed.training.baselines import logistic_regression_accuracy, mean_colours


def test_mean_colours__of_a_plain_picture(tmp_path: Path, backbone: Backbone) -> None:
    for split in ("train", "valid", "test"):
        for number, colour in enumerate([(200, 10, 30), (0, 90, 250)]):
            (tmp_path / split / str(number)).mkdir(parents=True)
            Image.new("RGB", (40, 40), colour).save(tmp_path / split / str(number) / "a.png")
    data = BreedDataModule(tmp_path, backbone.transform, batch_size=2, num_workers=0)
    colours, targets = mean_colours(data, "val")
    assert colours.tolist() == [[200, 10, 30], [0, 90, 250]]
    assert targets.tolist() == [0, 1]


def test_logistic_regression__is_as_good_as_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1.5, (5, 3))
    data = {}
    for split, count in (("train", 400), ("val", 200), ("test", 400)):
        targets = rng.integers(0, 5, count)
        features = (centres[targets] + rng.normal(0, 1, (count, 3))) * [1, 50, 0.01] + [0, 7, 9]
        data[split] = (torch.tensor(features, dtype=torch.float32), torch.tensor(targets))
    scaler = StandardScaler().fit(data["train"][0])
    oracle = LogisticRegression().fit(scaler.transform(data["train"][0]), data["train"][1])
    expected = oracle.score(scaler.transform(data["test"][0]), data["test"][1])
    assert abs(logistic_regression_accuracy(data, 5) - expected) <= 0.015
