"""`python -m benchmarks.accuracy`: the test accuracy of `python -m dogbreed.train` on photographs, over seeds.

Each seed is a run of the command itself, or with --multirun a sweep, whose winner by val counts; with features cached
it takes seconds. Logistic regression by scikit-learn on the same features, its penalty chosen on val, stands beside it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.measuring import describe_machine, finish
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.folder import SPLITS
from dogbreed.features.cache import FeatureCache
from dogbreed.features.engines import make_engine
from dogbreed.models.backbones import make_backbone
from dogbreed.reports.scores import calibrate

# Two-sided 95 % quantiles of Student's t by degrees of freedom, any table of it.
STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

Features = dict[str, tuple[Tensor, Tensor]]


def run_seed(overrides: Sequence[str], seed: int, directory: Path, *, multirun: bool = False) -> Path:
    """The folder of a run of `python -m dogbreed.train`, or of the winner of a sweep."""
    where = ["-m", f"hydra.sweeper.seed={seed}", f"hydra.sweep.dir={directory}"]
    if not multirun:
        where = [f"hydra.run.dir={directory}"]
    settings = [*where, *overrides, f"seed={seed}", "logger=none"]
    subprocess.run([sys.executable, "-m", "dogbreed.train", *settings], check=True, stdout=sys.stderr)
    return directory / "winner" if multirun else directory


def clean_features(config: Mapping[str, Any]) -> Features:
    """Clean-view features (N, D) and targets (N,) of every split of a run, from the cache that it used."""
    settings = {key: value for key, value in config["backbone"].items() if key != "_target_"}
    backbone = make_backbone(settings.pop("library"), settings.pop("name"), **settings)
    data = {key: config["data"][key] for key in ("root", "val_fraction", "test_fraction", "on_error", "seed")}
    pictures = BreedDataModule(transform=backbone.transform, batch_size=32, **data)
    chosen = config["features"]
    on_gpu = torch.cuda.is_available() and config["trainer"]["accelerator"] in ("auto", "gpu", "cuda")
    device = "cuda" if on_gpu and chosen["engine"] == "torch" else "cpu"
    engine = make_engine(backbone, chosen["engine"], device=device)
    loaded = FeatureCache(chosen["root"]).load(
        backbone, engine, {split: pictures.pictures(split) for split in SPLITS}, dtype=chosen["dtype"]
    )
    whole = {split: torch.nonzero(views.readable)[:, 0] for split, views in loaded.views.items()}
    return {split: (views.take(0, whole[split]), views.targets[whole[split]]) for split, views in loaded.views.items()}


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


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of a few seeds and half the width of its 95 % interval, by Student's t; None of a single one.

    >>> mean, half = interval([0.82, 0.83, 0.84])
    >>> round(mean, 4), round(half, 4)
    (0.83, 0.0248)
    """
    if len(values) == 1:
        return values[0], None
    half = STUDENT_T[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), half


def judge_answers(folder: Path) -> dict[str, float | None]:
    """How far the probabilities of a run can be trusted: fitted on val, and seen on test.

    None is what the run does not have: a calibration, a threshold above which it is sure, an answer above it.
    """
    fitted = json.loads((folder / "artifact" / "artifact.json").read_text())["calibration"] or {}
    with (folder / "predictions.csv").open(newline="") as file:
        answers = [(float(row["probability"]), row["true"] == row["predicted"]) for row in csv.DictReader(file)]
    threshold = fitted.get("threshold")
    sure = [] if threshold is None else [right for probability, right in answers if probability >= threshold]
    return {
        "val/ece_before": fitted.get("ece_before"),
        "val/ece": fitted.get("ece_after"),
        "test/ece": calibrate(*zip(*answers, strict=True)).error,
        "test/sure": None if threshold is None else len(sure) / len(answers),
        "test/acc_sure": sum(sure) / len(sure) if sure else None,
    }


def measure(overrides: Sequence[str], seeds: int, *, baseline: bool = True, multirun: bool = False) -> dict[str, Any]:
    """One run, or one sweep, a seed: val/* and test/* of its best epoch, the mean of test/acc, and its interval."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [run_seed(overrides, seed, Path(scratch) / str(seed), multirun=multirun) for seed in range(seeds)]
        runs = [json.loads((folder / "metrics.json").read_text()) | judge_answers(folder) for folder in folders]
        config = yaml.safe_load((folders[0] / "config.yaml").read_text())
    mean, half = interval([run["test/acc"] for run in runs])
    result: dict[str, Any] = {"runs": runs, "test/acc": mean, "half_width_95": half}
    if baseline and (config["features"]["precision"], config["features"]["decoder"]) != ("fp32", "cpu"):
        print("logistic regression is left out: it stands beside fp32 features of pictures decoded by the CPU only")
    elif baseline:
        result["logistic_regression"] = logistic_regression(clean_features(config))
    return result


def main() -> None:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("overrides", nargs="+", help="of dogbreed.train: data=folder data.root=DIR backbone=... ")
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="N", help="runs (default: 3)")
    parser.add_argument("--multirun", action="store_true", help="sweeps: the overrides name a sweeper and a space")
    parser.add_argument("--no-baseline", action="store_true", help="without logistic regression")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    result = {"machine": describe_machine()} | measure(
        options.overrides, options.seeds, baseline=not options.no_baseline, multirun=options.multirun
    )
    for seed, run in enumerate(result["runs"]):
        told = {name: "none" if value is None else f"{value:.4f}" for name, value in run.items()}
        print(f"seed {seed}: " + " ".join(f"{name}={value}" for name, value in told.items()))
    if baseline := result.get("logistic_regression"):
        print(f"logistic regression (C={baseline['C']:g} by val): test {baseline['test/acc']:.2%}")
    half = "(one seed)" if result["half_width_95"] is None else f"+- {result['half_width_95']:.2%} (95 %)"
    what = "winners of sweeps by val" if options.multirun else "dogbreed.train"
    print(f"{what}, {options.seeds} seeds: test {result['test/acc']:.2%} {half}")
    finish(result, options.json)


if __name__ == "__main__":
    main()
