"""The entry as SageMaker starts it: a process in a folder that is laid out as the container is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from tests.launch.containers import Container

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "launch/entry.py"


Program = Callable[..., Container]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A container whose command is a program of one's own: program("print(1)", overrides=[...])."""

    def make(text: str, **given: Any) -> Container:
        file = tmp_path / "task.py"
        file.write_text(text)
        return Container(tmp_path / "ml", DOGBREED_COMMAND=json.dumps([str(file)]), **given)

    return make


FASTER = ["data.batch_size=8", "optimizer.lr=3", "trainer.max_epochs=2"]  # as the fixture trained_run


@pytest.fixture(scope="module")
def ended(small_run: list[str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Container:
    """A job that trained as `trained_run` did, started as AWS's toolkit starts it; not to be changed."""
    more = ["+text='16'", "+number=16", r"+words=[a b,'it\'s','x=y']"]
    container = Container(tmp_path_factory.mktemp("job"), [*small_run, *FASTER, *more], {"data": shared_folder})
    foreign = {"_tuning_objective_metric": '"val/acc"', "sagemaker_program": '"launch/entry.py"'}
    hyperparameters = json.loads((container.base / "input/config/hyperparameters.json").read_text())
    container.write("hyperparameters", {**hyperparameters, **foreign})
    code, output = container.run(sys.executable, ENTRY, "--data.batch_size", "64", "--text", "17", "--help")
    assert code == 0, output
    return container


def test_entry__trains_what_the_same_overrides_train_here(ended: Container, trained_run: Path) -> None:
    assert ended.metrics == json.loads((trained_run / "metrics.json").read_text())
    ours, theirs = (load_file(at / "weights.safetensors") for at in (ended.base / "model", trained_run / "artifact"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_entry__keeps_the_run_in_output_and_the_artifact_in_model(ended: Container, trained_run: Path) -> None:
    def files(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    artifact = {path for path in files(trained_run) if path.parts[0] == "artifact"}
    assert files(ended.base / "output/data") == files(trained_run) - artifact
    assert files(ended.base / "model") == {path.relative_to("artifact") for path in artifact}
    assert not ended.has_failed


def test_entry__reads_typed_values_off_the_file_and_nothing_else(ended: Container) -> None:
    config = OmegaConf.load(ended.base / "output/data/config.yaml")
    chosen = [OmegaConf.select(config, key) for key in ("text", "number", "words")]
    assert chosen == ["16", 16, ["a b", "it's", "x=y"]]
    assert not {"sagemaker_program", "_tuning_objective_metric"} & set(map(str, config))


def test_entry__started_as_a_file_imports_from_the_folder_above(program: Program, tmp_path: Path) -> None:
    container = program("import json, os, sys; print(json.dumps([sys.path, os.getcwd()]))")
    code, output = container.run(sys.executable, ENTRY)
    assert code == 0, output
    path, folder = next(json.loads(line) for line in output.splitlines() if line.startswith("[["))
    assert path[:2] == [str(tmp_path), str(ROOT)]
    assert folder == str(ROOT)
    assert str(ROOT / "launch") not in path, "launch/requests.py would be requests"


def test_entry__crash_leaves_message_and_place_and_the_run_so_far(program: Program, tmp_path: Path) -> None:
    text = """
import pathlib, sys
(run,) = (pathlib.Path(line.split("=")[1]) for line in sys.argv if line.startswith("hydra.run.dir="))
(run / "artifact").mkdir(parents=True)
(run / "artifact" / "weights").touch()
(run / "metrics.csv").touch()
def step(): raise ValueError("loss is not a number")
step()
"""
    container = program(text)
    code, output = container.run()
    assert code == 1
    assert container.failure == f"ValueError: loss is not a number\nat {tmp_path}/task.py:7 in step"
    assert "Traceback (most recent call last):" in output
    assert (container.base / "model/weights").exists()
    assert [path.name for path in (container.base / "output/data").iterdir()] == ["metrics.csv"]


def test_entry__ends_with_the_exit_code_of_what_it_started(program: Program) -> None:
    code, _ = (container := program("raise SystemExit(7)")).run()
    assert code == 7
    assert container.failure.startswith("exit code 7")


def test_entry__that_was_killed_says_so(program: Program) -> None:
    text = "import os; print('epoch=0', flush=True); os.kill(os.getpid(), 9)"
    code, output = (container := program(text)).run()
    assert code == 128 + signal.SIGKILL, output
    assert container.failure.startswith("ended by SIGKILL")


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_entry__passes_on_lines_at_once_and_signals_to_the_task(program: Program, by: signal.Signals) -> None:
    text = """
import pathlib, signal, sys, time
def stop(number, frame):
    run.mkdir(parents=True)
    (run / "last.ckpt").write_text(str(number))
    raise SystemExit(128 + number)
(run,) = (pathlib.Path(line.split("=")[1]) for line in sys.argv if line.startswith("hydra.run.dir="))
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, stop)
print("ready", end=" ", flush=True); sys.stdout.buffer.write(b"\\xff\\n"); print("to stderr", file=sys.stderr)
time.sleep(60)
"""
    container = program(text)
    code, output = container.run(stop_at="to stderr", by=by)  # it comes while the task sleeps
    assert code == 128 + by, output
    assert "\nready \udcff\n" in output
    assert (container.base / "output/data/last.ckpt").read_text() == str(int(by))
    assert not container.has_failed


def test_entry__kills_a_task_that_does_not_stop() -> None:
    program = """
import os, signal, sys, threading
from collections import deque
from launch.entry import Child
task = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
class Output(deque):
    def append(self, line):  # the task heeds nothing by now
        os.kill(os.getpid(), signal.SIGTERM)
sys.exit(Child(grace_s=0.5).run(["-c", task], {}, Output(), several=False))
"""
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", program]).returncode == 128 + signal.SIGTERM
    assert time.monotonic() - start < 30


def test_entry__lets_a_task_that_ends_well_after_sigterm_end_well(program: Program) -> None:
    text = "import signal, time; signal.signal(15, lambda *_: exit(0)); print('ready'); time.sleep(60)"
    code, output = (container := program(text)).run(stop_at="ready")
    assert code == 0, output
    assert not container.has_failed


@pytest.mark.slow
def test_entry__does_not_wait_for_what_the_task_left_behind(program: Program) -> None:
    text = "import subprocess; print(subprocess.Popen(['sleep', '120']).pid, flush=True)"
    start = time.monotonic()
    process = program(text).start()
    assert process.wait() == 0
    assert time.monotonic() - start < 60
    assert process.stdout is not None
    pids = [process.stdout.readline() for _ in range(2)]
    os.kill(int(pids[-1]), signal.SIGKILL)


def test_entry__mistake_in_the_files_is_told_without_a_traceback(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.write("hyperparameters", {"seed": "1", "head": "linear"})
    code, output = container.run()
    assert code == 1
    assert "Traceback" not in output
    assert container.failure.startswith("error: hyperparameter head=linear")
    assert "allowed: JSON" in container.failure


def test_entry__results_that_cannot_be_kept_are_a_failure(program: Program) -> None:
    container = program("import pathlib, sys; pathlib.Path(sys.argv[1].split('=')[1]).mkdir(parents=True)")
    (container.base / "output").mkdir()
    (container.base / "output/data").touch()
    code, _ = container.run()
    assert code == 1
    assert container.failure.startswith("FileExistsError:")


def test_entry__import_that_fails_is_a_failure(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "launch", tmp_path / "launch", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "launch/overrides.py").write_text("import nowhere")
    container = Container(tmp_path / "ml")
    code, _ = container.run(sys.executable, tmp_path / "launch/entry.py")
    assert code == 1
    assert container.failure == (
        f"ModuleNotFoundError: No module named 'nowhere'\nat {tmp_path}/launch/overrides.py:1 in <module>"
    )


def test_entry__forgets_the_failure_of_an_earlier_start(program: Program) -> None:
    container = program("print(1)")
    (container.base / "output").mkdir()
    (container.base / "output/failure").write_text("old")
    assert container.run()[0] == 0
    assert not container.has_failed
