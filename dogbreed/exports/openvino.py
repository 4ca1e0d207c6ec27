"""OpenVINO's form: as fast as this CPU multiplies, in fp32; several times faster in int8."""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from torch import Tensor, nn

from dogbreed.exports.formats import Forward, versions
from dogbreed.features.conversion import convert, cpu_settings, in_a_fork, keeping_the_signal_stack

PACKAGES: tuple[str, ...] = ("openvino",)
INSTALL = 'pip install "dogbreed[openvino]"'

_FILE = "model.xml"


def write(network: nn.Module, size: int, folder: Path, examples: Tensor | None) -> None:
    """See `Format`."""
    if examples is not None:
        versions(("nncf",), "int8", f"{INSTALL}, with Python below 3.12")
    log = folder / "log"
    in_a_fork(lambda: convert(network, size, examples, folder / _FILE), log, "another --format or --precision")
    log.unlink()


def load(folder: Path) -> Forward:
    """See `Format`."""
    import openvino

    with keeping_the_signal_stack():
        model = openvino.Core().compile_model(folder / _FILE, "CPU", cpu_settings(torch.get_num_threads()))
    request, lock = model.create_infer_request(), threading.Lock()

    def forward(pictures: Tensor) -> Tensor:
        with lock:  # a request is asked by one thread at a time
            return torch.from_numpy(request.infer({0: pictures.contiguous().numpy()}, share_inputs=True)[0])

    return forward
