"""A launch and its record: one job, whatever is repeated, and nobody's folder taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import OutputError
from launch.files.packaging import CodeArchive
from launch.requests import Place, Work, build_training_job
from launch.sending.submission import TRAINING, TUNING, Launch, begin, check_same, send, set_aside
from launch.settings import JobSettings
from tests.launch.scripted import ScriptedBackend

CODE = CodeArchive(b"code", (), ())


def request_of(settings: JobSettings, launch: Launch, **hyperparameters: str) -> dict[str, Any]:
    place = Place("arn:aws:iam::123456789012:role/x", "bucket", "image", "us-east-1")
    work = Work(hyperparameters, "s3://bucket/code/", {}, [], launch=launch.token)
    return build_training_job(launch.name, settings, place, work)


@pytest.fixture
def settings() -> JobSettings:
    import hydra
    from omegaconf import OmegaConf

    from dogbreed.app import prepare
    from launch.settings import make_settings

    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose("launch")
    values: Any = OmegaConf.to_container(config.sagemaker, resolve=True)
    values.pop("tuner")
    return make_settings(JobSettings, values, "sagemaker")


@pytest.fixture
def backend(tmp_path: Path) -> ScriptedBackend:
    return ScriptedBackend(tmp_path / "store")


def test_begin__twice_before_anything_was_sent_is_two_launches(tmp_path: Path) -> None:
    assert begin(tmp_path, TRAINING, "a").token != begin(tmp_path, TRAINING, "a").token


def test_send__a_record_of_another_request_is_refused_in_every_state(
    tmp_path: Path, settings: JobSettings, backend: ScriptedBackend
) -> None:
    launch = begin(tmp_path, TRAINING, "a")
    planned = launch.at("planned", request_of(settings, launch, seed="0"))
    for state in (planned, planned.at("created"), planned.at("fetched")):
        with pytest.raises(OutputError, match="asked for something else"):
            check_same(begin(tmp_path, TRAINING, "a"), request_of(settings, state, seed="1"))
        check_same(begin(tmp_path, TRAINING, "a"), request_of(settings, state, seed="0"))


def test_send__into_a_folder_that_another_process_has_just_taken(
    tmp_path: Path, settings: JobSettings, backend: ScriptedBackend
) -> None:
    first, second = begin(tmp_path, TRAINING, "a"), begin(tmp_path, TRAINING, "a")
    first.at("planned", request_of(settings, first))
    with pytest.raises(OutputError, match="has just become the folder of"):
        send(backend, second, request_of(settings, second), CODE, print)


@pytest.mark.parametrize("name", ["config.yaml", "trials.jsonl", "checkpoints"])
def test_begin__in_the_folder_of_a_run_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="holds a run already"):
        begin(tmp_path, TRAINING, "a")


def test_begin__after_a_job_that_failed_is_a_new_launch(tmp_path: Path, settings: JobSettings) -> None:
    launch = begin(tmp_path, TRAINING, "a")
    failed = launch.at("created", request_of(settings, launch))
    (tmp_path / "config.yaml").touch()  # fetched from what it left
    set_aside(failed)
    assert begin(tmp_path, TRAINING, "a").token != failed.token


def test_begin__of_another_kind_is_refused(tmp_path: Path, settings: JobSettings) -> None:
    launch = begin(tmp_path, TRAINING, "a")
    launch.at("planned", request_of(settings, launch))
    with pytest.raises(OutputError, match="a tuning job's"):
        begin(tmp_path, TUNING, "a")


def test_begin__a_damaged_record_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "launch.json").write_text("{")
    with pytest.raises(OutputError, match="is damaged"):
        begin(tmp_path, TRAINING, "a")
