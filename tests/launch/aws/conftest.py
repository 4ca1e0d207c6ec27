"""What the tests of launch/aws share: settings, requests, and an error as a user sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from dogbreed.commands import ends_well
from dogbreed.errors import DogbreedError
from launch.requests import Place, Request, Work, build_training_job, build_tuning_job
from launch.settings import JobSettings, TunerSettings, make_settings

ROLE = "arn:aws:iam::123456789012:role/dogs"
CONF = Path(__file__).parents[3] / "conf" / "sagemaker"

Told = Callable[..., str]
Make = Callable[..., Request]


@pytest.fixture
def settings() -> JobSettings:
    """The settings of conf/, in one region."""
    values = yaml.safe_load((CONF / "job" / "default.yaml").read_text())
    return make_settings(JobSettings, {**values, "region": "us-east-1", "role": ROLE}, "sagemaker")


@pytest.fixture
def training_request(settings: JobSettings) -> Make:
    """Makes a CreateTrainingJob request: training_request(name, launch)."""

    def make(name: str, launch: str = "one", **tags: str) -> Request:
        return build_training_job(name, replace(settings, tags=tags), _PLACE, _work(launch))

    return make


@pytest.fixture
def tuning_request(settings: JobSettings) -> Make:
    """Makes a CreateHyperParameterTuningJob request: tuning_request(name, launch)."""
    values = yaml.safe_load((CONF / "tuner" / "bayesian.yaml").read_text())
    tuner = make_settings(TunerSettings, values, "sagemaker.tuner")
    rate = {"Name": "optimizer.lr", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}

    def make(name: str, launch: str = "one") -> Request:
        return build_tuning_job(
            name,
            settings,
            tuner,
            _PLACE,
            _work(launch),
            ranges={"ContinuousParameterRanges": [rate]},
            objective="val/acc",
            direction="max",
            epochs=5,
        )

    return make


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What a user reads of the error that `call` ends with: one error, in its three lines, without a traceback."""

    def tell(call: Callable[..., Any], *arguments: Any) -> str:
        with pytest.raises(DogbreedError) as caught:
            call(*arguments)
        capsys.readouterr()
        assert ends_well("")(partial(_raise, caught.value))() == 1
        text = capsys.readouterr().err
        assert text.count("error:") == 1
        assert "Traceback" not in text
        assert [line.split(":")[0].strip() for line in text.splitlines()] == ["error", "allowed", "what to do"]
        return text

    return tell


def _raise(error: DogbreedError) -> int:
    raise error


_PLACE = Place(role=ROLE, bucket="dogs", image="image", region="us-east-1")


def _work(launch: str) -> Work:
    metrics = [{"Name": "val/acc", "Regex": "val/acc=(\\S+)"}]
    return Work({"seed": "1"}, "s3://dogs/code/", {}, metrics, launch=launch, experiment="dogs")
