"""A network in OpenVINO's form: converted, quantised where there are examples, without a trace in this process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from dogbreed.errors import ConfigError
from dogbreed.models.backbones import Backbone

CALIBRATION_PICTURES = 300  # NNCF's own number; each is read once in fp32

_UNFINISHED = "unfinished.xml"


def cpu_settings(threads: int) -> dict[str, str | int | bool]:
    """How a network is compiled: for `threads` of this CPU, in fp32 wherever it is not quantised.

    The threads stay where the system puts them: pinned, several processes would all sit on the first cores. f32 is
    asked for by name, or a CPU with bfloat16 would take that.
    """
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


class Normalising(nn.Module):
    """Normalisation and network, from uint8 pictures (B, 3, S, S) on."""

    def __init__(self, backbone: Backbone, network: nn.Module | None = None) -> None:
        super().__init__()
        self.transform, self.network = backbone.transform, network or backbone.network

    def forward(self, images: Tensor) -> Tensor:
        """What the network makes of them."""
        features: Tensor = self.network(self.transform.normalize(images))
        return features


def convert(network: nn.Module, size: int, examples: Tensor | None, file: Path) -> None:
    """Write OpenVINO's files (.xml, .bin) of a network that reads uint8 (B, 3, size, size), for any B.

    Args:
        network: in evaluation mode.
        size: S.
        examples: uint8 (N, 3, S, S), to quantise by; None leaves it in fp32.
        file: the .xml, there once both are whole.
    """
    import openvino

    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.inference_mode():
        model = openvino.convert_model(network, example_input=example, input=[-1, 3, size, size])
    if examples is not None:
        import nncf

        # Mixed: symmetric weights, and activations with a zero point of their own where they are not ReLU's.
        pictures = nncf.Dataset([picture.unsqueeze(0).numpy() for picture in examples])
        model = nncf.quantize(model, pictures, subset_size=len(examples), preset=nncf.QuantizationPreset.MIXED)
    unfinished = file.with_name(_UNFINISHED)
    openvino.save_model(model, unfinished, compress_to_fp16=False)
    os.replace(unfinished.with_suffix(".bin"), file.with_suffix(".bin"))
    os.replace(unfinished, file)


def in_a_fork(work: Callable[[], None], log: Path, otherwise: str) -> None:
    """Run `work` in a child of this process, which takes NNCF's memory, threads and patches of torch with it.

    Forked by hand: the processes of a pass are daemons, which multiprocessing lets have no children.

    Args:
        work: what converts a network.
        log: where what it says goes.
        otherwise: what to do where it fails, for the message.

    Raises:
        ConfigError: it failed.
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
                work()
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
            otherwise,
        )


@contextmanager
def keeping_the_signal_stack() -> Iterator[None]:
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
