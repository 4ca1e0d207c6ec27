"""ONNX, for the many programs that read it; run here by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dogbreed.exports.formats import Forward
from dogbreed.exports.program import make_program

PACKAGES: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")
# Beside smdebug they do not resolve: it needs protobuf 3.20, onnx a newer one.
INSTALL = (
    "in the clone an environment of its own, since they do not go together with the extra smdebug: "
    'python -m venv onnx-env && onnx-env/bin/pip install -e ".[onnx]"'
)

_FILE = "model.onnx"


def write(network: nn.Module, size: int, folder: Path, examples: Tensor | None) -> None:
    """See `Format`; always in fp32."""
    del examples
    torch.onnx.export(
        make_program(network, size),
        (),
        str(folder / _FILE),
        input_names=["pictures"],
        output_names=["logits"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def load(folder: Path) -> Forward:
    """See `Format`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(folder / _FILE), options, providers=["CPUExecutionProvider"])

    def forward(pictures: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"pictures": pictures.contiguous().numpy()})[0])

    return forward
