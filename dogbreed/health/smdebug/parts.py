"""The parts of a model that smdebug is registered on, and the layers that a collection takes by their type."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
from torch import nn
from torch.nn.modules.loss import _Loss

from dogbreed.errors import ConfigError
from dogbreed.health.probes import ACTIVATIONS
from dogbreed.health.smdebug.config import Collection

_READERS = {"head": "head", "all": "backbone.network"}  # what reads the features, and the normalised pictures
_WORDS: dict[type[nn.Module], str] = {nn.ReLU6: "relu"}


def parts_of(pl_module: pl.LightningModule) -> tuple[nn.Module, list[nn.Module]]:
    """The network and the losses of a module like `BreedClassifier`.

    Raises:
        ConfigError: it has none that smdebug can see.
    """
    network = getattr(pl_module, "network", None)
    losses: list[nn.Module] = [module for module in pl_module.children() if isinstance(module, _Loss)]
    if not isinstance(network, nn.Module) or not losses:
        missing = "loss that is a module" if isinstance(network, nn.Module) else "network"
        raise ConfigError(
            f"hook=smdebug on {type(pl_module).__name__}, which has no {missing}",
            "a module with `network` and its losses (such as nn.CrossEntropyLoss) as attributes",
            "hook=none, or train a BreedClassifier",
        )
    return network, losses


def layers_of(
    collection: Collection, types: tuple[type[nn.Module], ...], network: nn.Module
) -> Iterator[tuple[str, str]]:
    """Name, and "input" or "output", of the layers that a collection takes by their type.

    An expression such as .*relu_output, AWS's for its rules, means the ReLUs whatever they are called.
    """
    for name, layer in network.named_modules():
        if collection.layers == "head" and name.split(".")[0] != "head":
            continue
        if types and isinstance(layer, types):
            yield name, str(collection.tensors).removesuffix("s")
        if collection.name == "inputs" and name == _READERS.get(collection.layers or ""):
            yield name, "input"
        kind = next((kind for kind in ACTIVATIONS if isinstance(layer, kind)), None)
        if kind is None:
            continue
        for end, filled in zip(("input", "output"), ACTIVATIONS[kind], strict=True):
            meant = any(
                re.search(regex, f"{_WORDS.get(kind, kind.__name__.lower())}_{end}_0") for regex in collection.regexes
            )
            if meant or (collection.layers is not None and filled == collection.name):
                yield name, end


def overwriting(regexes: Sequence[str], network: nn.Module) -> Iterator[nn.Module]:
    """The in-place layers whose input is to be saved by one of these expressions: they would overwrite it before."""
    for name, layer in network.named_modules():
        if getattr(layer, "inplace", False) and any(re.search(regex, f"{name}_input_0") for regex in regexes):
            yield layer


def type_of(path: str, collection: str) -> type[nn.Module]:
    """The type of modules at an import path, which a collection names.

    Raises:
        ConfigError: there is none.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        found = None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(
            f"hook.collections.{collection}.modules={path}",
            "the import path of a type of modules, such as torch.nn.BatchNorm2d",
            f"set hook.collections.{collection}.modules",
        )
    return found
