"""What is trained: features (B, D) -> logits (B, C)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dogbreed.errors import ConfigError

_KINDS: dict[str, type[Head]] = {}


class UnknownKindError(ConfigError):
    """A kind of head that no imported class has."""


class Head(nn.Module):
    """A classifier of features. A new kind is a subclass with a `kind` of its own, which artifacts name it by.

    Raises:
        ConfigError: its class has no `kind` of its own, or another class has it already.

    Attributes:
        kind: its name in an artifact.
        num_features: D.
        num_classes: C.
    """

    kind: ClassVar[str]
    num_features: int
    num_classes: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" not in vars(cls):
            return
        old = _KINDS.setdefault(cls.kind, cls)
        if (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
            what = f"{cls.__module__}.{cls.__qualname__} of kind {cls.kind!r}"
            taken = f", as {old.__module__}.{old.__qualname__} is"
            raise ConfigError(what + taken, "a kind of its own, which artifacts name it by", "give it another kind")
        _KINDS[cls.kind] = cls  # the same class, defined anew as a notebook does

    def __init__(self) -> None:
        super().__init__()
        self.check_kind()

    @classmethod
    def check_kind(cls) -> None:
        """See that an artifact can name the class.

        Raises:
            ConfigError: it has no `kind` of its own: an artifact would be loaded as its parent.
        """
        if "kind" not in vars(cls):
            what = f"{cls.__module__}.{cls.__qualname__} without a kind"
            raise ConfigError(what, "a kind of its own, which artifacts name it by", 'add kind = "..." to the class')

    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make a head of the same shape, as plain values."""
        return {"num_features": self.num_features, "num_classes": self.num_classes}


class LinearHead(Head):
    """One linear layer: D*C + C trainable parameters."""

    kind = "linear"

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.num_features, self.num_classes = num_features, num_classes
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.linear(features)
        return logits


class MLPHead(Head):
    """Two linear layers with a ReLU and dropout between them.

    Args:
        num_features: D.
        num_classes: C.
        hidden: width between the layers.
        dropout: share of the hidden units left out of a training step, in [0, 1).
    """

    kind = "mlp"

    def __init__(self, num_features: int, num_classes: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        if hidden < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                f"hidden={hidden}, dropout={dropout}", "hidden >= 1, dropout in [0, 1)", "set head.hidden, head.dropout"
            )
        self.num_features, self.num_classes, self.hidden, self.dropout = num_features, num_classes, hidden, dropout
        self.layers = nn.Sequential(
            nn.Linear(num_features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
        )

    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make a head of the same shape, as plain values."""
        return {**super().settings(), "hidden": self.hidden, "dropout": self.dropout}

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.layers(features)
        return logits


def make_head(kind: str, settings: dict[str, Any]) -> Head:
    """The head that an artifact describes: of the kinds here, or of classes that are loaded; it imports nothing.

    Raises:
        UnknownKindError: there is no such kind.
    """
    if kind not in _KINDS:
        hint = "in Python: import the module of its class first, then Predictor.load(DIR) of dogbreed"
        raise UnknownKindError(f"a head of kind {kind!r}, which no imported class has", ", ".join(_KINDS), hint)
    return _KINDS[kind](**settings)


def initialise(head: nn.Module, seed: int) -> None:
    """Draw the initial weights of `head` from `seed` alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
