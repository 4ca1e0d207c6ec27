"""K heads of one shape as one: their logits and their gradients by a few large matrix products.

A stack's tensors have the trials in front: weights (K, out, in), biases (K, out). A batch has n pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dogbreed.models.heads import Head, MLPHead


class StackedHead(ABC):
    """K heads side by side.

    Attributes:
        parameters: the heads' parameters in their own order, each (K, ...).
        chance: whether training draws random numbers, that is, dropout.
    """

    chance = False

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)

    @abstractmethod
    def logits(self, features: Tensor, out: Tensor, seeds: Sequence[int] | None = None) -> None:
        """Write the logits (n, K, C) of features (n, D) to `out`.

        In training `seeds` holds each trial's seed of dropout, or nothing where there is no chance; else it is None.
        """

    @abstractmethod
    def add_gradients(self, features: Tensor, slope: Tensor, into: Sequence[Tensor], keep: float, scale: float) -> None:
        """`into = keep * into + scale * gradient`, for each parameter.

        Args:
            features: (n, D), those of the last call of `logits`.
            slope: the derivative of the pictures' losses by their logits, (n, K, C).
            into: shaped as the parameters.
            keep: 0 overwrites.
            scale: 1/n for the gradient of a mean.
        """

    def leave(self, staying: Sequence[int]) -> None:
        """Go on with the trials at these places only."""
        self.parameters = [parameter[list(staying)] for parameter in self.parameters]


def _add_layer(rows: Tensor, slope: Tensor, weight: Tensor, bias: Tensor, keep: float, scale: float) -> None:
    """Gradients of K layers that read the same rows (n, in); slope (n, K, out)."""
    flat = slope.flatten(1)
    weight.flatten(0, 1).addmm_(flat.t(), rows, beta=keep, alpha=scale)
    _add_bias(flat, bias, keep, scale)


def _add_bias(flat: Tensor, bias: Tensor, keep: float, scale: float) -> None:
    bias.view(-1).addmv_(flat.t(), flat.new_ones(()).expand(len(flat)), beta=keep, alpha=scale)


class StackedLinear(StackedHead):
    """K linear heads: one product (n, D) x (D, K*C)."""

    def logits(self, features: Tensor, out: Tensor, seeds: Sequence[int] | None = None) -> None:
        """Write the logits; there is no chance."""
        weight, bias = self.parameters
        flat = weight.flatten(0, 1)
        if len(features) >= 128:
            torch.addmm(bias.view(-1), features, flat.t(), out=out.flatten(1))
        else:  # for few rows MKL is up to 1.7 times as quick the other way round (measured)
            out.flatten(1).copy_(torch.addmm(bias.view(-1, 1), flat, features.t()).t())

    def add_gradients(self, features: Tensor, slope: Tensor, into: Sequence[Tensor], keep: float, scale: float) -> None:
        """`into = keep * into + scale * gradient`: one product (K*C, n) x (n, D)."""
        _add_layer(features, slope, into[0], into[1], keep, scale)


class StackedMLP(StackedHead):
    """K heads with a hidden layer of equal width H: the first layers are one product, the second ones K.

    Args:
        parameters: two weights and biases of each head.
        dropout: of each head, in [0, 1), length K.
    """

    def __init__(self, parameters: Sequence[Tensor], dropout: Sequence[float]) -> None:
        super().__init__(parameters)
        self._dropout = list(dropout)
        self.chance = any(dropout)
        self._hidden = self._passed = parameters[0].new_empty(0)  # (n, K, H) of the last training batch

    def logits(self, features: Tensor, out: Tensor, seeds: Sequence[int] | None = None) -> None:
        """Write the logits; in training also keep what the gradients need."""
        first, first_bias, second, second_bias = self.parameters
        hidden = torch.addmm(first_bias.view(-1), features, first.flatten(0, 1).t()).unflatten(1, first_bias.shape)
        if seeds is None:
            hidden.relu_()
        else:
            self._passed = self._draw_masks(hidden, seeds)
            self._hidden = hidden.mul_(self._passed)
        product = torch.baddbmm(second_bias[:, None], hidden.transpose(0, 1), second.transpose(1, 2))
        out.copy_(product.transpose(0, 1))

    def _draw_masks(self, hidden: Tensor, seeds: Sequence[int]) -> Tensor:
        """What each hidden unit is multiplied with, (n, K, H): 0 where it is negative or left out."""
        passed = (hidden > 0).to(hidden.dtype)
        ones = torch.ones_like(hidden[:, 0], memory_format=torch.contiguous_format)
        for place, (seed, rate) in enumerate(zip(seeds, self._dropout, strict=self.chance)):
            if rate:
                torch.manual_seed(seed)  # as BreedClassifier does before each step, and nn.Dropout draws the mask
                passed[:, place] *= functional.dropout(ones, rate)
        return passed

    def add_gradients(self, features: Tensor, slope: Tensor, into: Sequence[Tensor], keep: float, scale: float) -> None:
        """`into = keep * into + scale * gradient`, after `logits` of the same batch."""
        sloped = slope.transpose(0, 1)
        inner = torch.bmm(sloped, self.parameters[2]).transpose(0, 1) * self._passed
        _add_layer(features, inner.contiguous(), into[0], into[1], keep, scale)
        into[2].baddbmm_(sloped.transpose(1, 2), self._hidden.transpose(0, 1), beta=keep, alpha=scale)
        _add_bias(slope.flatten(1), into[3], keep, scale)

    def leave(self, staying: Sequence[int]) -> None:
        """Go on with the trials at these places only."""
        super().leave(staying)
        self._dropout = [self._dropout[place] for place in staying]


def stack_heads(heads: Sequence[Head], dtype: torch.dtype, device: torch.device) -> StackedHead:
    """Heads of one kind and shape side by side, with copies of their weights."""
    columns = zip(*(head.parameters() for head in heads), strict=True)
    parameters = [torch.stack([weight.detach() for weight in column]) for column in columns]
    parameters = [parameter.to(device, dtype) for parameter in parameters]
    if isinstance(heads[0], MLPHead):
        return StackedMLP(parameters, [head.dropout for head in heads if isinstance(head, MLPHead)])
    return StackedLinear(parameters)
