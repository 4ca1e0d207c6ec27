"""The only place where pixels become tensors: for training, evaluating, caching and serving alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as pixels

from dogbreed.errors import ConfigError


@dataclass(frozen=True)
class TransformSpec:
    """The preprocessing that belongs to a backbone's weights.

    Attributes:
        size: side of the square that the backbone reads, in pixels.
        resize: length of the shorter side before the centre crop, in pixels.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; always antialiased.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        squash: resize both sides to `resize`, giving up the proportions, as some weights want it.
    """

    size: int
    resize: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    squash: bool = False

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> TransformSpec:
        """The specification that `to_dict` wrote."""
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, fit for JSON."""
        return asdict(self)

    def with_size(self, size: int) -> TransformSpec:
        """The same preprocessing for squares of another side, the share that is cropped away unchanged."""
        if not 1 <= size <= 4096:
            raise ConfigError(f"an image size of {size}", "1 to 4096 pixels", "set backbone.image_size")
        return TransformSpec(**{**asdict(self), "size": size, "resize": round(size * self.resize / self.size)})

    def with_crop(self, share: float) -> TransformSpec:
        """The same preprocessing with a centre crop of another share, 0.1 to 1, of the resized picture's side."""
        if not 0.1 <= share <= 1:
            raise ConfigError(f"a crop of {share}", "0.1 to 1 (no crop)", "set backbone.crop_pct")
        return TransformSpec(**{**asdict(self), "resize": math.floor(self.size / share)})  # floor: as timm does

    def clean_view(self, image: Tensor) -> Tensor:
        """The picture as the weights want it: uint8 (3, H, W) -> uint8 (3, size, size), without chance."""
        target = [self.resize, self.resize] if self.squash else [self.resize]
        resized = pixels.resize(image, target, interpolation=self._mode, antialias=True)
        return pixels.center_crop(resized, [self.size, self.size])

    def normalize(self, images: Tensor) -> Tensor:
        """Pixels as the network reads them: uint8 (..., 3, H, W) in [0, 255] -> float32, mean 0, std 1."""
        shape = (-1, 1, 1)
        mean = torch.tensor(self.mean, device=images.device).view(shape)
        std = torch.tensor(self.std, device=images.device).view(shape)
        return images.float().div_(255).sub_(mean).div_(std)

    @property
    def _mode(self) -> v2.InterpolationMode:
        return v2.InterpolationMode(self.interpolation)


class Augmentation(Protocol):
    """One augmented reading of a picture: uint8 (3, H, W) -> uint8 (3, size, size).

    All chance comes from torch's default generator, which the caller seeds.
    """

    def __call__(self, image: Tensor, spec: TransformSpec) -> Tensor:
        """The reading, at the size that `spec` names."""
        ...


class CropFlip:
    """The classic ImageNet augmentation: a random resized crop, flipped half of the time.

    Args:
        scale: smallest and largest share of the picture's area that a crop may take.
        ratio: smallest and largest width / height of a crop.
    """

    def __init__(self, scale: Sequence[float], ratio: Sequence[float]) -> None:
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    def __call__(self, image: Tensor, spec: TransformSpec) -> Tensor:
        """One random crop of `image`, at the size that `spec` names."""
        crop = v2.RandomResizedCrop(
            spec.size, scale=self.scale, ratio=self.ratio, interpolation=spec._mode, antialias=True
        )
        view: Tensor = v2.RandomHorizontalFlip()(crop(image))
        return view


class TrivialAugment:
    """The clean view, flipped half of the time, with one random operation of random strength.

    Source: Müller and Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, ICCV 2021.
    """

    def __call__(self, image: Tensor, spec: TransformSpec) -> Tensor:
        """One random reading of `image`, at the size that `spec` names."""
        view: Tensor = v2.TrivialAugmentWide()(v2.RandomHorizontalFlip()(spec.clean_view(image)))
        return view
