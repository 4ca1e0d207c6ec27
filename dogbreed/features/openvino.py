"""The backbone by OpenVINO: as fast as this CPU multiplies, in fp32; several times faster in int8."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from dogbreed.errors import ConfigError
from dogbreed.features.conversion import (
    CALIBRATION_PICTURES,
    Normalising,
    convert,
    cpu_settings,
    in_a_fork,
    keeping_the_signal_stack,
)
from dogbreed.features.engines import Forward
from dogbreed.models.backbones import Backbone

_PACKAGE, _MODEL = "openvino", "model.xml"


class OpenVINOEngine:
    """The backbone by OpenVINO on the CPU, in fp32 or in int8.

    The first process that loads it converts the network, in a child of its own, into a folder that goes when this
    object does; the others wait for it and read the result.

    Args:
        backbone: whose features it computes.
        precision: "fp32", or "int8": weights and activations in 8 bits, quantised after training.
        examples: for int8, uint8 batches (B, 3, S, S) that show how large the activations become; of train, and
            `CALIBRATION_PICTURES` are enough.

    Raises:
        ConfigError: a package is missing, or int8 has no examples.
    """

    device, decoder = "cpu", None

    def __init__(
        self, backbone: Backbone, *, precision: str = "fp32", examples: Iterable[Tensor] | None = None
    ) -> None:
        self.num_features = backbone.num_features
        self.identity = {"engine": "openvino", "openvino": _version(_PACKAGE), "precision": precision}
        self._network = Normalising(backbone)
        self._examples: Tensor | None = None
        if precision == "int8":
            self._examples = torch.cat(list(examples or [torch.empty(0, dtype=torch.uint8)]))
            if not len(self._examples):
                raise ConfigError(
                    "int8 without pictures to calibrate on", f"{CALIBRATION_PICTURES} of train", "give examples"
                )
            digest = hashlib.sha256(self._examples.numpy().tobytes()).hexdigest()[:16]
            self.identity |= {"nncf": _version("nncf"), "calibration": digest}
        self._folder = Path(tempfile.mkdtemp(prefix="dogbreed-openvino-"))
        weakref.finalize(self, _remove, self._folder, os.getpid())

    def load(self) -> Forward:
        """The function from uint8 (B, 3, S, S) to float32 (B, D), compiled for one thread of this CPU.

        Raises:
            ConfigError: OpenVINO cannot convert the network.
        """
        self._convert_once()
        import openvino

        with keeping_the_signal_stack():
            model = openvino.Core().compile_model(self._folder / _MODEL, "CPU", cpu_settings(threads=1))
        request = model.create_infer_request()

        def forward(images: Tensor) -> Tensor:
            if not len(images):
                return torch.zeros(0, self.num_features)
            pixels = images.cpu().contiguous().numpy()
            features: Tensor = torch.from_numpy(request.infer({0: pixels}, share_inputs=True)[0])
            return features

        return forward

    def _convert_once(self) -> None:
        with open(self._folder / "lock", "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            if not (self._folder / _MODEL).exists():
                network, size, file = self._network, self._network.transform.size, self._folder / _MODEL
                in_a_fork(
                    lambda: convert(network, size, self._examples, file), self._folder / "log", "features.engine=torch"
                )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"features.engine=openvino without the package {package}",
            "the extra that brings it",
            'pip install "dogbreed[openvino]", or features.engine=torch',
        ) from error


def _remove(folder: Path, owner: int) -> None:
    # The worker processes hold copies of the object, and must not take the folder away.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
