"""What must hold on real photographs with real ImageNet weights; skipped where there are none."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

import dogbreed.evaluate
import dogbreed.health.__main__
import dogbreed.train
from benchmarks.accuracy import measure
from dogbreed.data.images import decode_image
from dogbreed.models.backbones import Backbone, make_backbone

pytestmark = pytest.mark.slow

WEIGHTS = {"mobilenetv2": "mobilenetv2_100.timm.safetensors", "tv_mobilenetv2": "mobilenet_v2.torchvision.safetensors"}


def overrides(real_data: Path, backbone: str) -> list[str]:
    weights = real_data / "weights" / WEIGHTS[backbone]
    return ["data=folder", f"backbone={backbone}", f"backbone.weights={weights}"]


@pytest.fixture(scope="module")
def few(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs of each of the 120 breeds for training, two for validation and two for test."""
    root = tmp_path_factory.mktemp("few") / "dogs"
    for split, count in (("train", 3), ("valid", 2), ("test", 2)):
        for breed in sorted((real_data / "dogs120" / split).iterdir()):
            (root / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (root / split / breed.name / photo.name).symlink_to(photo)
    return root


@pytest.fixture(scope="module")
def run(real_data: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs on the few, by the real command."""
    directory = tmp_path_factory.mktemp("run") / "few"
    arguments = [*overrides(real_data, "mobilenetv2"), f"data.root={few}", "trainer.max_epochs=2", "optimizer.lr=0.03"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["dogbreed.train", *arguments, f"hydra.run.dir={directory}"])
        dogbreed.train.main()
    return directory


def test_linear_probe__accuracy_of_the_default_configuration(real_data: Path) -> None:
    found: dict[str, Any] = {}
    for backbone in WEIGHTS:
        arguments = [*overrides(real_data, backbone), f"data.root={real_data / 'dogs120'}"]
        found[backbone] = measure(arguments, seeds=3, baseline=False)
        print(f"{backbone}: test {found[backbone]['test/acc']:.2%} +- {found[backbone]['half_width_95']:.2%} (95 %)")
    assert found["mobilenetv2"]["test/acc"] >= 0.82
    assert abs(found["mobilenetv2"]["test/acc"] - found["tv_mobilenetv2"]["test/acc"]) <= 0.005


def test_fleet__ends_where_runs_alone_end(real_data: Path, tmp_path: Path) -> None:
    space = ["optimizer.lr=tag(log,interval(0.001,0.02))", "data.batch_size=choice(32,128)"]
    space += ["optimizer.weight_decay=tag(log,interval(0.0001,0.01))", "label_smoothing=interval(0,0.2)"]
    chosen = ["hydra.sweeper.n_trials=4", "hydra.sweeper.sampler=sobol", "hydra.sweeper.winner=false", "logger=none"]
    shared = [*overrides(real_data, "mobilenetv2"), f"data.root={real_data / 'dogs120'}", "trainer.max_epochs=10"]
    found = {}
    for engine in ("fleet", "optuna"):
        out = tmp_path / engine
        arguments = ["-m", f"hydra/sweeper={engine}", f"hydra.sweep.dir={out}", *shared, *space, *chosen]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["dogbreed.train", *arguments])
            dogbreed.train.main()
        found[engine] = json.loads((out / "trials.json").read_text())["trials"]
    for together, alone in zip(found["fleet"], found["optuna"], strict=True):
        assert together["params"] == alone["params"]
        ends = [trial["curve"][-1]["val/acc"] for trial in (together, alone)]
        assert abs(ends[0] - ends[1]) <= 0.005
        assert min(ends) > 0.6  # it has learnt: chance is below 0.01


def test_run__on_pixels_is_the_run_on_features(real_data: Path, run: Path, few: Path, tmp_path: Path) -> None:
    arguments = [*overrides(real_data, "mobilenetv2"), f"data.root={few}", "trainer.max_epochs=2", "optimizer.lr=0.03"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["dogbreed.train", *arguments, "features=pixels", f"hydra.run.dir={tmp_path}"])
        dogbreed.train.main()
    cached, pixels = (json.loads((directory / "metrics.json").read_text()) for directory in (run, tmp_path))
    assert cached.keys() == pixels.keys()
    for name, value in cached.items():
        assert math.isclose(value, pixels[name], rel_tol=1e-4 if "loss" in name else 0, abs_tol=0), name


def test_run__names_breeds_and_leaves_every_backbone_entry_as_it_was(real_data: Path, run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test/acc"] > 0.2  # two epochs on three photographs of each of 120 breeds; chance is below 0.01
    before = load_file(real_data / "weights" / WEIGHTS["mobilenetv2"])
    after = load_file(run / "artifact" / "weights.safetensors")
    entries = {name.removeprefix("backbone."): entry for name, entry in after.items() if name.startswith("backbone.")}
    assert {name for name in before if not name.startswith("classifier.")} == entries.keys()
    assert [name for name, entry in entries.items() if not torch.equal(entry, before[name])] == []


def test_metrics__do_not_depend_on_the_batch_size(run: Path, few: Path, tmp_path: Path) -> None:
    found = []
    for size in (1, 7, 64, 256):
        out = tmp_path / str(size)
        arguments = [f"artifact={run / 'artifact'}", f"data.root={few}", "split=val", f"data.batch_size={size}"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["dogbreed.evaluate", *arguments, f"hydra.run.dir={out}"])
            dogbreed.evaluate.main()
        found.append(json.loads((out / "metrics.json").read_text()))
    trained = json.loads((run / "metrics.json").read_text())
    for metrics in found:
        assert metrics["val/acc"] == found[0]["val/acc"] == trained["val/acc"]
        assert math.isclose(metrics["val/loss"], found[0]["val/loss"], rel_tol=1e-6)
        assert math.isclose(metrics["val/loss"], trained["val/loss"], rel_tol=1e-5)  # on features, fused


def reference(library: str, real_data: Path) -> tuple[Any, torch.nn.Module]:
    """The library's own transform and network, its classifier off."""
    network: Any
    if library == "timm":
        network = timm.create_model("mobilenetv2_100")
        network.load_state_dict(load_file(real_data / "weights" / WEIGHTS["mobilenetv2"]))
        network.reset_classifier(0)
        return create_transform(**resolve_data_config({}, model=network)), network.eval()
    network = mobilenet_v2()
    network.load_state_dict(load_file(real_data / "weights" / WEIGHTS["tv_mobilenetv2"]))
    network.classifier = torch.nn.Identity()
    return MobileNet_V2_Weights.IMAGENET1K_V1.transforms(), network.eval()


@pytest.mark.parametrize(
    ("library", "name", "tag", "weights"),
    [
        ("timm", "mobilenetv2_100", "ra_in1k", "mobilenetv2"),
        ("torchvision", "mobilenet_v2", "IMAGENET1K_V1", "tv_mobilenetv2"),
    ],
)
def test_transform__gives_the_librarys_own_pixels_and_features(
    real_data: Path, library: str, name: str, tag: str, weights: str
) -> None:
    backbone: Backbone = make_backbone(library, name, tag=tag, weights=str(real_data / "weights" / WEIGHTS[weights]))
    transform, network = reference(library, real_data)
    photographs = sorted((real_data / "originals").rglob("*.jpg"))[::10]
    assert len(photographs) == 30
    spec = backbone.transform
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    for path in photographs:
        ours = spec.clean_view(decode_image(path))
        theirs = transform(Image.open(path).convert("RGB"))
        difference = (theirs * std + mean) * 255 - ours
        assert difference.abs().max().round() <= 2, path
        with torch.no_grad():
            expected = network(theirs[None])
        error = (backbone(ours[None]) - expected).norm() / expected.norm()
        assert error <= 1e-2, path


def test_rules__find_nothing_in_a_healthy_probe_where_awss_values_alarm(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*overrides(real_data, "mobilenetv2"), f"data.root={real_data / 'dogs120'}", "report=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["dogbreed.train", *arguments, f"hydra.run.dir={tmp_path}"])
        dogbreed.train.main()
    rules = json.loads((tmp_path / "health.json").read_text())["rules"]
    found = {rule["RuleConfigurationName"] for rule in rules if rule["finding"] is not None}
    assert found - {"StepOutlier"} == set(), "that one judges what else the machine did"
    capsys.readouterr()
    assert dogbreed.health.__main__.main(["replay", str(tmp_path), "health=aws"]) == 0
    told = capsys.readouterr().out
    for rule in ("Overfit", "Overtraining", "LossNotDecreasing", "ClassImbalance", "Confusion"):
        assert re.search(rf"^  {rule} +IssuesFound", told, re.M), rule
