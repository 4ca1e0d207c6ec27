"""What a run says of itself, by the real command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

import dogbreed.train
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.explain import run_started
from dogbreed.health import __main__ as health
from dogbreed.health.machine import process_started
from dogbreed.interrupts import ctrl_c
from dogbreed.serving.predictor import Predictor

Command = Callable[..., Any]

RULE = '''
from dataclasses import dataclass

from dogbreed.health.rules import Rule


@dataclass(kw_only=True)
class Mine(Rule):
    """The loss of a batch is above a threshold."""

    needs = "losses"
    threshold: float

    def see(self, sample):
        for step, loss in sample.losses:
            self.judge(loss > self.threshold, clause="above", value=loss, threshold=self.threshold, step=step,
                       mode=sample.mode, meaning=f"The loss is {loss:.3g}.")
'''


@pytest.fixture
def train(command: Command, small_run: list[str], shared_folder: Path, tmp_path: Path) -> Command:
    """Trains for two epochs in `tmp_path`/run."""
    settings = ["trainer.max_epochs=2", "data.batch_size=8", "logger=none", f"hydra.run.dir={tmp_path / 'run'}"]

    def run(*overrides: str) -> Any:
        return command(dogbreed.train.main, *small_run, f"data.root={shared_folder}", *settings, *overrides)

    return run


def rules(directory: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((directory / "health.json").read_text())
    return {rule["RuleConfigurationName"]: rule for rule in content["rules"]}


def test_run__leaves_all_that_explains_it(train: Command, tmp_path: Path) -> None:
    before = time.monotonic()
    ended = train()
    took = time.monotonic() - before
    run = tmp_path / "run"
    assert ended.code == 0, ended.err
    assert len(rules(run)) == 26
    assert (run / "report.html").stat().st_size > 10_000
    assert f"in a browser: {run}/report.html" in ended.out
    profile = json.loads((run / "profile.json").read_text())
    names = [part["name"] for part in profile["phases"]["parts"]]
    assert {"imports and set-up", "data checks", "weights", "features", "training", "validation", "report"} <= {*names}
    assert sum(part["seconds"] for part in profile["phases"]["parts"]) == pytest.approx(profile["seconds"], rel=0.01)
    assert profile["seconds"] <= took, "this process is older than its run, as a notebook's is"


@pytest.mark.slow
def test_run__that_is_its_process_begins_with_it(small_run: list[str], shared_folder: Path, tmp_path: Path) -> None:
    settings = [f"data.root={shared_folder}", "trainer.max_epochs=1", "report=false", "hydra.run.dir=run"]
    before = time.time()
    ended = subprocess.run(
        [sys.executable, "-m", "dogbreed.train", *small_run, *settings], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    path = tmp_path / "run/profile.json"
    profile = json.loads(path.read_text())
    imports = profile["phases"]["parts"][0]
    assert imports["name"] == "imports and set-up"
    began = path.stat().st_mtime - profile["seconds"]
    assert began - before < imports["seconds"] / 2


@pytest.mark.parametrize(
    ("is_command", "mode", "with_process"),
    [(True, RunMode.RUN, True), (True, RunMode.MULTIRUN, False), (False, RunMode.RUN, False)],
    ids=["command", "sweep", "something else"],
)
def test_run_started__with_the_process_only_where_it_is_the_run(
    monkeypatch: pytest.MonkeyPatch, is_command: bool, mode: RunMode, with_process: bool
) -> None:
    monkeypatch.setattr(ctrl_c, "is_command", is_command)
    with initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = compose("train", overrides=[f"hydra.mode={mode.name}"], return_hydra_config=True)
        monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
        before = time.monotonic()
        started = run_started()
    assert started == pytest.approx(process_started(), abs=0.1) if with_process else before <= started


def test_predictions__are_those_of_the_artifact(trained_run: Path, shared_folder: Path) -> None:
    with open(trained_run / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    data = json.loads((trained_run / "data.json").read_text())
    predictor = Predictor.load(trained_run / "artifact")
    assert [Path(row["path"]).parent.name for row in rows] == [row["true"] for row in rows]
    assert data["pictures"] == {"train": [8] * 4, "val": [4] * 4, "test": [4] * 4}
    assert predictor.artifact.calibration is not None
    assert predictor.artifact.calibration.temperature != 1
    for row in rows:
        said = predictor(row["path"], correct_breed=row["true"])
        assert said.correct is not None
        assert row["predicted"] == said.class_name
        assert float(row["probability"]) == pytest.approx(said.probability, abs=1e-5)
        assert float(row["probability_of_true"]) == pytest.approx(said.correct.probability, abs=1e-5)


def test_rule_of_ones_own__is_named_in_the_config(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_module.py").write_text(RULE)
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["+health.rules.Mine._target_=my_module.Mine", "+health.rules.Mine.threshold=0.5", "report=false"]
    assert train(*mine).code == 0
    found = rules(tmp_path / "run")["Mine"]
    assert found["RuleEvaluationStatus"] == "IssuesFound"
    assert found["RuleParameters"] == "threshold:0.5"


def test_fail_on__ends_the_run_with_its_reason_and_a_checkpoint(train: Command, tmp_path: Path) -> None:
    ended = train("optimizer.lr=1e38", "health.fail_on=[ExplodingTensor]")
    stopped = tmp_path / "run/checkpoints/stopped.ckpt"
    assert ended.code == 1
    assert ended.err.startswith("error: ExplodingTensor at step")
    assert f"The state at that moment is in {stopped}." in ended.err
    assert f"how far it came, in a browser: {tmp_path}/run/report.html" in ended.out
    assert torch.load(stopped, weights_only=True)["state_dict"]
    assert rules(tmp_path / "run")["ExplodingTensor"]["RuleEvaluationStatus"] == "IssuesFound"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("health.fail_on=[ExplodingTensr]", "did you mean ExplodingTensor"),
        ("health=aw", "did you mean aws"),
        ("health.rules.Overfitt.patience=3", "did you mean health.rules.Overfit"),
        ("+health.rules.Overfit.patients=3", "health.rules.Overfit cannot be made"),
        ("health.every_n_steps=0", "a whole number >= 1"),
        ("health.rules.DeadRelu.layers=tail", "allowed: head, or all"),
        ("+health.rules.Mine._target_=torch.nn.ReLU", "health.rules.Mine, which is no rule"),
        ("report=3", "true or false"),
        ("hook=smdbug", "did you mean smdebug"),
    ],
)
def test_bad_setting__is_one_clear_error(train: Command, override: str, said: str) -> None:
    ended = train(override)
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "features" not in ended.out, "told before the feature pass"


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["health.rules.DeadRelu.layers=all"], "health.rules.DeadRelu.layers=all looks at what the backbone computes"),
        (
            ["hook=smdebug", "hook.collections.relu_outputs.layers=all"],
            "relu_outputs.layers=all reads what",
        ),
    ],
)
def test_what_needs_the_backbone__takes_pixels_and_says_so(train: Command, overrides: list[str], why: str) -> None:
    ended = train(*overrides, "report=false")
    assert ended.code == 0, ended.err
    assert why in next(line for line in ended.out.splitlines() if line.startswith("training on pixels: "))


def test_dead_relus_of_the_backbone__are_judged_where_asked(train: Command, tmp_path: Path) -> None:
    assert train("health.rules.DeadRelu.layers=all", "report=false").code == 0
    assert rules(tmp_path / "run")["DeadRelu"]["Datapoints"] > 0


def test_health_none__leaves_no_verdict(train: Command, tmp_path: Path) -> None:
    ended = train("health=none", "report=false")
    assert ended.code == 0, ended.err
    assert not (tmp_path / "run/health.json").exists()
    assert "health:" not in ended.out


def test_hook__of_a_resumed_run_goes_on_in_a_folder_of_its_own(train: Command, tmp_path: Path) -> None:
    assert train("hook=smdebug", "report=false").code == 0
    ended = train("hook=smdebug", "report=false", "resume=true", "trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    assert (tmp_path / "run/smdebug/collections").is_dir()
    assert (tmp_path / "run/smdebug_2/collections").is_dir()


@pytest.mark.slow
def test_profiler__leaves_a_chrome_trace(small_run: list[str], shared_folder: Path, tmp_path: Path) -> None:
    # The trace spans a validation, where torch 2.15 crashes with the modules' names; in a process that may crash.
    settings = [f"data.root={shared_folder}", "data.batch_size=2", "trainer.max_epochs=3", "report=false"]
    places = ["trainer/profiler=torch", "logger=none", f"hydra.run.dir={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "dogbreed.train", *small_run, *settings, *places], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    traces = list((tmp_path / "run/trace").glob("*.json"))
    assert traces
    assert "traceEvents" in json.loads(traces[0].read_text())


def test_pixels__are_measured_by_the_pass_and_remembered(
    train: Command, tmp_path: Path, shared_folder: Path, trained_run: Path
) -> None:
    cache = f"features.root={tmp_path / 'cache'}"
    assert train(cache, "report=false").code == 0
    backbone = Predictor.load(trained_run / "artifact").artifact.backbone
    data = BreedDataModule(shared_folder, backbone.transform, batch_size=64, num_workers=0)
    data.setup()
    batches = [batch for split in ("train", "val", "test") for batch in data.loader(split, shared=False)]
    inputs = torch.unique(torch.cat([batch.inputs for batch in batches]), dim=0)  # equal pictures are read once
    pixels = backbone.transform.normalize(inputs)
    (file,) = (tmp_path / "cache").glob("pixels-*.json")
    measured = json.loads(file.read_text())
    assert measured["pictures"] == len(inputs)
    expected = (float(pixels.mean()), float(pixels.std()))
    assert (measured["mean"], measured["spread"]) == pytest.approx(expected, rel=1e-3)
    assert train(cache, "report=false", f"hydra.run.dir={tmp_path / 'again'}").code == 0
    assert '"kind":"pictures"' in (tmp_path / "again/samples.jsonl").read_text()
    file.unlink()  # as where the features were computed for another folder
    assert train(cache, "report=false", f"hydra.run.dir={tmp_path / 'third'}").code == 0
    assert '"kind":"pictures"' in (tmp_path / "third/samples.jsonl").read_text()
    assert file.exists()


def test_replay__of_a_run_says_what_the_run_said(command: Command, trained_run: Path) -> None:
    ended = command(health.main, "replay", trained_run)
    assert ended.code == 0, ended.err
    for name, rule in rules(trained_run).items():
        assert any(line.split()[:2] == [name, rule["RuleEvaluationStatus"]] for line in ended.out.splitlines()), name


def test_replay__of_a_run_without_a_recording_judges_its_epochs(command: Command, tmp_path: Path) -> None:
    losses = [(2.0, 1.0), (1.0, 1.2), (0.5, 1.5), (0.2, 1.9), (0.1, 2.5), (0.05, 3.0)]
    lines = [f"{epoch},{10 * epoch + 10},{train},{val}" for epoch, (train, val) in enumerate(losses)]
    (tmp_path / "metrics.csv").write_text("\n".join(["epoch,step,train/loss,val/loss", *lines]) + "\n")
    ended = command(health.main, "replay", tmp_path)
    assert ended.code == 0, ended.err
    assert "health: Overfit at step 50 of EVAL" in ended.out


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ({}, [], "tells nothing of a SageMaker job"),
        ({"run.json": "{}"}, [], "holds neither samples.jsonl nor metrics.csv"),
        ({"samples.jsonl": "{"}, [], "holds no recording of this version"),
        ({"metrics.csv": "epoch,step\n0,1\n"}, ["trainer.max_epochs=3"], "overrides of the rules"),
        ({"metrics.csv": "epoch,step\n0,1\n"}, ["health.rules.Overfitt.patience=3"], "did you mean"),
    ],
)
def test_replay__of_what_it_cannot_judge(
    command: Command, tmp_path: Path, content: dict[str, str], arguments: list[str], said: str
) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    ended = command(health.main, "replay", tmp_path, *arguments)
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
