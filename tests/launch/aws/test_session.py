from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import ConfigError
from launch.aws.session import bucket_of, debugger_image, image_of, make_session, region_of, role_of
from launch.sending.planning import find_place
from launch.settings import JobSettings
from tests.launch.aws.conftest import ROLE

pytest.importorskip("boto3")


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AWS of profiles alone: nothing in the environment, no network."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "config"


def test_region_of__settings_then_environment_then_profile(
    profile: Path, settings: JobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = replace(settings, region=None)
    assert region_of(silent) is None
    profile.write_text("[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n")
    assert region_of(silent) == "eu-west-1"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert region_of(silent) == "eu-west-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert region_of(silent) == "ap-south-1"
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert region_of(silent) == "sa-east-1"
    assert region_of(settings) == "us-east-1"


@pytest.mark.parametrize("told_by", ["AWS_REGION", "AWS_DEFAULT_REGION", "profile", "argument"])
def test_make_session__same_region_as_region_of(told_by: str, profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if told_by == "profile":
        profile.write_text("[default]\nregion = eu-west-1\n")
    elif told_by != "argument":
        monkeypatch.setenv(told_by, "eu-west-1")
    made = make_session("eu-west-1" if told_by == "argument" else None)
    assert made.region_name == "eu-west-1"
    assert made.client("sts").meta.region_name == "eu-west-1"


def test_make_session__every_client_is_patient(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_session("us-east-1").client("sts").meta.config
    assert config.retries == {"mode": "adaptive", "total_max_attempts": 9}
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    assert make_session("us-east-1").client("sts").meta.config.retries["total_max_attempts"] == 2


@pytest.mark.usefixtures("profile")
def test_session__profile_that_does_not_exist(
    settings: JobSettings, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in told(make_session, "us-east-1")
    assert "aws configure list-profiles" in told(region_of, replace(settings, region=None))


def test_role_of__settings_or_environment(settings: JobSettings, monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    assert role_of(settings) == ROLE
    silent = replace(settings, role=None)
    monkeypatch.delenv("DOGBREED_ROLE", raising=False)
    assert "DOGBREED_ROLE" in told(role_of, silent)
    monkeypatch.setenv("DOGBREED_ROLE", "arn:aws-cn:iam::123456789012:role/service-role/dogs")
    assert role_of(silent) == "arn:aws-cn:iam::123456789012:role/service-role/dogs"


@pytest.mark.parametrize("role", ["dogs", "arn:aws:iam::123456789012:user/me", "arn:aws:iam::12345:role/dogs"])
def test_role_of__what_is_no_role_is_refused(role: str, settings: JobSettings, told: Any) -> None:
    assert f"sagemaker.role={role}" in told(role_of, replace(settings, role=role))


def test_bucket_of__the_account_is_the_roles(settings: JobSettings) -> None:
    assert bucket_of(settings, "eu-west-1", ROLE) == "sagemaker-eu-west-1-123456789012"
    assert bucket_of(replace(settings, bucket="mine"), "eu-west-1", ROLE) == "mine"
    with pytest.raises(ConfigError, match=r"sagemaker\.bucket"):
        bucket_of(settings, "eu-west-1", "dogs")


@pytest.mark.usefixtures("profile")
def test_find_place__without_credentials(settings: JobSettings) -> None:
    found = find_place(replace(settings, image="mine"))
    assert (found.place.image, found.problems) == ("mine", ())
    without = find_place(replace(settings, image="mine", region=None))
    assert any("sagemaker.region" in problem.where for problem in without.problems)


def test_image_of__without_the_sdk_an_uri_will_do(
    settings: JobSettings, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sagemaker"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sagemaker", None)
    text = told(image_of, settings, "eu-north-1")
    assert "pip install 'dogbreed[sagemaker]', or set sagemaker.image=URI" in text
    assert image_of(replace(settings, image="mine"), "eu-north-1") == "mine"


@pytest.mark.slow
def test_image_of__the_sdks_offline_and_quiet(settings: JobSettings) -> None:
    """In a process without network, credentials or region, whose only words are that it looks."""
    pytest.importorskip("sagemaker.core")
    script = f"""
import socket
def refuse(*arguments):
    raise AssertionError("the network")
socket.socket.connect = socket.getaddrinfo = refuse
from dataclasses import replace
from launch.aws.session import debugger_image, image_of
from launch.settings import JobSettings
settings = JobSettings(**{vars(settings)!r})
print(image_of(settings, "us-east-1"))
print(image_of(replace(settings, instance_type="ml.c5.xlarge"), "us-east-1"))
print(debugger_image("us-east-1"))
"""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True)
    gpu, cpu, debugger = done.stdout.split()
    assert gpu.endswith(f"/pytorch-training:{settings.pytorch_version}-gpu-py312")
    assert cpu.endswith(f"/pytorch-training:{settings.pytorch_version}-cpu-py312")
    assert "sagemaker-debugger-rules" in debugger
    assert done.stderr == "looking up the pytorch image in AWS's SDK ...\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", [{"pytorch_version": "9.9"}, {"region": "moon-1"}, {"instance_type": "g5.xlarge"}], ids=str
)
def test_image_of__what_the_sdk_does_not_know(wrong: dict[str, str], settings: JobSettings, told: Any) -> None:
    pytest.importorskip("sagemaker.core")
    asked = replace(settings, **wrong)  # type: ignore[arg-type]
    text = told(image_of, asked, asked.region)
    assert next(iter(wrong.values())) in text
    assert "sagemaker.image=URI" in text


@pytest.mark.slow
def test_debugger_image__where_there_is_none(told: Any) -> None:
    pytest.importorskip("sagemaker.core")
    assert "moon-1" in told(debugger_image, "moon-1")
