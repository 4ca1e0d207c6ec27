"""The backbone by OpenVINO: as fast as this CPU multiplies, in fp32; several times faster in int8."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from dogbreed.errors import ConfigError
from dogbreed.features.engines import Forward
from dogbreed.models.backbones import Backbone

_PACKAGE = "openvino"
CALIBRATION_PICTURES = 300  # NNCF's own number; each is read once in fp32

_MODEL, _UNFINISHED = "model.xml", "unfinished.xml"

# One thread, which stays where the system puts it: pinned, the processes of a pass would all sit on the first core.
# f32 is asked for by name, or a CPU with bfloat16 would take that.
_ON_ONE_CORE = {
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
}


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
        self._network = _Normalising(backbone)
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

        with _keeping_the_signal_stack():
            model = openvino.Core().compile_model(self._folder / _MODEL, "CPU", _ON_ONE_CORE)
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
                _in_a_fork(lambda: _convert(self._network, self._examples, self._folder), self._folder / "log")


@contextmanager
def _keeping_the_signal_stack() -> Iterator[None]:
    """Give this thread back the stack for signal handlers that it had before the block.

    Every OpenVINO Core on Linux sets one of its own, and frees it when it goes. Of two Cores the second, going, would
    restore the first one's freed stack, and the next signal (a child has ended, say) would kill the process.
    """
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = ctypes.create_string_buffer(64)  # more than a stack_t of any architecture
    sigaltstack(None, before)
    try:
        yield
    finally:
        sigaltstack(before, None)


def _convert(network: _Normalising, examples: Tensor | None, folder: Path) -> None:
    """Write OpenVINO's files of a network into `folder`, quantised where there are examples."""
    import openvino

    size = network.transform.size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.inference_mode():
        model = openvino.convert_model(network, example_input=example, input=[-1, 3, size, size])
    if examples is not None:
        import nncf

        # Mixed: symmetric weights, and activations with a zero point of their own where they are not ReLU's.
        pictures = nncf.Dataset([picture.unsqueeze(0).numpy() for picture in examples])
        model = nncf.quantize(model, pictures, subset_size=len(examples), preset=nncf.QuantizationPreset.MIXED)
    openvino.save_model(model, folder / _UNFINISHED, compress_to_fp16=False)
    os.replace((folder / _UNFINISHED).with_suffix(".bin"), (folder / _MODEL).with_suffix(".bin"))
    os.replace(folder / _UNFINISHED, folder / _MODEL)


def _in_a_fork(convert: Callable[[], None], log: Path) -> None:
    """Run `convert` in a child of this process, which takes NNCF's memory, threads and patches of torch with it.

    Forked by hand: the processes of a pass are daemons, which multiprocessing lets have no children.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ["CI"] = "true"  # how both packages are told to send no telemetry
            torch.set_num_threads(1)  # the other threads have not come along
            with open(log, "w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                convert()
            status = 0
        except BaseException as error:
            log.write_text(f"{type(error).__name__}: {error}")
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        reason = (log.read_text(errors="replace").strip().splitlines() or ["no reason given"])[0]
        raise ConfigError(
            f"OpenVINO cannot convert this backbone: {reason}",
            "a network of operations that OpenVINO, and for int8 NNCF, know",
            "features.engine=torch",
        )


class _Normalising(nn.Module):
    """Normalisation and network, from uint8 pictures on."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.transform, self.network = backbone.transform, backbone.network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.transform.normalize(images))
        return features


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
