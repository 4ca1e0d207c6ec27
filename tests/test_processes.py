"""Real processes, killed for real, and two that train together."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dogbreed.serving.artifact import load_artifact

pytestmark = pytest.mark.slow

EPOCHS = 4


def command(module: str, *overrides: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, overrides)]


def run(arguments: list[str], stop_at: str = "", by: signal.Signals = signal.SIGKILL) -> tuple[int, str]:
    """Run a command, and send it a signal once a line of its output begins with `stop_at`."""
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if stop_at and line.startswith(stop_at):
            process.send_signal(by)
    return process.wait(), "".join(lines)


def last(directory: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == EPOCHS - 1
    return checkpoint["state_dict"]


@pytest.fixture(scope="module")
def training(small_run: list[str], shared_folder: Path) -> list[str]:
    chance = ["head=mlp", "head.dropout=0.3", "augmentation=crop_flip", "data.num_workers=1"]
    settings = [f"trainer.max_epochs={EPOCHS}", "optimizer.lr=0.5", "data.batch_size=8", f"data.root={shared_folder}"]
    return command("dogbreed.train", *small_run, *chance, *settings)


@pytest.fixture(scope="module")
def whole(training: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    code, output = run([*training, f"hydra.run.dir={directory}"])
    assert code == 0, output
    return directory


def assert_same_end(one: Path, other: Path) -> None:
    ours, theirs = last(one), last(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert json.loads((one / "metrics.json").read_text()) == json.loads((other / "metrics.json").read_text())


@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_sigkill__after_any_epoch_then_resumed_ends_the_same(
    training: list[str], whole: Path, tmp_path: Path, epoch: int
) -> None:
    again = [*training, f"hydra.run.dir={tmp_path / 'run'}", "resume=true"]
    code, output = run(again, stop_at=f"epoch={epoch} ")
    assert code == -signal.SIGKILL, output
    code, output = run(again)
    assert code == 0, output
    assert_same_end(tmp_path / "run", whole)


def test_sigterm__leaves_a_checkpoint_and_says_how_to_go_on(training: list[str], whole: Path, tmp_path: Path) -> None:
    code, output = run([*training, f"hydra.run.dir={tmp_path / 'run'}"], stop_at="epoch=1 ", by=signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, output
    assert "stopped by SIGTERM" in output
    assert "Traceback" not in output
    offered = shlex.split(output.split("continue with:")[1].strip().splitlines()[0])
    code, output = run([sys.executable, *offered[1:]])
    assert code == 0, output
    ours, theirs = last(tmp_path / "run"), last(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_two_processes__train_and_evaluate_as_one(small_run: list[str], shared_folder: Path, tmp_path: Path) -> None:
    shared = [*small_run, f"data.root={shared_folder}", "data.batch_size=6", "optimizer.lr=0.5", "trainer.max_epochs=3"]
    results = []
    for name, processes in (("one", []), ("two", ["trainer=ddp", "trainer.accelerator=cpu"])):
        code, output = run(command("dogbreed.train", *shared, *processes, f"hydra.run.dir={tmp_path / name}"))
        assert code == 0, output
        assert output.count("epoch=0 ") == 1, "every process printed its own line"
        results.append(json.loads((tmp_path / name / "metrics.json").read_text()))
        assert output.count("calibrated on val (16 pictures)") == 1, output
    fitted = [load_artifact(tmp_path / name / "artifact").calibration for name in ("one", "two")]
    temperatures = [one.temperature for one in fitted if one is not None]
    assert math.isclose(*temperatures, rel_tol=1e-3)
    for key, value in results[0].items():
        assert math.isclose(results[1][key], value, rel_tol=1e-5, abs_tol=1e-6 if "loss" in key else 0.01), key

    judged = []
    for name, processes in (("one", []), ("two", ["trainer=ddp", "trainer.accelerator=cpu"])):
        out = tmp_path / f"judged_{name}"
        # 16 pictures in batches of 5: the last has one picture, which one process has and the other has not.
        arguments = [f"artifact={tmp_path / 'one' / 'artifact'}", f"data.root={shared_folder}", "split=val"]
        sizes = ["data.batch_size=5", "data.num_workers=0", f"hydra.run.dir={out}"]
        code, output = run(command("dogbreed.evaluate", *arguments, *sizes, *processes))
        assert code == 0, output
        assert "16 pictures of val" in output
        judged.append(json.loads((out / "metrics.json").read_text()))
    assert judged[0].keys() == judged[1].keys()
    for key, value in judged[0].items():
        assert math.isclose(judged[1][key], value, rel_tol=1e-6), key
