"""What a plan finds before anything is paid for, offline."""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import dogbreed.train
import launch.plan
import launch.train
import launch.tune
from tests.conftest import Command

_SAID = ["sagemaker.region=us-east-1", "sagemaker.role=arn:aws:iam::123456789012:role/jobs", "sagemaker.image=mine:1"]
_MINE = """
from dogbreed.health.rules import Rule

class Mine(Rule):
    pass
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)


def test_plan__is_the_request_as_yaml_or_json_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    ended = command(launch.plan.main, "experiment=quickstart", *_SAID)
    assert ended.code == 0, ended.err
    request = yaml.safe_load(ended.out.split("what is sent")[0])
    assert request["HyperParameters"] == {"experiment": '"quickstart"'}
    ended = command(launch.plan.main, "experiment=quickstart", *_SAID, "format=json")
    assert json.loads(ended.out.split("\n", 1)[1].split("what is sent")[0])["RoleArn"] == request["RoleArn"]
    assert "python -m dogbreed.train experiment=quickstart" in ended.out
    assert not list(tmp_path.glob("runs/*"))


def test_plan__of_the_readme_finds_nothing_wrong(command: Command, shared_folder: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (line,) = re.findall(r"^python -m launch\.plan (.*?[^\\])$", readme, re.M | re.S)
    for word, value in {"PHOTOS": str(shared_folder), "BUCKET": "photos-of-dogs", "PREFIX": "dogs"}.items():
        line = line.replace(word, value)
    ended = command(launch.plan.main, *shlex.split(line.replace("\\\n", " ")), *_SAID)
    assert ended.code == 0, ended.out
    assert "nothing is wrong with it" in ended.out


@pytest.mark.parametrize("space", [(), ("search_space=lr_batch",)])
def test_plan__takes_hydras_flags_behind_the_overrides(space: tuple[str, ...], command: Command) -> None:
    ended = command(launch.plan.main, "experiment=quickstart", *space, "--cfg", "job")
    assert ended.code == 0, ended.err
    assert "dry_run: true" in ended.out


def test_plan__refuses_a_list_that_a_job_would_not_find(command: Command) -> None:
    given = ["sagemaker.channels.data=s3://photos/dogs", "data=folder", "data.root=x", "data.exclude=exclude.csv"]
    ended = command(launch.plan.main, *_SAID, *given)
    assert ended.code == 1
    assert "python -m launch.upload FOLDER --exclude FILE" in ended.out


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (launch.plan.main, ("head=own",)),
        (launch.plan.main, ("head=choice(linear,own)",)),
        (launch.plan.main, ("head=choice(linear,own)", "hydra/sweeper=fleet")),
        (launch.train.main, ("head=own",)),
        (launch.tune.main, ("head=own", "optimizer.lr=interval(0.1,1)")),
        (dogbreed.train.main, ("-m", "head=own,linear", "hydra/launcher=sagemaker", "hydra.launcher.backend=process")),
    ],
)
def test_launch__refuses_configs_that_a_job_would_not_find(
    main: Callable[[], int], arguments: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine/head").mkdir(parents=True)
    (tmp_path / "mine/head/own.yaml").write_text("defaults: [linear]\n")
    account = [] if "-m" in arguments else _SAID
    ended = command(main, "--config-dir", "mine", *arguments, "experiment=quickstart", *account)
    assert ended.code == 1
    assert f"head=own is a file in {tmp_path}/mine, on this machine" in ended.out + ended.err


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (launch.plan.main, (*_SAID[:2], "head._target_=my_own.Mine")),
        (launch.train.main, (*_SAID[:2], "head._target_=my_own.Mine")),
        (launch.tune.main, (*_SAID[:2], "optimizer.lr=interval(0.1,1)", "head._target_=my_own.Mine")),
        (launch.plan.main, (*_SAID[:2], "+health.rules.Mine._target_=my_own.Mine")),
        (launch.plan.main, (*_SAID[:2], "head._target_=choice(dogbreed.models.heads.LinearHead,my_own.Mine)")),
        (
            dogbreed.train.main,
            (
                *("-m", "seed=0,1", "head._target_=my_own.Mine", "hydra/launcher=sagemaker"),
                "hydra.launcher.module=dogbreed.train",
                *(f"hydra.launcher.{line.removeprefix('sagemaker.')}" for line in _SAID[:2]),
            ),
        ),
    ],
)
def test_launch__refuses_modules_that_a_job_would_not_find(
    main: Callable[[], int], arguments: Sequence[str], own_module: str, command: Command
) -> None:
    ended = command(main, *arguments, "experiment=quickstart")
    assert ended.code == 1
    assert f"my_own.Mine: my_own is {own_module}, on this machine" in ended.out + ended.err


@pytest.mark.parametrize("where", ["image=mine:1", "requirements=mine.txt", "backend=process"])
def test_plan__leaves_modules_to_an_image_or_to_requirements_of_ones_own(
    where: str, own_module: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("timm\n")
    given = (*_SAID[:2], f"sagemaker.{where}", "head._target_=my_own.Mine")
    ended = command(launch.plan.main, "experiment=quickstart", *given)
    assert ended.code == 0, ended.out
    assert f"{own_module}, on this machine" not in ended.out


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file of the working directory, as `python -m` finds it."""
    (tmp_path / "my_own.py").write_text(_MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_own.py"
    sys.modules.pop("my_own", None)


def test_plan__takes_a_search_space_of_ones_own_which_becomes_ranges(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/search_space").mkdir(parents=True)
    space = "# @package hydra.sweeper.params\noptimizer.lr: tag(log,interval(0.001,0.1))\n"
    (tmp_path / "mine/search_space/rate.yaml").write_text(space)
    ended = command(launch.plan.main, "--config-dir", "mine", "experiment=quickstart", "search_space=rate", *_SAID)
    assert ended.code == 0, ended.out + ended.err
    request = yaml.safe_load(ended.out.split("what is sent")[0])
    assert "optimizer.lr" in str(request["HyperParameterTuningJobConfig"]["ParameterRanges"])
    assert "search_space" not in str(request), "which a job would not find"


def test_plan__says_every_mistake_at_once_and_exits_with_1(command: Command) -> None:
    mistakes = ["sagemaker.instance_type=ml.g5.huge", "sagemaker.spot=true", "trainer.devices=3", "data=dogs133"]
    mistakes += ["sagemaker.budget_usd=0.01", "seed=-1", "sagemaker.keep_alive_s=99999", "sagemaker.image='a b'"]
    ended = command(launch.plan.main, *_SAID[:1], *mistakes)
    assert ended.code == 1
    for told in ("ml.g5.huge", "MaxWaitTime", "processes", "launch.upload", "budget_usd", "seed", "KeepAlive", "role"):
        assert told in ended.out.split("what is sent")[1], told


@pytest.mark.parametrize(
    "override",
    [
        "data.root=5",
        "data.batch_size=xyz",
        "data._target_=5",
        "monitor=1.5",
        "format=xml",
        "sagemaker.tuner=5",
        "sagemaker.tuner=null",
    ],
)
def test_plan__of_a_value_of_another_kind(override: str, command: Command) -> None:
    ended = command(launch.plan.main, "experiment=quickstart", *_SAID, override)
    assert ended.code == 1
    assert ended.err.splitlines()[-3].startswith(f"error: {override}")


def test_plan__of_a_mistyped_space_finds_every_trial_that_would_fail(command: Command) -> None:
    space = ["optimizer.lrr=interval(0.1,1)", "backbone=choice(resnet18,resnet999)", "data.batch_size=choice(0,32)"]
    ended = command(launch.plan.main, "experiment=quickstart", *_SAID, *space)
    assert ended.code == 1
    for told in ("optimizer.lrr", "resnet999"):
        assert f"problem: {told}" in ended.out or f"={told}" in ended.out, told


def test_plan__of_a_fleet_checks_its_settings_and_takes_a_typed_space(command: Command) -> None:
    fleet = ["experiment=quickstart", *_SAID, "hydra/sweeper=fleet", "optimizer.lr=tag(log,interval(0.001,0.1))"]
    ended = command(launch.plan.main, *fleet, "hydra.sweeper.n_trials=7")
    assert ended.code == 0, ended.out
    assert "7 trials in each way" in ended.out
    ended = command(launch.plan.main, *fleet, "hydra.sweeper.n_trials=-3")
    assert ended.code == 1
    assert "n_trials=-3" in ended.err


def test_plan__compares_the_ways_to_run_twenty_trials(command: Command) -> None:
    search = ["experiment=quickstart", *_SAID, "search_space=lr_batch", "sagemaker.expected_minutes=5"]
    ended = command(launch.plan.main, *search)
    assert ended.code == 0, ended.out
    rows = {name: line.split()[-1] for line in ended.out.splitlines() for name in WAYS if line.strip().startswith(name)}
    assert rows.keys() == set(WAYS)
    assert "python -m dogbreed.train -m hydra/sweeper=fleet hydra.sweeper.n_trials=20" in ended.out


WAYS = ("a job for each trial ", "one tuning job ", "the fleet in one job ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search_space=lr_batch"], "add hydra/sweeper=fleet; or launch.tune"),
        (["-m", "seed=0,1"], "hydra/launcher=sagemaker"),
        (["hydra/sweeper=optuna"], "launch.tune for a job a trial"),
        (["sagemaker.spot=maybe", "sagemaker.max_run_s=1"], "sagemaker.max_run_s=1; sagemaker.spot=maybe"),
    ],
)
def test_train__refuses_what_is_no_single_job(arguments: list[str], told: str, command: Command) -> None:
    ended = command(launch.train.main, "experiment=quickstart", *_SAID, *arguments)
    assert ended.code == 1
    assert told in ended.err


def test_tune__best_epochs_alone_are_refused(command: Command) -> None:
    ended = command(launch.tune.main, "experiment=quickstart", *_SAID, "search_space=lr_batch", "best_epochs=9")
    assert ended.code == 1
    assert "add train_best=true" in ended.err


def test_plan__of_a_data_module_that_does_not_exist_says_so(command: Command) -> None:
    wrong = "data._target_=dogbreed.data.datamodule.Nope"
    ended = command(launch.plan.main, "experiment=quickstart", wrong, "sagemaker.channels.data=s3://dogs/data", *_SAID)
    assert ended.code == 1
    assert "data._target_=dogbreed.data.datamodule.Nope" in ended.err
    assert "Traceback" not in ended.err
