"""What needs no AWS package, no credentials and no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: Before anything else: neither AWS's packages nor a connection.
_BLOCK = """
import runpy, socket, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
def refuse(*arguments, **more):
    raise AssertionError("a connection")
socket.socket.connect = refuse
sys.argv[1:] = {arguments}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
_ALL = ("boto3", "botocore", "s3transfer", "sagemaker", "s3fs")
_ALL_BUT_BOTOCORE = ("boto3", "s3transfer", "sagemaker", "s3fs")
_SAID = ["sagemaker.region=us-east-1", "sagemaker.role=arn:aws:iam::123456789012:role/jobs", "sagemaker.image=mine:1"]


def run(module: str, arguments: list[str], blocked: tuple[str, ...], where: Path) -> subprocess.CompletedProcess[str]:
    code = _BLOCK.format(blocked=set(blocked), arguments=arguments, module=module)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    alone = {**kept, "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    return subprocess.run([sys.executable, "-c", code], cwd=where, env=alone, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["train", "plan", "jobs", "deploy", "endpoints", "ask", "transform", "package"])
def test_help__needs_no_aws_package(module: str, tmp_path: Path) -> None:
    ended = run(f"launch.{module}", ["--help"], _ALL, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "launch" in ended.stdout


@pytest.mark.parametrize(
    ("module", "argument", "told"),
    [
        ("launch.train", "sagemaker.instance_count=0", "a whole number >= 1"),
        ("launch.train", "sagemaker.spt=true", "spot"),
        ("launch.tune", "sagemaker.tuner.strategy=Bayes", "Bayesian"),
        ("launch.train", "-m", "hydra/sweeper=fleet"),
    ],
)
def test_refusals__need_no_aws_package(module: str, argument: str, told: str, tmp_path: Path) -> None:
    ended = run(
        module,
        ["experiment=quickstart", argument, *(["search_space=lr_batch"] if module == "launch.tune" else [])],
        _ALL,
        tmp_path,
    )
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_plan__needs_botocore_alone(tmp_path: Path) -> None:
    ended = run("launch.plan", ["experiment=quickstart", *_SAID], (*_ALL_BUT_BOTOCORE, "torch"), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "nothing is wrong with it" in ended.stdout
    assert list(tmp_path.glob("runs/*")) == []


def test_plan__of_a_rule_that_cannot_be_needs_no_torch_either(tmp_path: Path) -> None:
    wrong = "+health.rules.UnchangedTensor.foo=-5"
    ended = run("launch.plan", ["experiment=quickstart", wrong, *_SAID], (*_ALL_BUT_BOTOCORE, "torch"), tmp_path)
    assert ended.returncode == 1
    assert "health.rules.UnchangedTensor cannot be made" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_plan__without_an_image_says_what_to_install(tmp_path: Path) -> None:
    ended = run("launch.plan", ["experiment=quickstart", *_SAID[:2]], _ALL_BUT_BOTOCORE, tmp_path)
    assert ended.returncode == 1  # as with every plan that could not be sent
    assert "pip install 'dogbreed[sagemaker]', or set sagemaker.image=URI" in ended.stdout


def test_train__without_boto3_says_what_to_install(tmp_path: Path) -> None:
    ended = run("launch.train", ["experiment=quickstart", *_SAID], _ALL_BUT_BOTOCORE, tmp_path)
    assert ended.returncode == 1
    assert "pip install 'dogbreed[sagemaker]'" in ended.stderr
    assert "Traceback" not in ended.stderr
