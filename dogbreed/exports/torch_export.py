"""torch.export's own archive: the graph as torch runs it, for programs that have torch and not this package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dogbreed.exports.archive import read_archive
from dogbreed.exports.formats import Forward
from dogbreed.exports.program import make_program

PACKAGES: tuple[str, ...] = ("torch",)
INSTALL = "pip install torch"

_FILE = "model.pt2"


def write(network: nn.Module, size: int, folder: Path, examples: Tensor | None) -> None:
    """See `Format`; always in fp32."""
    del examples
    torch.export.save(make_program(network, size), folder / _FILE)


def load(folder: Path) -> Forward:
    """See `Format`; an archive that could do more than compute is refused, see `read_archive`."""
    network = torch.export.load(read_archive(folder / _FILE)).module()

    @torch.inference_mode()
    def forward(pictures: Tensor) -> Tensor:
        logits: Tensor = network(pictures)
        return logits

    return forward
