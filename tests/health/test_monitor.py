"""The rules during a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import dogbreed.train
from dogbreed.app import compose
from dogbreed.checking import make_rules
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.errors import HealthError
from dogbreed.health.findings import Status
from dogbreed.health.judging import Panel
from dogbreed.health.monitor import FIRST_STEPS, HealthMonitor
from dogbreed.health.recording import read_recording
from dogbreed.health.replay import judge
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Facts, Measure, PictureStats, Sample
from dogbreed.models.backbones import Backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import MLPHead
from tests.conftest import draw_folder

Command = Callable[..., Any]
NAMES = ("001.Breed_A", "002.Breed_B", "003.Breed_C", "004.Breed_D")


class Log(pl.Callback):
    """What Lightning itself hands out: the oracle."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: list[Tensor] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.weights.append(pl_module.head.layers[0].weight.detach().clone())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)


def fit(
    backbone: Backbone, folder: Path, monitor: HealthMonitor, lr: float = 0.5, epochs: int = 3, **settings: Any
) -> tuple[pl.Trainer, Log]:
    head = MLPHead(backbone.num_features, 4, hidden=8, dropout=0.0)
    model = BreedClassifier(backbone, head, NAMES, optimizer=partial(torch.optim.SGD, lr=lr))
    data, log = BreedDataModule(folder, backbone.transform, batch_size=4, num_workers=0), Log()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[monitor, log],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **settings,
    )
    trainer.fit(model, data)
    return trainer, log


def make_monitor(path: Path | None = None, preset: str = "default", **settings: Any) -> HealthMonitor:
    rules = make_rules(compose("train", [f"health={preset}"]))
    return HealthMonitor(Panel(rules), Facts(num_classes=4), every_n_steps=5, recording=path, **settings)


def samples(path: Path, mode: str) -> list[Sample]:
    return [event for event in read_recording(path).events if isinstance(event, Sample) and event.mode == mode]


def test_monitor__records_every_loss_once(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    _, log = fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"))
    recorded = [pair for sample in samples(tmp_path / "s.jsonl", "TRAIN") for pair in sample.losses]
    assert [step for step, _ in recorded] == list(range(24))
    assert [loss for _, loss in recorded] == pytest.approx(log.losses, abs=1e-6)


def test_monitor__undoes_the_division_of_accumulated_gradients(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    _, log = fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"), accumulate_grad_batches=2)
    recorded = [loss for sample in samples(tmp_path / "s.jsonl", "TRAIN") for _, loss in sample.losses]
    assert recorded == pytest.approx(log.losses, abs=1e-6)


def test_monitor__leaves_the_sanity_check_out_and_counts_every_batch_of_val(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"))
    evaluations = samples(tmp_path / "s.jsonl", "EVAL")
    assert [[number for number, _ in sample.losses] for sample in evaluations] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11],
    ]  # fmt: skip
    assert [sum(count for *_, count in sample.pairs) for sample in evaluations] == [16, 16, 16]


def test_monitor__measures_the_first_steps_and_then_every_fifth(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    _, log = fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"))
    measured = {sample.step: sample.tensors for sample in samples(tmp_path / "s.jsonl", "TRAIN") if sample.tensors}
    assert sorted(measured) == [*range(FIRST_STEPS), 10, 15, 20]
    for step, tensors in measured.items():
        stats, weight = tensors["Network_head.layers.0.weight"], log.weights[step].numpy()
        assert (stats.l2, stats.mean) == pytest.approx((np.linalg.norm(weight), weight.mean()), abs=1e-5)
    assert measured[15]["Network_head.layers.0.weight"].update_l2 == pytest.approx(
        float(torch.linalg.vector_norm(log.weights[15] - log.weights[10])), rel=1e-4
    )
    assert {stats.collection for stats in measured[0].values()} == {
        "weights", "biases", "gradients", "relu_outputs", "activation_inputs", "inputs",
    }  # fmt: skip


def test_monitor__replayed_says_the_same(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path / "s.jsonl", "aws")
    fit(backbone, shared_folder, monitor, epochs=6)
    again = judge(read_recording(tmp_path / "s.jsonl"), make_rules(compose("train", ["health=aws"])))
    live = [outcome.to_json() for outcome in monitor.outcomes()]
    assert json.dumps([outcome.to_json() for outcome in again]) == json.dumps(live)
    assert any(outcome["RuleEvaluationStatus"] == "IssuesFound" for outcome in live)


def test_monitor__replayed_with_other_tolerances_is_an_error(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"))
    rules = make_rules(compose("train", ["health.rules.UnchangedTensor.rtol=0.5"]))
    outcomes = {outcome.rule: outcome for outcome in judge(read_recording(tmp_path / "s.jsonl"), rules)}
    assert outcomes["UnchangedTensor"].status == Status.ERROR
    assert outcomes["AllZero"].status == Status.NO_ISSUES


def test_monitor__ends_the_run_and_leaves_its_state(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped.ckpt"
    monitor = make_monitor(fail_on=["ExplodingTensor"], stopped=stopped)
    with pytest.raises(HealthError, match="ExplodingTensor at step"):
        fit(backbone, shared_folder, monitor, lr=1e38)
    assert torch.load(stopped, weights_only=True)["global_step"] > 0


def test_monitor__changes_nothing_of_the_training(backbone: Backbone, shared_folder: Path) -> None:
    torch.manual_seed(0)
    _, watched = fit(backbone, shared_folder, make_monitor())
    torch.manual_seed(0)
    none = HealthMonitor(Panel([]), Facts(), every_n_steps=10**9)
    _, bare = fit(backbone, shared_folder, none)
    assert watched.losses == bare.losses


def test_monitor__on_pixels_looks_at_the_normalised_pictures(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    fit(backbone, shared_folder, make_monitor(tmp_path / "s.jsonl"), epochs=1)
    seen = [event for event in read_recording(tmp_path / "s.jsonl").events if isinstance(event, PictureStats)]
    data = BreedDataModule(shared_folder, backbone.transform, batch_size=32, num_workers=0)
    data.setup()
    (batch,) = data.loader("train", shared=False)
    mean = sum(event.pictures * event.mean for event in seen) / 32
    assert sum(event.pictures for event in seen) == 32
    assert mean == pytest.approx(float(backbone.transform.normalize(batch.inputs).mean()), abs=1e-5)


def test_panel__goes_on_without_a_rule_that_breaks() -> None:
    class Broken(Rule):
        def see(self, sample: Sample) -> None:
            raise ZeroDivisionError("in my rule")

    panel = Panel([Broken(), *make_rules(compose("train", []))])
    panel.see(Sample(0, "TRAIN", losses=((0, 1.0),)))
    outcomes = {outcome.rule: outcome for outcome in panel.outcomes(Facts())}
    assert outcomes["Broken"].status == Status.ERROR
    assert "in my rule" in outcomes["Broken"].reason
    assert outcomes["ExplodingTensor"].status == Status.NO_ISSUES


def test_panel__measures_as_its_rules_want() -> None:
    assert Panel(make_rules(compose("train", ["health=aws"]))).measure == Measure()


def test_run__resumed_ends_with_the_same_health(
    command: Command, small_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = draw_folder(tmp_path / "photos")
    shared = [*small_run, f"data.root={root}", "data.batch_size=4", "logger=none", "report=false"]

    def run(out: Path, *more: str) -> list[dict[str, Any]]:
        assert command(dogbreed.train.main, *shared, f"hydra.run.dir={out}", *more).code == 0
        rules: list[dict[str, Any]] = json.loads((out / "health.json").read_text())["rules"]
        # of the machine and of time no two runs agree
        return [
            {key: rule[key] for key in ("RuleConfigurationName", "RuleEvaluationStatus", "Datapoints", "finding")}
            for rule in rules
            if rule["RuleConfigurationName"] in ("Overfit", "LossNotDecreasing", "WeightUpdateRatio", "ExplodingTensor")
        ]

    whole = run(tmp_path / "whole", "trainer.max_epochs=4", "scheduler=none")
    run(tmp_path / "parts", "trainer.max_epochs=2", "scheduler=none")
    resumed = run(tmp_path / "parts", "trainer.max_epochs=4", "scheduler=none", "resume=true")
    assert resumed == whole
    ended = run(tmp_path / "parts", "trainer.max_epochs=4", "scheduler=none", "resume=true")  # there is nothing left
    assert ended == whole


@pytest.mark.slow
def test_two_processes__judge_the_whole_of_val_and_end_together(small_run: list[str], tmp_path: Path) -> None:
    root = draw_folder(tmp_path / "photos", classes=6, train=8, val=1)
    shared = [
        *small_run,
        f"data.root={root}",
        "data.batch_size=8",
        "trainer=ddp",
        "trainer.max_epochs=3",
        "report=false",
    ]

    def run(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "dogbreed.train", *shared, f"hydra.run.dir={out}", *more]
        return subprocess.run(line, capture_output=True, text=True, timeout=240)

    whole = run(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    rules = json.loads((tmp_path / "whole/health.json").read_text())["rules"]
    assert {rule["RuleConfigurationName"]: rule["RuleEvaluationStatus"] for rule in rules}[
        "ClassImbalance"
    ] != "IssuesFound"
    samples_of_val = samples(tmp_path / "whole/samples.jsonl", "EVAL")
    assert [sum(count for *_, count in sample.pairs) for sample in samples_of_val] == [6, 6, 6]

    stopped = run(tmp_path / "stopped", "optimizer.lr=1e38", "health.fail_on=[ExplodingTensor]")
    assert stopped.returncode != 0
    assert "error: ExplodingTensor at step" in stopped.stderr
    assert (tmp_path / "stopped/checkpoints/stopped.ckpt").exists()
