"""What a job finds in its container, laid out in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dogbreed.errors import ConfigError
from launch.container import Container, read_container
from launch.requests import run_directory

Layout = Callable[..., Mapping[str, str]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Writes a job's files, and returns its environment: layout(hyperparameters={...}, DOGBREED_PROCESSES="2")."""

    def write(**given: Any) -> Mapping[str, str]:
        (tmp_path / "input/config").mkdir(parents=True, exist_ok=True)
        environment = {"SAGEMAKER_BASE_DIR": str(tmp_path), "TRAINING_JOB_NAME": "job-1"}
        for name, value in given.items():
            if name.isupper():
                environment[name] = value
            else:
                (tmp_path / f"input/config/{name}.json").write_text(json.dumps(value))
        return environment

    return write


def test_container__alone_runs_the_overrides_in_its_own_places(layout: Layout, tmp_path: Path) -> None:
    hyperparameters = {"optimizer.lr": "0.01", "backbone": '"resnet18"'}
    found = read_container(layout(hyperparameters=hyperparameters, inputdataconfig={"data": {}, "code": {}}))
    assert found.arguments() == [
        "-m",
        "dogbreed.train",
        "backbone=resnet18",
        "optimizer.lr=0.01",
        f"hydra.run.dir={tmp_path}/checkpoints/job-1",
        f"features.root={tmp_path}/checkpoints/job-1.features",
        f"data.root={tmp_path}/input/data/data",
        "resume=true",
    ]


def test_container__has_its_run_where_the_request_says(layout: Layout) -> None:
    found = replace(read_container(layout()), base=Path("/opt/ml"))
    assert str(found.run_directory) == run_directory("job-1")


def test_container__quotes_places_that_hydra_would_misread(layout: Layout, tmp_path: Path) -> None:
    base = tmp_path / "it's, (a=b)"
    found = replace(read_container(layout()), base=base)
    (override,) = OverridesParser.create().parse_overrides(found.overrides()[:1])
    assert override.value() == str(found.run_directory)


def test_container__sweep_has_a_sweep_directory_and_an_artifact_of_its_winner(layout: Layout, tmp_path: Path) -> None:
    found = read_container(layout(hyperparameters={"hydra/sweeper": '"fleet"', "search_space": '"lr_batch"'}))
    assert found.arguments()[:3] == ["-m", "dogbreed.train", "-m"]
    assert f"hydra.sweep.dir={tmp_path}/checkpoints/job-1" in found.arguments()
    assert not any(line.startswith("hydra.run.dir") for line in found.arguments())
    assert found.artifact == found.run_directory / "winner" / "artifact"


def test_container__other_command_gets_no_setting_of_the_training(layout: Layout, tmp_path: Path) -> None:
    environment = layout(hyperparameters={"x": "1"}, DOGBREED_COMMAND='["-m", "task"]')
    run = f"hydra.run.dir={tmp_path}/checkpoints/job-1"
    assert sorted(read_container(environment).arguments()) == sorted(["-m", "task", "x=1", run])


def test_container__several_processes_on_one_host_meet_on_a_free_port(layout: Layout) -> None:
    arguments = read_container(layout(DOGBREED_PROCESSES="4")).arguments()
    start = ["-m", "torch.distributed.run", "--nproc-per-node=4", "--standalone"]
    assert arguments[:6] == [*start, "-m", "dogbreed.train"]
    assert not any("num_nodes" in line for line in arguments)


@pytest.mark.parametrize(("host", "rank"), [("algo-1", 0), ("algo-2", 1)])
def test_container__several_hosts_meet_at_the_first(layout: Layout, host: str, rank: int) -> None:
    resources = {"hosts": ["algo-2", "algo-1"], "current_host": host, "network_interface_name": "eth0"}
    found = read_container(layout(resourceconfig=resources))
    assert found.arguments()[2:7] == [
        "--nproc-per-node=1",
        "--nnodes=2",
        f"--node-rank={rank}",
        "--master-addr=algo-1",
        "--master-port=29500",
    ]
    assert found.arguments()[-1] == "trainer.num_nodes=2"
    assert found.is_first_host == (rank == 0)
    assert found.environment()["GLOO_SOCKET_IFNAME"] == "eth0"


def test_container__weights_are_the_only_file_of_their_channel(layout: Layout, tmp_path: Path) -> None:
    found = read_container(layout(inputdataconfig={"weights": {}}))
    folder = tmp_path / "input/data/weights/deep"
    folder.mkdir(parents=True)
    (folder / "resnet18.safetensors").touch()
    assert f"backbone.weights={folder}/resnet18.safetensors" in found.overrides()
    (folder / "another.safetensors").touch()
    with pytest.raises(ConfigError, match="2 files"):
        found.overrides()


MISTAKES = {
    "processes": ({"DOGBREED_PROCESSES": "two"}, "DOGBREED_PROCESSES=two"),
    "command": ({"DOGBREED_COMMAND": "-m task"}, "DOGBREED_COMMAND=-m task"),
    "name": ({"TRAINING_JOB_NAME": ""}, "TRAINING_JOB_NAME"),
    "host": ({"resourceconfig": {"hosts": ["algo-1"], "current_host": "algo-3"}}, "current_host=algo-3"),
    "number": ({"hyperparameters": {"seed": 1}}, "hyperparameter seed=1"),
    "list": ({"inputdataconfig": ["data"]}, "inputdataconfig.json"),
}


@pytest.mark.parametrize(("given", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_container__refuses_what_nobody_writes(layout: Layout, given: dict[str, Any], told: str) -> None:
    environment = layout(**given)
    with pytest.raises(ConfigError, match=told):
        read_container(environment)


def test_container__refuses_a_damaged_file(layout: Layout, tmp_path: Path) -> None:
    environment = layout(hyperparameters={})
    (tmp_path / "input/config/hyperparameters.json").write_text('{"seed": ')
    with pytest.raises(ConfigError, match=r"hyperparameters\.json"):
        read_container(environment)


def test_container__refuses_a_sweep_in_several_processes(tmp_path: Path) -> None:
    found = Container(tmp_path, "job-1", {"hydra/sweeper": '"fleet"'}, [], ["algo-1"], "algo-1", processes=2)
    with pytest.raises(ConfigError, match="a sweep in 2 processes"):
        found.arguments()
