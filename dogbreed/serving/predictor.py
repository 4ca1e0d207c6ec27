"""Predictor: pictures in, named answers out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dogbreed.data.images import decode_image
from dogbreed.errors import ConfigError, ImageError
from dogbreed.serving.artifact import Artifact, load_artifact

Picture = bytes | str | os.PathLike[str] | Image.Image | Tensor


@dataclass(frozen=True)
class Candidate:
    """One class with its probability."""

    breed: str
    class_name: str
    index: int
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        breed: the most probable class as people write it.
        class_name: its folder name in the training data.
        index: its position among the classes.
        probability: in [0, 1].
        top_k: the most probable classes, the answer first.
    """

    breed: str
    class_name: str
    index: int
    probability: float
    top_k: tuple[Candidate, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {**vars(self), "top_k": [vars(candidate) for candidate in self.top_k]}


class Predictor:
    """Names what is on pictures, with the transform that the classifier was trained with.

    Args:
        artifact: as `load_artifact` returns it.
        device: such as "cpu" or "cuda".

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(self, artifact: Artifact, device: str = "cpu") -> None:
        self.artifact = artifact
        try:
            self.device = torch.device(device)
            self._backbone = artifact.backbone.to(self.device)
            self._head = artifact.head.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts, CUDA without a GPU raises
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the device {device!r}: {reason}", "a device of this machine", "use cpu") from error

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> Predictor:
        """The predictor of an artifact directory.

        Raises:
            ArtifactError: the artifact is missing or damaged.
        """
        return cls(load_artifact(directory), device)

    def __call__(self, picture: Picture, top_k: int = 5) -> Prediction:
        """The answer for one picture: a file's content or path, a PIL image, or a uint8 tensor (3, H, W).

        Raises:
            ImageError: the picture cannot be decoded.
        """
        return self.predict([picture], top_k)[0]

    def predict(self, pictures: Iterable[Picture], top_k: int = 5) -> list[Prediction]:
        """The answers for a batch of pictures, in their order.

        Raises:
            ImageError: one of the pictures cannot be decoded.
            ConfigError: `top_k` is below one.
        """
        views = [self.view(picture) for picture in pictures]
        return self.answer(torch.stack(views), top_k) if views else []

    def view(self, picture: Picture) -> Tensor:
        """What the backbone reads of a picture: uint8 (3, S, S).

        Raises:
            ImageError: the picture cannot be decoded.
        """
        if isinstance(picture, Tensor):
            if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] != 3 or picture.numel() == 0:
                raise ImageError(
                    got=f"a tensor of {picture.dtype} {tuple(picture.shape)}",
                    allowed="uint8 RGB of shape (3, H, W)",
                    hint="give pixels in [0, 255], not normalised: the artifact knows its own transform",
                )
            image = picture
        else:
            image = decode_image(picture)
        return self.artifact.backbone.transform.clean_view(image)

    @torch.no_grad()
    def answer(self, views: Tensor, top_k: int = 5) -> list[Prediction]:
        """The answers for views uint8 (B, 3, S, S), in their order.

        Raises:
            ConfigError: `top_k` is below one.
        """
        if top_k < 1:
            raise ConfigError(f"top_k={top_k}", "1 or more", "ask for at least one candidate")
        probs = self._head(self._backbone(views.to(self.device))).float().softmax(dim=1).cpu()
        best = probs.topk(min(top_k, probs.shape[1]), dim=1)
        return [
            self._prediction(values, indices)
            for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _prediction(self, values: Sequence[float], indices: Sequence[int]) -> Prediction:
        names, breeds = self.artifact.class_names, self.artifact.breeds
        top = tuple(Candidate(breeds[i], names[i], i, p) for p, i in zip(values, indices, strict=True))
        return Prediction(top[0].breed, top[0].class_name, top[0].index, top[0].probability, top)
