"""What computes features: an engine is prepared once, and loaded by each process that uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from dogbreed.errors import ConfigError
from dogbreed.features.fusion import fuse
from dogbreed.features.names import check_names
from dogbreed.features.onednn import prepack
from dogbreed.models.backbones import Backbone

if TYPE_CHECKING:
    from dogbreed.features.jpegs import JpegDecoder

CPU_BATCH = 16  # pictures: few enough for the cache between layers, enough for the matrix products (measured)
GPU_BATCH = 128

Forward = Callable[[Tensor], Tensor]


class Engine(Protocol):
    """Computes a frozen backbone's features.

    Attributes:
        num_features: D.
        device: where it computes: "cpu" or "cuda".
        identity: whatever changes its numbers, for the key of the cache.
    """

    num_features: int
    device: str
    identity: dict[str, str]

    @property
    def decoder(self) -> JpegDecoder | None:
        """What decodes JPEGs on `device` too; None where the processes of the pass do so, on the CPU."""
        ...

    def load(self) -> Forward:
        """The function from uint8 (B, 3, S, S), on any device, to float32 (B, D) on `device`.

        Called in the process that uses it; on a CPU it uses one thread.
        """
        ...


class TorchEngine:
    """The backbone by torch: BatchNorm folded away, channels last, on a CPU with oneDNN's own layouts and fusions."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        decoder: JpegDecoder | None = None,
    ) -> None:
        self.device, self.decoder, self.num_features = device, decoder, backbone.num_features
        self._dtype = mixed_type(device) if precision == "mixed" else None
        self._transform = backbone.transform
        self._network = fuse(backbone.network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        kind = str(self._dtype).removeprefix("torch.") if self._dtype else "fp32"
        self.identity = {"engine": "torch", "torch": torch.__version__, "device": device, "precision": kind}
        self.identity |= decoder.identity if decoder else {}

    def load(self) -> Forward:
        """See `Engine`."""
        network = self._network
        if self.device == "cpu" and self._dtype is None:
            shape = (CPU_BATCH, 3, self._transform.size, self._transform.size)
            noise = torch.randint(256, shape, generator=torch.Generator().manual_seed(0))
            network = prepack(network, self._transform.normalize(noise).contiguous(memory_format=torch.channels_last))

        @torch.inference_mode()
        def forward(images: Tensor) -> Tensor:
            pixels = self._transform.normalize(images.to(self.device, non_blocking=True))
            # fp32 is fp32: torch lets a GPU's convolutions round to TF32 unless it is told not to.
            exact = torch.backends.cudnn.flags(allow_tf32=False, deterministic=True, benchmark=False)
            with exact if self._dtype is None else torch.autocast(self.device, self._dtype):
                features: Tensor = network(pixels.contiguous(memory_format=torch.channels_last))
            return features.float()

        return forward


def make_engine(
    backbone: Backbone,
    name: str = "torch",
    *,
    precision: str = "fp32",
    device: str = "cpu",
    decoder: str = "cpu",
    examples: Any = None,
) -> Engine:
    """The engine of this name for a backbone.

    Args:
        backbone: whose features it computes.
        name: "torch" or "openvino".
        precision: "fp32"; "mixed", where the hardware has it; "int8", openvino's alone.
        device: "cpu" or "cuda"; openvino computes on the CPU alone.
        decoder: where JPEGs are decoded: "cpu", or "gpu", which needs the extra of this name and device="cuda".
        examples: for int8, uint8 batches (B, 3, S, S) to calibrate on.

    Raises:
        ConfigError: there is no such engine, precision or decoder, or not on this hardware.
    """
    check_names(name, precision, decoder)
    if decoder == "gpu" and (name != "torch" or device != "cuda"):
        raise ConfigError(
            "features.decoder=gpu, and features computed on the CPU",
            "features.engine=torch on an NVIDIA GPU",
            "features.decoder=cpu",
        )
    if name == "torch":
        if precision == "int8":
            raise ConfigError(
                "features.precision=int8 with the engine torch", "int8 with openvino", "add features.engine=openvino"
            )
        return TorchEngine(
            backbone, device=device, precision=precision, decoder=_make_decoder() if decoder == "gpu" else None
        )
    if precision == "mixed":
        raise ConfigError("features.precision=mixed with the engine openvino", "fp32 or int8", "set features.precision")
    from dogbreed.features.openvino import OpenVINOEngine

    return OpenVINOEngine(backbone, precision=precision, examples=examples)


def _make_decoder() -> JpegDecoder:
    from dogbreed.features.jpegs import JpegDecoder

    return JpegDecoder("cuda")


def mixed_type(device: str) -> torch.dtype:
    """The half precision that `device` computes in by itself.

    Raises:
        ConfigError: it has none; emulated it would be slower than fp32 (measured: a third of the speed).
    """
    if device == "cuda" and torch.cuda.get_device_capability() >= (7, 0):  # tensor cores, since Volta
        return torch.float16
    if device == "cpu" and {"amx_bf16", "avx512_bf16"} & _cpu_flags():
        return torch.bfloat16
    raise ConfigError(
        "features.precision=mixed on hardware without half precision",
        "a GPU with tensor cores, or a CPU with AMX or AVX512-BF16",
        "features.precision=fp32",
    )


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))
