"""The jobs of a tuning job: AWS's own sagemaker-training toolkit unpacks our code and starts our entry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from launch.files.packaging import pack_code
from launch.overrides import to_hyperparameters
from tests.launch.environments import make_environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOOLKIT = "sagemaker-training==5.1.4"


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of an environment of the toolkit's own: its protobuf is another than ours, which is found behind it."""
    return make_environment(tmp_path_factory.mktemp("toolkit"), [TOOLKIT]).parent


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sourcedir.tar.gz of the working tree as it is, also where it is not committed."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("dogbreed", "conf", "launch"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    file = tmp_path_factory.mktemp("code") / "sourcedir.tar.gz"
    file.write_bytes(pack_code(checkout).content)
    return file


def start(toolkit: Path, archive: Path, base: Path, overrides: list[str], data: Path) -> tuple[int, str]:
    """Run the toolkit's `train` on a job, as the container does."""
    ours = {"sagemaker_program": "launch/entry.py", "sagemaker_submit_directory": str(archive)}
    added = {**ours, "sagemaker_region": "us-east-1", "_tuning_objective_metric": "val/acc"}
    config = {
        "hyperparameters": {**to_hyperparameters(overrides), **{key: json.dumps(text) for key, text in added.items()}},
        "resourceconfig": {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"},
        "inputdataconfig": {"data": {"TrainingInputMode": "File"}},
    }
    for name, content in config.items():
        file = base / f"input/config/{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    (base / "input/data").mkdir()
    (base / "input/data/data").symlink_to(data)
    job = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "tuning-001-0a1b2c3d", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [toolkit / "train"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=base,
        env={**os.environ, **job, "PATH": f"{toolkit}{os.pathsep}{os.environ['PATH']}"},
    )
    return ended.returncode, ended.stdout


def test_toolkit__starts_the_entry_with_the_same_result(
    toolkit: Path, archive: Path, small_run: list[str], shared_folder: Path, trained_run: Path, tmp_path: Path
) -> None:
    overrides = [*small_run, "data.batch_size=8", "optimizer.lr=3", "trainer.max_epochs=2"]  # those of trained_run
    code, output = start(toolkit, archive, tmp_path, overrides, shared_folder)
    assert code == 0, output
    metrics = (tmp_path / "output/data/metrics.json").read_text()
    assert metrics == (trained_run / "metrics.json").read_text()
    ours, theirs = (load_file(at / "weights.safetensors") for at in (tmp_path / "model", trained_run / "artifact"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_toolkit__leaves_the_reason_of_a_failure_as_the_entry_wrote_it(
    toolkit: Path, archive: Path, small_run: list[str], tmp_path: Path
) -> None:
    code, output = start(toolkit, archive, tmp_path, [*small_run, "seed=-1"], tmp_path)
    assert code == 1, output
    assert (tmp_path / "output/failure").read_text().startswith("error: seed=-1")
