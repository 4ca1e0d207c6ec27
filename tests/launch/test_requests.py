"""The exact requests for whole experiments, as golden files: tests/launch/golden/NAME.json.

After a change that is meant, write them anew and read the difference:

    DOGBREED_GOLDEN=write python -m pytest tests/launch/test_requests.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from dogbreed.app import prepare
from dogbreed.sweeps.space import parse_space
from launch.files.packaging import CodeArchive
from launch.overrides import OURS, of_the_job
from launch.requests import Place
from launch.sending.checking import Checked
from launch.sending.experiment import read_experiment
from launch.sending.planning import Found, Plan, plan_training, plan_tuning
from launch.sending.submission import TRAINING, TUNING, Launch

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("DOGBREED_GOLDEN") == "write"
PLACE = Place(
    role="arn:aws:iam::123456789012:role/dogbreed",
    bucket="sagemaker-us-east-1-123456789012",
    image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8-gpu-py312",
    region="us-east-1",
)
CODE = CodeArchive(b"the code", (), ())
DOGS = ("data=dogs133", "sagemaker.channels.data=s3://photographs/datasets/dogs133")

#: One training job each.
TRAINING_JOBS: dict[str, tuple[str, ...]] = {
    "train": ("backbone=resnet18", "optimizer.lr=0.001", "data.batch_size=64", "trainer.max_epochs=10"),
    "spot": ("sagemaker/job=spot", "sagemaker.retries=2", "optimizer=adamw"),
    "ddp": ("sagemaker/job=ddp", "trainer=ddp", "trainer.devices=1", "sagemaker.instance_type=ml.g5.xlarge"),
    "fleet": ("hydra/sweeper=fleet", "hydra.sweeper.n_trials=50", "search_space=lr_batch_decay_smoothing"),
}
#: One tuning job each: the spaces that people have searched for this data, and those that the strategies differ in.
TUNING_JOBS: dict[str, tuple[str, ...]] = {
    "lr_momentum_batch": ("search_space=lr_momentum_batch",),
    "low_lr_two_lengths": ("search_space=low_lr_two_lengths",),
    "lr_large_batch_epochs": ("search_space=lr_large_batch_epochs", "sagemaker/tuner=random"),
    "lr_batch": ("search_space=lr_batch", "sagemaker.tuner.n_trials=5", "trainer.max_epochs=4"),
    "lr_small_batch_epochs": ("search_space=lr_small_batch_epochs", "monitor=val/loss"),
    "hyperband": ("search_space=lr_batch", "sagemaker/tuner=hyperband", "trainer.max_epochs=9", "sagemaker/job=spot"),
    "grid": ("search_space=backbones", "sagemaker/tuner=grid"),
}


@pytest.fixture(scope="module", autouse=True)
def composing() -> Iterator[None]:
    """Hydra, to compose by; and code of a revision that never changes."""
    prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOGBREED_REVISION", "0123abcd")
        with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
            yield


def make_plan(name: str, overrides: tuple[str, ...], directory: Path) -> Plan:
    """The plan of an experiment for an account and a moment that never change."""
    whole = hydra.compose("launch", [*DOGS, *overrides], return_hydra_config=True)
    with open_dict(whole):
        whole.hydra.runtime.output_dir = str(directory)
    HydraConfig.instance().set_config(whole)
    config = whole.copy()
    with open_dict(config):
        settings = config.pop("hydra")
    experiment = read_experiment(config, settings)
    kind = TUNING if name in TUNING_JOBS else TRAINING
    launch = Launch(directory, kind, f"{name.replace('_', '-')}-a1b2", "a1b2c3d4", "planned", {})
    if kind == TRAINING:
        return plan_training(experiment, launch, Found(PLACE, ()), CODE, settings.sweeper)
    varied = [line for line in settings.overrides.task if not line.startswith("search_space=")]
    space, fixed = parse_space(settings.sweeper.params, varied)
    experiment = replace(experiment, overrides=of_the_job(fixed, *OURS))
    return plan_tuning(experiment, launch, Found(PLACE, ()), CODE, space, Checked((), (), None))


@pytest.fixture(scope="module", params=[*TRAINING_JOBS, *TUNING_JOBS])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Plan]:
    """Each experiment's name and plan."""
    name = str(request.param)
    return name, make_plan(name, {**TRAINING_JOBS, **TUNING_JOBS}[name], tmp_path_factory.mktemp(name))


def test_request__is_the_golden_one(planned: tuple[str, Plan]) -> None:
    name, plan = planned
    file = GOLDEN / f"{name}.json"
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(json.dumps(plan.request, indent=2) + "\n")
    assert plan.request == json.loads(file.read_text())


def test_request__passes_the_strict_check(planned: tuple[str, Plan]) -> None:
    _, plan = planned
    assert [str(problem) for problem in plan.problems if problem.fatal] == []
