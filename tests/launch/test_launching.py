"""launch.train and launch.tune against moto's server, interrupted at every step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.httpsession import URLLib3Session

import launch.train
import launch.tune
from tests.conftest import Command
from tests.launch.aws.test_starting import Doorway
from tests.launch.conftest import Aws

_ROLE = "sagemaker.role=arn:aws:iam::123456789012:role/jobs"
_QUICK = ["experiment=quickstart", _ROLE, "sagemaker.image=mine:1", "sagemaker.poll_s=0.1"]
_SPACE = ["optimizer.lr=tag(log,interval(0.001,0.1))", "data.batch_size=choice(16,32)"]


@pytest.fixture
def door(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doorway]:
    """SageMaker's front door, which takes each name once; moto behind it, and for all else."""
    import threading

    with Doorway(aws.endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", server.url)
        yield server
        server.shutdown()


@pytest.fixture
def overrides(aws: Aws) -> list[str]:
    return [*_QUICK, f"sagemaker.bucket={aws.new_bucket()}", "+sagemaker.tags.team=dogs"]


def interrupt_at(number: int, *, after: bool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Ctrl-C at the request of this number, before it is sent or when it has been; how many there were."""
    send, count = URLLib3Session.send, 0

    def sent(self: URLLib3Session, request: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and not after:
            raise KeyboardInterrupt
        answer = send(self, request)
        if count == number:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(URLLib3Session, "send", sent)
    return lambda: count


def test_train__starts_one_job_and_says_what_it_left(
    command: Command, aws: Aws, door: Doorway, overrides: list[str], tmp_path: Path
) -> None:
    ended = command(launch.train.main, *overrides, f"hydra.run.dir={tmp_path}/run")
    assert ended.code == 0, ended.err
    assert "left no output.tar.gz and no model.tar.gz" in ended.out  # moto runs nothing
    name = json.loads((tmp_path / "run/launch.json").read_text())["name"]
    described = aws.session().client("sagemaker", endpoint_url=aws.endpoint).describe_training_job(TrainingJobName=name)
    assert described["HyperParameters"] == {"experiment": '"quickstart"'}
    tags = (
        aws.session().client("sagemaker", endpoint_url=aws.endpoint).list_tags(ResourceArn=described["TrainingJobArn"])
    )
    assert {"Key": "team", "Value": "dogs"} in tags["Tags"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_train__interrupted_anywhere_goes_on_with_the_same_job(
    after: bool, command: Command, door: Doorway, overrides: list[str], tmp_path: Path
) -> None:
    number, whole = 0, False
    while not whole:
        number += 1
        directory = tmp_path / f"run{number}"
        arguments = [*overrides, f"hydra.run.dir={directory}"]
        with pytest.MonkeyPatch.context() as patch:
            count = interrupt_at(number, after=after, monkeypatch=patch)
            ended = command(launch.train.main, *arguments)
            whole = count() < number
        if not whole:
            assert ended.code == 130, ended.err
            assert "Traceback" not in ended.err
            assert "go on with:" in ended.out or "launch.jobs" in ended.out
            again = command(launch.train.main, *arguments)
            assert again.code == 0, again.err
        name = json.loads((directory / "launch.json").read_text())["name"]
        assert sum(name == started for _, started in door.names) == 1
    assert number > 4
    assert len(door.names) == number  # one job for each launch, however often it was begun


def test_tune__starts_one_tuning_job(
    command: Command, aws: Aws, door: Doorway, overrides: list[str], tmp_path: Path
) -> None:
    arguments = [*overrides, *_SPACE, "detach=true", f"hydra.sweep.dir={tmp_path}/search"]
    for _ in range(2):
        ended = command(launch.tune.main, *arguments)
        assert ended.code == 0, ended.err
    assert len(door.names) == 1
    ((_, name),) = door.names
    client = aws.session().client("sagemaker", endpoint_url=aws.endpoint)
    described = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    ranges = described["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [entry["Name"] for entry in ranges["ContinuousParameterRanges"]] == ["optimizer.lr"]
    assert ranges["CategoricalParameterRanges"][0]["Values"] == ["16", "32"]


def test_train__over_its_budget_starts_nothing(
    command: Command, door: Doorway, overrides: list[str], tmp_path: Path
) -> None:
    ended = command(launch.train.main, *overrides, "sagemaker.budget_usd=0.01", f"hydra.run.dir={tmp_path}/run")
    assert ended.code == 1
    assert "budget_usd" in ended.err
    assert door.names == set()


def test_train__continued_with_other_settings_is_refused(
    command: Command, door: Doorway, overrides: list[str], tmp_path: Path
) -> None:
    arguments = [*overrides, "detach=true", f"hydra.run.dir={tmp_path}/run"]
    assert command(launch.train.main, *arguments).code == 0
    ended = command(launch.train.main, *arguments, "optimizer.lr=0.5")
    assert ended.code == 1
    assert "was asked for something else" in ended.err
    assert len(door.names) == 1
