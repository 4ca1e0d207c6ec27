"""Measures the tensors of a network at the steps that are asked for, under smdebug's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dogbreed.health.measuring import summarise
from dogbreed.health.samples import Measure, TensorStats
from dogbreed.models.classifier import Network

#: Layers with activations: what is measured of their input and of their output, by type and never by name, for
#: timm and torchvision name them differently.
ACTIVATIONS: dict[type[nn.Module], tuple[str | None, str | None]] = {
    nn.ReLU: ("activation_inputs", "relu_outputs"),
    nn.ReLU6: ("activation_inputs", "relu_outputs"),
    nn.Tanh: ("tanh_inputs", None),
    nn.Sigmoid: ("sigmoid_inputs", None),
    nn.GELU: ("activation_inputs", None),
    nn.SiLU: ("activation_inputs", None),
    nn.LeakyReLU: ("activation_inputs", None),
}
_WORDS: dict[type[nn.Module], str] = {nn.ReLU6: "relu"}


def activations_of(module: nn.Module) -> tuple[str, ...]:
    """The types of layers with activations in `module`, in lower case: "relu", "tanh", "sigmoid", ...

    >>> activations_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh()))
    ('relu', 'tanh')
    """
    found = (type(layer) for layer in module.modules() if type(layer) in ACTIVATIONS)
    return tuple(dict.fromkeys(_WORDS.get(kind, kind.__name__.lower()) for kind in found))


class Probes:
    """What is measured of a network in a training step: inputs, activations, weights, biases and gradients.

    Between the steps that are measured a hook costs a test of a flag.

    Args:
        network: backbone and head.
        measure: the tolerances.
        backbone: whether the backbone's activations are measured too, which takes pixels.
    """

    def __init__(self, network: Network, measure: Measure, *, backbone: bool = False) -> None:
        self._network, self._measure = network, measure
        self._watched: nn.Module = network if backbone else network.head
        self._handles: list[RemovableHandle] = []
        self._last: dict[str, Tensor] = {}
        self._found: dict[str, TensorStats] = {}
        self._percentiles = False
        self.armed = False

    @property
    def activations(self) -> tuple[str, ...]:
        """The types of layers with activations that are measured."""
        return activations_of(self._watched)

    def attach(self) -> None:
        """Begin to listen."""
        self._handles.append(self._network.register_forward_pre_hook(self._see_inputs))
        self._handles.append(self._network.backbone.network.register_forward_pre_hook(self._see_pixels))
        prefix = "" if self._watched is self._network else "head."
        for name, layer in self._watched.named_modules(prefix=prefix.rstrip(".")):
            if type(layer) in ACTIVATIONS:
                self._handles.append(layer.register_forward_hook(self._activation_hook(name, layer)))

    def detach(self) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._last.clear()

    def arm(self, *, percentiles: bool) -> None:
        """Measure the step that begins now."""
        self.armed, self._percentiles, self._found = True, percentiles, {}

    def see_parameters(self) -> None:
        """Measure what is trained, and its gradients, before the optimiser's step; frozen ones never change."""
        for name, parameter in self._network.named_parameters():
            if not parameter.requires_grad:
                continue
            full = f"{type(self._network).__name__}_{name}"
            self._measured(full, parameter, "biases" if name.endswith("bias") else "weights")
            if parameter.grad is not None:
                self._measured(f"gradient/{full}", parameter.grad, "gradients", percentiles=self._percentiles)

    def take(self) -> dict[str, TensorStats]:
        """What was measured of the step; measuring ends."""
        self.armed = False
        found, self._found = self._found, {}
        return found

    def _measured(self, name: str, values: Tensor, collection: str, *, percentiles: bool = False) -> None:
        self._found[name] = summarise(
            values, collection, measure=self._measure, last=self._last.get(name), percentiles=percentiles
        )
        if collection in ("weights", "biases", "gradients"):  # of the others each batch has its own
            self._last[name] = values.detach().clone()

    def _see_inputs(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        if self.armed and arguments[0].ndim == 2:
            self._measured("inputs", arguments[0], "inputs")

    def _see_pixels(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        if self.armed:
            self._measured("inputs", arguments[0], "inputs")

    def _activation_hook(self, name: str, layer: nn.Module) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        of_input, of_output = ACTIVATIONS[type(layer)]

        def see(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
            if not self.armed:
                return
            if of_output is not None:
                self._measured(f"{name}_output_0", output, of_output)
            # An in-place ReLU has overwritten its input by now.
            if of_input is not None and not getattr(module, "inplace", False):
                self._measured(f"{name}_input_0", arguments[0], of_input)

        return see


def odd_rows(inputs: Tensor) -> Iterator[int]:
    """Which rows (pictures) of a batch hold a value that is no finite number."""
    if inputs.is_floating_point():
        yield from torch.nonzero(~inputs.flatten(1).isfinite().all(dim=1)).flatten().tolist()
