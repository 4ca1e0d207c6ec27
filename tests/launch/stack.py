"""AWS's own hosting stack, TorchServe and the toolkits, laid out on this machine as its container has it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from launch.files.model_package import Package
from tests.launch.environments import make_environment

STACK = ("torchserve==0.12.0", "torch-model-archiver==0.12.0", "sagemaker-inference==1.10.1", "setuptools<81")
HANDLERS = "sagemaker-pytorch-inference==2.0.25"  # which names no versions of the others
#: The container starts so; its properties go where we may write, and it is known to this machine alone.
START = """
import sys
from sagemaker_pytorch_serving_container import serving, torchserve
torchserve.TS_CONFIG_FILE = sys.argv[1]
serving.main()
"""


def make_stack(folder: Path) -> Path:
    """The Python of an environment of AWS's stack; torch and the like are found behind it. Skips where it cannot be."""
    if shutil.which("java") is None:
        pytest.skip("needs java, which TorchServe runs on")
    return make_environment(folder, [*STACK], ["--no-deps", HANDLERS], shared=("pillow", "urllib3", "packaging"))


@contextmanager
def hosting(python: Path, packed: Package, base: Path) -> Iterator[str]:
    """The URL of the stack while it serves a package, which is unpacked below `base` as the container does it."""
    (base / "model").mkdir()
    subprocess.run(["tar", "-xzf", packed.path, "-C", base / "model"], check=True)
    inference_port, management, metrics, grpc_inference, grpc_management = free_ports(5)
    here = "http://127.0.0.1"
    own = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "TS_INFERENCE_ADDRESS": f"{here}:{inference_port}",
        "TS_MANAGEMENT_ADDRESS": f"{here}:{management}",
        "TS_METRICS_ADDRESS": f"{here}:{metrics}",
        "TS_GRPC_INFERENCE_PORT": str(grpc_inference),
        "TS_GRPC_MANAGEMENT_PORT": str(grpc_management),
        "TEMP": str(base),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = base / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [python, "-c", START, base / "ts.properties"],
            stdout=output,
            stderr=output,
            cwd=base,
            env={**os.environ, **own},
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"{here}:{inference_port}/ping", process, log)
        yield f"{here}:{inference_port}/invocations"
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            with_children(process.pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b"Healthy" in answer.read():
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text()[-3000:])


def with_children(group: int, number: int) -> None:
    """Send a signal to all processes of a group that may have ended."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def post(url: str, body: bytes, content_type: str, attributes: str = "") -> tuple[int, bytes]:
    headers = {"Content-Type": content_type, "X-Amzn-SageMaker-Custom-Attributes": attributes}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
