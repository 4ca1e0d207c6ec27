"""`python -m benchmarks.accuracy`: the test accuracy of dogbreed.train's default configuration on photographs.

The features of the frozen backbone are computed once with the clean view that the default configuration
trains on, and each seed's run is then trained on them by the same module, trainer, order of batches and
schedule as `python -m dogbreed.train`: the same steps, for one pass over the pictures instead of twenty a
seed. Logistic regression by scikit-learn, its penalty chosen on val, stands beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dogbreed.app import build, prepare
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.dataset import Batch, Key
from dogbreed.data.folder import SPLITS
from dogbreed.data.loading import GlobalBatches
from dogbreed.models.backbones import Backbone
from dogbreed.train import make_model, make_trainer

# Two-sided 95 % quantiles of Student's t by degrees of freedom, any table of it.
STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

Features = dict[str, tuple[Tensor, Tensor]]


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config of `python -m dogbreed.train` with these overrides."""
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        return hydra.compose("train", overrides=list(overrides))


def extract(backbone: Backbone, datamodule: BreedDataModule) -> Features:
    """Clean-view features (N, D) and targets (N,) of every split, in its own order."""
    features: Features = {}
    for split in SPLITS:
        batches = [(backbone(b.inputs), b.targets) for b in tqdm(datamodule.loader(split), desc=split, disable=None)]
        features[split] = (torch.cat([f for f, _ in batches]), torch.cat([t for _, t in batches]))
    return features


class _Ready(Backbone):
    """A backbone whose features have been computed already."""

    def __init__(self, like: Backbone) -> None:
        super().__init__(torch.nn.Identity(), like.num_features, like.transform, like.source)

    def forward(self, images: Tensor) -> Tensor:
        return images


class _Rows(Dataset[tuple[Tensor, Tensor, int]]):
    def __init__(self, features: Tensor, targets: Tensor) -> None:
        self.features, self.targets = features, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        rows = torch.tensor([index for _, index in keys])
        return Batch(self.features[rows], self.targets[rows], rows, [])


class _FeatureData(pl.LightningDataModule):
    def __init__(self, features: Features, batch_size: int, seed: int) -> None:
        super().__init__()
        self.features, self.batch_size, self.seed = features, batch_size, seed

    def _loader(self, split: str, shuffle: bool = False) -> DataLoader[Any]:
        rows = _Rows(*self.features[split])
        batches = GlobalBatches(len(rows), self.batch_size, shuffle=shuffle, seed=self.seed)
        return DataLoader(rows, batch_sampler=batches, collate_fn=lambda batch: batch)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test")


def train_on(
    features: Features, config: DictConfig, datamodule: BreedDataModule, backbone: Backbone
) -> dict[str, float]:
    """val/* and test/* of the best epoch of one run on ready features."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    model = make_model(config, datamodule, _Ready(backbone))
    trainer = make_trainer(config)
    data = _FeatureData(features, config.data.batch_size, config.seed)
    trainer.fit(model, data, weights_only=True)
    best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    metrics: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        metrics |= evaluate(model, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)[0]
    return metrics


def logistic_regression(features: Features) -> dict[str, float]:
    """Test accuracy of scikit-learn's logistic regression on standardised features, C chosen on val."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = {k: v[0].numpy() for k, v in features.items()}, {k: v[1].numpy() for k, v in features.items()}
    fits = {c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)) for c in (1e-4, 1e-3, 1e-2, 1e-1)}
    scores = {c: fit.fit(x["train"], y["train"]).score(x["val"], y["val"]) for c, fit in fits.items()}
    best = max(scores, key=lambda c: scores[c])
    return {"C": best, "val/acc": scores[best], "test/acc": fits[best].score(x["test"], y["test"])}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a few seeds and half the width of its 95 % interval, by Student's t.

    >>> mean, half = interval([0.82, 0.83, 0.84])
    >>> round(mean, 4), round(half, 4)
    (0.83, 0.0248)
    """
    if len(values) == 1:
        return values[0], math.nan
    half = STUDENT_T[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), half


def measure(overrides: Sequence[str], seeds: int, *, baseline: bool = True) -> dict[str, Any]:
    """Train one run a seed on features computed once; every run's metrics, their mean and its interval."""
    with tempfile.TemporaryDirectory() as scratch:
        common = [*overrides, f"paths.output_dir={scratch}", "logger=none"]
        config = compose(common)
        datamodule = build(config, "data")
        datamodule.setup()
        backbone = build(config, "backbone")
        datamodule.transform = backbone.transform
        features = extract(backbone, datamodule)
        runs = [train_on(features, compose([*common, f"seed={s}"]), datamodule, backbone) for s in range(seeds)]
    mean, half = interval([run["test/acc"] for run in runs])
    result: dict[str, Any] = {
        "runs": runs,
        "test/acc": mean,
        "half_width_95": half,
        "pictures": len(features["test"][1]),
    }
    if baseline:
        result["logistic_regression"] = logistic_regression(features)
    return result


def main() -> None:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("overrides", nargs="+", help="of dogbreed.train: data=folder data.root=DIR backbone=... ")
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="N", help="runs (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    result = measure(options.overrides, options.seeds)
    for seed, run in enumerate(result["runs"]):
        print(f"seed {seed}: " + " ".join(f"{name}={value:.4f}" for name, value in run.items()))
    baseline = result["logistic_regression"]
    print(f"logistic regression (C={baseline['C']:g} by val): test {baseline['test/acc']:.2%}")
    print(
        f"dogbreed.train's defaults, {options.seeds} seeds: test {result['test/acc']:.2%} "
        f"+- {result['half_width_95']:.2%} (95 %), {result['pictures']} pictures"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
