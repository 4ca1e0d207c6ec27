"""model.tar.gz: what is in it, that it is always the same, and that it runs where the library is not installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dogbreed.errors import ArtifactError
from dogbreed.serving.artifact import load_artifact
from launch import package
from launch.files.model_package import Package, build_package
from tests.conftest import Command


@pytest.fixture(scope="module")
def packed(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_package(trained_run / "artifact", tmp_path_factory.mktemp("package") / "model.tar.gz")


@pytest.fixture(scope="module")
def model(packed: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a container has it."""
    folder = tmp_path_factory.mktemp("model")
    subprocess.run(["tar", "-xzf", packed.path, "-C", folder], check=True)
    return folder


def test_package__is_the_same_to_the_byte(packed: Package, trained_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained_run / "artifact", tmp_path / "copy", copy_function=shutil.copyfile)
    again = build_package(copy, tmp_path / "again.tar.gz")
    assert again.path.read_bytes() == packed.path.read_bytes()
    assert (again.size, again.sha256, again.files) == (packed.size, packed.sha256, packed.files)


def test_package__tells_what_it_is(packed: Package, trained_run: Path) -> None:
    content = packed.path.read_bytes()
    assert (packed.size, packed.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert packed.model == load_artifact(trained_run / "artifact").identity
    with tarfile.open(packed.path) as archive:
        assert [(entry.name, entry.size) for entry in archive] == list(packed.files)


def test_package__holds_what_is_needed_only(packed: Package) -> None:
    names = {name for name, _ in packed.files}
    assert {name for name in names if not name.startswith("code/dogbreed/")} == {
        "artifact.json",
        "weights.safetensors",
        "code/inference.py",
        "code/requirements.txt",
    }
    assert {"code/dogbreed/serving/predictor.py", "code/dogbreed/__init__.py"} <= names
    assert not {name for name in names if "training" in name or "train.py" in name or "launch" in name}


def test_package__requires_what_answering_imports(model: Path) -> None:
    lines = (model / "code/requirements.txt").read_text().splitlines()
    needed = {line.split("=")[0] for line in lines if not line.startswith("#")}
    assert {"timm", "safetensors", "pillow", "simplejpeg", "numpy"} <= needed
    assert not {"torch", "torchvision", "pytorch-lightning", "hydra-core", "matplotlib"} & needed


@pytest.mark.slow
def test_package__answers_with_its_own_code(model: Path, trained_run: Path, shared_folder: Path) -> None:
    picture = next(shared_folder.rglob("*.jpg"))
    code = (
        "import sys, inference, dogbreed\n"
        "predictor = inference.model_fn(sys.argv[1])\n"
        "print(dogbreed.__file__, predictor(sys.argv[2]).to_dict())\n"
        "print([name for name in ('launch', 'hydra', 'pytorch_lightning') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, model, picture],
        env={**os.environ, "PYTHONPATH": str(model / "code")},
        cwd=model,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    from dogbreed.serving.predictor import Predictor

    expected = Predictor.load(trained_run / "artifact")(picture).to_dict()
    assert ran.stdout.splitlines() == [f"{model}/code/dogbreed/__init__.py {expected}", "[]"]


def test_package__command_tells_size_content_and_what_is_next(
    trained_run: Path, packed: Package, tmp_path: Path, command: Command
) -> None:
    ended = command(package.main, "--artifact", trained_run / "artifact", "--output", tmp_path / "model.tar.gz")
    assert ended.code == 0
    assert packed.sha256 in ended.out
    assert f"{packed.size:,} bytes" in ended.out
    assert ended.out.splitlines()[-1].startswith("next: python -m launch.deploy artifact=")


def test_package__takes_thumbnails_where_asked(artifact: Path, tmp_path: Path) -> None:
    shutil.rmtree(artifact / "thumbnails", ignore_errors=True)
    with pytest.raises(ArtifactError, match="no thumbnails"):
        build_package(artifact, tmp_path / "model.tar.gz", thumbnails=True)
    assert not (tmp_path / "model.tar.gz").exists()
    (artifact / "thumbnails").mkdir()
    (artifact / "thumbnails/0000.jpg").write_bytes(b"picture")
    packed = build_package(artifact, tmp_path / "model.tar.gz", thumbnails=True)
    assert ("thumbnails/0000.jpg", 7) in packed.files


def test_package__takes_exports_with_their_code_and_packages(artifact: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    for name in ("openvino", "torch_export"):
        (artifact / "exports" / name).mkdir(parents=True)
        (artifact / "exports" / name / "export.json").write_text("{}")
    packed = build_package(artifact, tmp_path / "model.tar.gz", exports=True)
    names = {name for name, _ in packed.files}
    assert {"exports/openvino/export.json", "code/dogbreed/exports/openvino.py"} <= names
    assert "code/dogbreed/exports/torch_export.py" in names
    assert "code/dogbreed/exports/onnx.py" not in names
    with tarfile.open(packed.path) as archive:
        file = archive.extractfile("code/requirements.txt")
        assert file is not None
        lines = file.read().decode().splitlines()
    assert {"openvino", "timm"} <= {line.split("=")[0] for line in lines}
    assert not {"nncf", "torch"} & {line.split("=")[0] for line in lines}


def test_package__refuses_a_damaged_artifact(artifact: Path, tmp_path: Path, command: Command) -> None:
    weights = artifact / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    ended = command(package.main, "--artifact", artifact, "--output", tmp_path / "model.tar.gz")
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert not (tmp_path / "model.tar.gz").exists()
