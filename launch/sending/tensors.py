"""The names of a model's tensors as smdebug saves them, without training it."""

from __future__ import annotations

from functools import partial

from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import SGD

from dogbreed.app import build
from dogbreed.health.smdebug.parts import parts_of
from dogbreed.models.classifier import BreedClassifier

_CLASSES = ("a", "b")  # how many there are has no part in a name


def tensor_names(config: DictConfig) -> list[str]:
    """The names that the hook can meet: inputs and outputs of layers and losses, weights, gradients of what is trained.

    The backbone is made without weights, which have no part in a name.

    Raises:
        ConfigError: the backbone or the head cannot be made.
    """
    untrained = OmegaConf.merge(config, {"backbone": {"weights": "none"}})
    assert isinstance(untrained, DictConfig)
    backbone = build(untrained, "backbone")
    head = build(config, "head")(num_features=backbone.num_features, num_classes=len(_CLASSES))
    network, losses = parts_of(BreedClassifier(backbone, head, _CLASSES, optimizer=partial(SGD, lr=0.1)))
    return [*_of_layers(network, losses), *_of_parameters(network)]


def _of_layers(network: nn.Module, losses: list[nn.Module]) -> list[str]:
    model = type(network).__name__
    names = [name or model for name, _ in network.named_modules()]
    of_losses = [f"{type(loss).__name__}_{end}" for loss in losses for end in ("input_0", "input_1", "output_0")]
    return [f"{name}_{end}_0" for name in names for end in ("input", "output")] + of_losses


def _of_parameters(network: nn.Module) -> list[str]:
    model = type(network).__name__
    named = list(network.named_parameters())
    gradients = [f"gradient/{model}_{name}" for name, parameter in named if parameter.requires_grad]
    return [f"{model}_{name}" for name, _ in named] + gradients
