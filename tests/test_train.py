"""The training command, with what its config can ask for."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf

import dogbreed.report
import dogbreed.train
from dogbreed.app import prepare

Command = Callable[..., Any]

VARIANTS = {
    "adamw with one-cycle": ["optimizer=adamw", "scheduler=onecycle", "optimizer.lr=0.05"],
    "no schedule, smoothed, balanced": ["scheduler=none", "label_smoothing=0.1", "class_weights=balanced"],
    "clipped and accumulated": ["trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=2"],
    "mlp on crops": ["head=mlp", "head.hidden=8", "head.dropout=0.2", "augmentation=crop_flip"],
    "trivial augment": ["augmentation=trivial"],
    "bfloat16": ["trainer.precision=bf16-mixed"],
    "early stopping, every logger": ["callbacks=early_stopping", "logger=all"],
}


@pytest.fixture
def settings(small_run: list[str], shared_folder: Path, tmp_path: Path) -> list[str]:
    return [*small_run, f"data.root={shared_folder}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=2"]


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS.keys())
def test_train__with(overrides: list[str], settings: list[str], command: Command, tmp_path: Path) -> None:
    ended = command(dogbreed.train.main, *settings, *overrides)
    assert ended.code == 0, ended.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert all(value == value for value in metrics.values()), "NaN"
    if "logger=all" in overrides:
        assert list((tmp_path / "run" / "steps").rglob("metrics.csv"))
        assert list((tmp_path / "run" / "tensorboard").rglob("events.out.*"))


HEAD = """
from dogbreed.models.heads import LinearHead

class Mine(LinearHead):
    kind = "mine"
"""


def test_train__of_a_head_of_ones_own_says_how_python_asks_it(
    settings: list[str], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heads_of_mine.py").write_text(HEAD)
    (tmp_path / "conf" / "head").mkdir(parents=True)
    (tmp_path / "conf" / "head" / "mine.yaml").write_text("_target_: heads_of_mine.Mine\n_partial_: true\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = command(dogbreed.train.main, "--config-dir", str(tmp_path / "conf"), *settings, "head=mine")
    assert ended.code == 0, ended.err
    assert "dogbreed.predict" not in ended.out, "no command imports the head"
    (line,) = [line for line in ended.out.splitlines() if "Predictor.load" in line]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    asked = [sys.executable, *shlex.split(line)[1:]]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith("Breed ")
    (record,) = tmp_path.rglob("run.json")
    card = [sys.executable, "-m", "dogbreed.report", "--card", str(record.parent)]
    for where_it_is_imported in (False, True):
        if where_it_is_imported:
            assert command(dogbreed.report.main, *card[3:]).code == 0
        else:
            subprocess.run(card, capture_output=True, check=True)
        for page in ("writeup.md", "model_card.md", "artifact/README.md"):
            text = (record.parent / page).read_text()
            assert "import heads_of_mine; from dogbreed import Predictor" in text
            cannot = r"-m (dogbreed\.(predict|serve|evaluate|export)|launch\.(train|plan|deploy|ask))|endpoint answer"
            assert not re.search(cannot, text), page
        answered = '"breed": "Breed ' in (record.parent / "writeup.md").read_text()
        assert answered == where_it_is_imported
    assert shlex.split(json.loads(record.read_text())["command"])[3:5] == ["--config-dir", str(tmp_path / "conf")]


def test_train__refuses_a_head_without_a_kind_before_it_computes_features(
    settings: list[str], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heads_without.py").write_text(HEAD.replace('kind = "mine"', "pass"))
    monkeypatch.syspath_prepend(tmp_path)
    ended = command(dogbreed.train.main, *settings, "head._target_=heads_without.Mine")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: heads_without.Mine without a kind\n")


@pytest.mark.parametrize("override", ["~head", "~head._target_"])
def test_train__refuses_no_head_before_it_computes_features(
    settings: list[str], command: Command, override: str
) -> None:
    ended = command(dogbreed.train.main, *settings, override)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: no head._target_\n")


def test_train__leaves_a_record_of_itself(trained_run: Path) -> None:
    config = OmegaConf.load(trained_run / "config.yaml")
    record = json.loads((trained_run / "run.json").read_text())
    assert OmegaConf.select(config, "backbone.name") == "test_resnet"
    assert "${" not in (trained_run / "config.yaml").read_text()
    assert record["command"].startswith("python -m dogbreed.train backbone=any")
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"metrics.json", "metrics.csv", "per_class.csv", "confused.csv", "confusion.png", "skipped.csv"} <= {
        path.name for path in trained_run.iterdir()
    }


def test_train__returns_the_objective(settings: list[str], tmp_path: Path) -> None:
    prepare()
    chosen = [entry for entry in settings if not entry.startswith("hydra.")]
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose("train", [*chosen, f"paths.output_dir={tmp_path / 'run'}", "monitor=val/loss"])
    objective = dogbreed.train.train(config)
    assert objective == json.loads((tmp_path / "run" / "metrics.json").read_text())["val/loss"]
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
    assert objective == pytest.approx(min(losses), rel=1e-6)


def test_train__will_not_overwrite_a_run(settings: list[str], command: Command, tmp_path: Path) -> None:
    assert command(dogbreed.train.main, *settings).code == 0
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    ended = command(dogbreed.train.main, *settings)
    assert ended.code == 1
    assert "holds a run already" in ended.err
    assert "resume=true" in ended.err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before


def test_train__resumes_a_finished_run_to_the_same_result(
    settings: list[str], command: Command, tmp_path: Path
) -> None:
    command(dogbreed.train.main, *settings)
    before = (tmp_path / "run" / "metrics.json").read_text()
    assert command(dogbreed.train.main, *settings, "resume=true").code == 0
    assert (tmp_path / "run" / "metrics.json").read_text() == before


def test_train__says_when_there_is_nothing_to_resume(settings: list[str], command: Command) -> None:
    ended = command(dogbreed.train.main, *settings, "resume=true")
    assert ended.code == 0
    assert "starting anew" in ended.out
