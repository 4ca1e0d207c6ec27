"""What these tests share: requests as conf/ and launch.requests make them, in a process that cannot reach a network."""

from __future__ import annotations

import copy
import functools
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from omegaconf import OmegaConf

from dogbreed.app import compose
from dogbreed.training.epoch_line import EPOCH_METRIC_PATTERN, epoch_line
from launch.names import job_name
from launch.overrides import to_hyperparameters
from launch.preflight.problems import Context
from launch.requests import Place, Request, Work, build_training_job, build_tuning_job
from launch.settings import JobSettings, TunerSettings, make_settings

PLACE = Place(
    role="arn:aws:iam::123456789012:role/SageMaker",
    bucket="sagemaker-us-east-1-123456789012",
    image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8-gpu-py312",
    region="us-east-1",
)
METRICS = ("train/loss", "train/acc", "val/loss", "val/acc")
#: As the library's logger prints them, and what it says at the end.
LOG_LINES = (
    "found 133 classes",
    epoch_line({"epoch": 3, "step": 40, "train/loss": 0.5, "train/acc": 0.75, "val/loss": 1e-7, "val/acc": 0.8125}),
    "best epoch: val/loss=0.100000 val/acc=0.812500 test/acc=0.750000",
)
TENSORS = ("CrossEntropyLoss_output_0", "Network_head.linear.weight", "gradient/Network_head.linear.weight")
KNOWN = Context(
    precision="16-mixed",
    batch_size=64,
    devices=1,
    accelerator="auto",
    monitor="val/acc",
    log_lines=LOG_LINES,
    tensor_names=TENSORS,
    pictures_bytes=10**9,
)
_MOMENT = datetime(2026, 11, 21, 20, 30, 5)
_RANGES: dict[str, list[dict[str, Any]]] = {
    "ContinuousParameterRanges": [
        {"Name": "optimizer.lr", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
    ],
    "IntegerParameterRanges": [
        {"Name": "trainer.max_epochs", "MinValue": "2", "MaxValue": "5", "ScalingType": "Linear"}
    ],
    "CategoricalParameterRanges": [{"Name": "data.batch_size", "Values": ["16", "32", "64"]}],
}

Make = Callable[..., Request]


@pytest.fixture(autouse=True)
def nowhere_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nothing of AWS in the environment."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the check reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@functools.cache
def _composed(*choices: str) -> Any:
    return compose("launch", choices).sagemaker


@functools.cache
def _settings(overrides: tuple[str, ...]) -> tuple[JobSettings, TunerSettings]:
    """The settings of group choices (sagemaker/job=spot) and values (sagemaker.retries=1), composed once per choice."""
    choices = [override for override in overrides if "/" in override.split("=")[0]]
    values = [override.removeprefix("sagemaker.") for override in overrides if override not in choices]
    section: Any = OmegaConf.to_container(
        OmegaConf.merge(_composed(*choices), OmegaConf.from_dotlist(values)), resolve=True
    )
    tuner = section.pop("tuner")
    return make_settings(JobSettings, section, "sagemaker"), make_settings(TunerSettings, tuner, "sagemaker.tuner")


def _work() -> Work:
    return Work(
        hyperparameters=to_hyperparameters(["data=dogs133", "optimizer=sgd", "seed=1"]),
        code=f"s3://{PLACE.bucket}/dogbreed/code/0123/",
        channels={"data": f"s3://{PLACE.bucket}/dogbreed/data/4567/"},
        metrics=[{"Name": name, "Regex": EPOCH_METRIC_PATTERN.format(name=name)} for name in METRICS],
        launch="a1b2c3",
        experiment="lr-batch",
    )


@pytest.fixture
def training() -> Make:
    """training(*overrides, debugger=...): a CreateTrainingJob request that nothing is wrong with."""

    def make(*overrides: str, **more: Any) -> Request:
        name = job_name("lr-batch", _MOMENT, "a1b2")
        return copy.deepcopy(build_training_job(name, _settings(overrides)[0], PLACE, replace(_work(), **more)))

    return make


@pytest.fixture
def tuning() -> Make:
    """tuning(*overrides): a CreateHyperParameterTuningJob request that nothing is wrong with."""

    def make(*overrides: str) -> Request:
        job, tuner = _settings(overrides)
        ranges = {k: v for k, v in _RANGES.items() if tuner.strategy != "Grid" or k.startswith("Categorical")}
        request = build_tuning_job(
            job_name("lr-batch", _MOMENT, "a1b2", tuning=True),
            job,
            tuner,
            PLACE,
            _work(),
            ranges=ranges,
            objective="val/acc",
            direction="max",
            epochs=20,
        )
        return copy.deepcopy(request)

    return make


@pytest.fixture
def known() -> Context:
    """All that a request does not say, of a run that suits the default instance."""
    return KNOWN
