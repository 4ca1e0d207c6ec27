"""Whole jobs by the entry: interrupted ones, those of several processes and hosts, sweeps, mistakes."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
import torch

from tests.launch.containers import Container

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("override", "told"), [("optimizer.lr=abc", "error: optimizer.lr=abc"), ("data.root=nowhere", "error: ")]
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
