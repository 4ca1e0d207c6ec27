"""The network as torch.export records it: what torch's own archive and ONNX are made of."""

from __future__ import annotations

import torch
from torch import nn
from torch.export import Dim, ExportedProgram


def make_program(network: nn.Module, size: int) -> ExportedProgram:
    """The graph from uint8 (B, 3, size, size), for any B, to what `network` returns.

    Nothing of this machine is in it: torch would record the file and line of every operation.
    """
    pictures = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(network, (pictures,), dynamic_shapes=({0: Dim.DYNAMIC},))
    program.example_inputs = None  # they would be pickled
    del program._module_call_graph[1:]  # the layers' places in our source; the first is the whole
    for node in program.graph.nodes:
        node.meta = {key: value for key, value in node.meta.items() if key == "val"}
    return program
