"""The entry as SageMaker starts it: a process in a folder that is laid out as the container is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from launch.overrides import to_hyperparameters

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "launch/entry.py"
JOB = "job-1"


class Container:
    """A container of our own: `base` stands for /opt/ml."""

    def __init__(
        self,
        base: Path,
        overrides: list[str] | None = None,
        channels: Mapping[str, Path] | None = None,
        hosts: tuple[str, ...] = ("algo-1",),
        host: str = "algo-1",
        **environment: str,
    ) -> None:
        self.base, self.run_directory = base, base / "checkpoints" / JOB
        self.environment = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": JOB, **environment}
        resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"}
        self.write("resourceconfig", resources)
        self.write("inputdataconfig", {name: {"TrainingInputMode": "File"} for name in channels or {}})
        self.write("hyperparameters", to_hyperparameters(overrides or []))
        for name, folder in (channels or {}).items():
            (base / "input/data").mkdir(parents=True, exist_ok=True)
            (base / "input/data" / name).symlink_to(folder)

    def write(self, name: str, content: object) -> None:
        file = self.base / "input/config" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))

    def start(self, *start: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(map(str, start or (sys.executable, "-m", "launch.entry"))),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",  # what is no UTF-8 must come through too
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
        )

    def run(self, *start: object, stop_at: str = "", by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and output; a signal is sent once a line begins with `stop_at`."""
        process, lines = self.start(*start), []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if stop_at and line.startswith(stop_at):
                process.send_signal(by)
        return process.wait(), "".join(lines)

    def restart(self) -> None:
        """All is new but the checkpoints, as where a spot instance was taken away."""
        for name in ("model", "output"):
            shutil.rmtree(self.base / name, ignore_errors=True)

    @property
    def failure(self) -> str:
        return (self.base / "output/failure").read_text()

    @property
    def has_failed(self) -> bool:
        return (self.base / "output/failure").exists()

    @property
    def metrics(self) -> dict[str, float]:
        content: dict[str, float] = json.loads((self.base / "output/data/metrics.json").read_text())
        return content


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "told"), [("optimizer.lr=abc", "error: optimizer cannot be made"), ("data.root=nowhere", "error: ")]
)
def test_entry__mistake_of_the_user_is_the_reason(
    small_run: list[str], shared_folder: Path, tmp_path: Path, override: str, told: str
) -> None:
    channels = {} if override.startswith("data.root") else {"data": shared_folder}
    code, output = (container := Container(tmp_path, [*small_run, override], channels)).run()
    assert code == 1
    assert container.failure.startswith(told)
    assert "what to do: " in container.failure
    assert "Traceback" not in output


@pytest.mark.slow
def test_entry__interrupted_in_an_epoch_goes_on_to_the_same_weights(
    small_run: list[str], shared_folder: Path, tmp_path: Path
) -> None:
    chance = ["head=mlp", "head.dropout=0.3", "augmentation=crop_flip", "data.num_workers=1"]
    overrides = [*small_run, *chance, "trainer.max_epochs=4", "optimizer.lr=0.5", "data.batch_size=8"]
    whole, parted = (Container(tmp_path / name, overrides, {"data": shared_folder}) for name in ("whole", "parted"))
    code, output = whole.run()
    assert code == 0, output

    code, output = parted.run(stop_at="epoch=1 ")
    assert code == 128 + signal.SIGTERM, output
    assert not parted.has_failed
    assert (parted.base / "output/data/checkpoints/last.ckpt").exists()
    parted.restart()
    code, output = parted.run()
    assert code == 0, output
    assert "epoch=0 " not in output
    ours, theirs = (
        torch.load(each.base / "output/data/checkpoints/last.ckpt", weights_only=True) for each in (parted, whole)
    )
    assert all(torch.equal(ours["state_dict"][name], entry) for name, entry in theirs["state_dict"].items())
    assert parted.metrics == whole.metrics


def assert_as_one(container: Container, alone: Container) -> None:
    for key, value in alone.metrics.items():
        assert container.metrics[key] == pytest.approx(value, rel=1e-5, abs=1e-6 if "loss" in key else 0.01), key


SHARED = ["data.batch_size=6", "optimizer.lr=0.5", "trainer.max_epochs=3"]
DDP = ["trainer=ddp", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def alone(small_run: list[str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Container:
    container = Container(tmp_path_factory.mktemp("alone"), [*small_run, *SHARED], {"data": shared_folder})
    code, output = container.run()
    assert code == 0, output
    return container


@pytest.mark.slow
def test_entry__two_processes_train_as_one(
    small_run: list[str], shared_folder: Path, tmp_path: Path, alone: Container
) -> None:
    overrides = [*DDP, *small_run, *SHARED, "trainer.devices=2"]
    container = Container(tmp_path, overrides, {"data": shared_folder}, DOGBREED_PROCESSES="2")
    code, output = container.run()
    assert code == 0, output
    assert output.count("epoch=0 ") == 1
    assert_as_one(container, alone)
    assert (container.base / "model/weights.safetensors").exists()


@pytest.mark.slow
def test_entry__two_hosts_train_as_one(
    small_run: list[str], shared_folder: Path, tmp_path: Path, alone: Container
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    hosts = ("127.0.0.1", "localhost")  # two names for this machine
    overrides = [*DDP, *small_run, *SHARED, "trainer.devices=1"]
    containers = [
        Container(tmp_path / host, overrides, {"data": shared_folder}, hosts, host, MASTER_PORT=port) for host in hosts
    ]
    processes = [container.start() for container in containers]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert_as_one(containers[0], alone)
    assert not (containers[1].base / "model").exists()
    assert not (containers[1].base / "output/data").exists()


@pytest.mark.slow
def test_entry__two_processes_stop_and_go_on(
    small_run: list[str], shared_folder: Path, tmp_path: Path, alone: Container
) -> None:
    loaders = ["features=pixels", "data.num_workers=1"]  # processes of their own, beside those that train
    overrides = [*DDP, *small_run, *SHARED, "trainer.devices=2", *loaders]
    container = Container(tmp_path, overrides, {"data": shared_folder}, DOGBREED_PROCESSES="2")
    code, output = container.run(stop_at="epoch=0 ")
    assert code == 128 + signal.SIGTERM, output
    assert not container.has_failed
    container.restart()
    code, output = container.run()
    assert code == 0, output
    assert "epoch=0 " not in output
    assert_as_one(container, alone)


@pytest.mark.slow
def test_entry__failure_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    task.write_text(
        "import os, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "if os.environ['RANK'] == '1': raise ValueError('nan')\n"
        "dist.barrier()\n"
    )
    command = json.dumps([str(task)])
    container = Container(tmp_path / "ml", DOGBREED_COMMAND=command, DOGBREED_PROCESSES="2")
    code, output = container.run()
    assert code == 1, output
    assert container.failure == f"ValueError: nan\nat {task}:3 in <module>"


@pytest.mark.slow
def test_entry__sweep_keeps_all_trials_and_the_artifact_of_the_winner(
    small_run: list[str], shared_folder: Path, tmp_path: Path
) -> None:
    sweep = ["hydra/sweeper=fleet", "hydra.sweeper.n_trials=4", "optimizer.lr=tag(log,interval(0.01,10))"]
    container = Container(tmp_path, [*small_run, *sweep, "trainer.max_epochs=2"], {"data": shared_folder})
    code, output = container.run()
    assert code == 0, output
    left = container.base / "output/data"
    assert len(json.loads((left / "trials.json").read_text())["trials"]) == 4
    assert (left / "winner/metrics.json").exists()
    assert not (left / "winner/artifact").exists()
    assert (container.base / "model/weights.safetensors").exists()
