"""Predictor: pictures in, named answers out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dogbreed.data.images import check_size, decode_image
from dogbreed.errors import ArtifactError, ConfigError, ImageError, did_you_mean
from dogbreed.serving.answer import DIGITS, Candidate, Comparison, LookAlike, Prediction, Wish
from dogbreed.serving.artifact import Artifact, load_artifact

Picture = bytes | str | os.PathLike[str] | Image.Image | Tensor


class Predictor:
    """Names what is on pictures, with the transform that the classifier was trained with.

    Its methods may be called from several threads.

    Args:
        artifact: as `load_artifact` returns it.
        device: such as "cpu" or "cuda".
        forward: computes the logits, float32 (B, C), of uint8 views (B, 3, S, S) in the artifact's place: an export.

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(
        self, artifact: Artifact, device: str = "cpu", forward: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.artifact = artifact
        self._forward = forward or self._torch_forward
        self._breeds, self._indices = artifact.breeds, _indices_of(artifact)
        self._temperature = artifact.calibration.temperature if artifact.calibration else 1.0
        try:
            self.device = torch.device(device)
            self._backbone = artifact.backbone.to(self.device)
            self._head = artifact.head.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts, CUDA without a GPU raises
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the device {device!r}: {reason}", "a device of this machine", "use cpu") from error

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu", engine: str = "torch") -> Predictor:
        """The predictor of an artifact directory.

        Args:
            directory: of the artifact.
            device: such as "cpu" or "cuda"; exports compute on the CPU.
            engine: "torch", or the format of an export that the artifact holds.

        Raises:
            ArtifactError: the artifact or its export is missing or damaged.
            ConfigError: there is no such device or engine.
        """
        artifact = load_artifact(directory)
        if engine == "torch":
            return cls(artifact, device)
        from dogbreed.exports.loading import load_forward

        if device != "cpu":
            raise ConfigError(f"device={device} with the engine {engine}", "cpu", "exports compute on the CPU")
        return cls(artifact, device, load_forward(Path(directory), engine, artifact))

    @property
    def model(self) -> str:
        """Which classifier answers."""
        return self.artifact.identity

    def __call__(
        self,
        picture: Picture,
        top_k: int = 5,
        *,
        correct_breed: str | None = None,
        correct_index: int | None = None,
    ) -> Prediction:
        """The answer for one picture: a file's content or path, a PIL image, or a uint8 tensor (3, H, W).

        Args:
            picture: what is looked at.
            top_k: how many candidates, 1 or more.
            correct_breed: compare with this breed, as people write it or by its class name.
            correct_index: the same by index.

        Raises:
            ImageError: the picture cannot be decoded.
            ConfigError: `top_k` is below one, or there is no such class.
        """
        return self.predict([picture], top_k, correct_breed=correct_breed, correct_index=correct_index)[0]

    def predict(
        self,
        pictures: Iterable[Picture],
        top_k: int = 5,
        *,
        correct_breed: str | None = None,
        correct_index: int | None = None,
    ) -> list[Prediction]:
        """The answers for a batch of pictures, in their order; see `__call__`.

        Raises:
            ImageError: one of the pictures cannot be decoded.
            ConfigError: `top_k` is below one, or there is no such class.
        """
        wish = Wish(top_k, correct_breed, correct_index)
        self.check(wish)
        views = [self.view(picture) for picture in pictures]
        return self.answer(torch.stack(views), [wish] * len(views)) if views else []

    def answer_each(self, pictures: Sequence[Picture], wishes: Sequence[Wish]) -> list[Prediction | ImageError]:
        """For each picture the answer, or why it cannot be read, in their order.

        Raises:
            ConfigError: a wish names no class of this classifier.
        """
        for wish in wishes:
            self.check(wish)
        views = [self._try_view(picture) for picture in pictures]
        good = [(view, wish) for view, wish in zip(views, wishes, strict=True) if isinstance(view, Tensor)]
        answered = iter(
            self.answer(torch.stack([view for view, _ in good]), [wish for _, wish in good]) if good else []
        )
        return [view if isinstance(view, ImageError) else next(answered) for view in views]

    def _try_view(self, picture: Picture) -> Tensor | ImageError:
        try:
            return self.view(picture)
        except ImageError as error:
            return error

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
            check_size(picture.shape[2], picture.shape[1], "the tensor")
            image = picture
        else:
            image = decode_image(picture)
        return self.artifact.backbone.transform.clean_view(image)

    def check(self, wish: Wish) -> None:
        """Nothing, where the classifier can fulfil a wish.

        Raises:
            ConfigError: it names no class of this classifier.
        """
        self._correct_index(wish)

    @torch.inference_mode()
    def logits(self, views: Tensor) -> Tensor:
        """Float32 (B, C) on the CPU, of views uint8 (B, 3, S, S)."""
        return self._forward(views).float().cpu()

    def probs(self, views: Tensor) -> Tensor:
        """Calibrated probabilities, float32 (B, C), of views uint8 (B, 3, S, S).

        Raises:
            ArtifactError: its weights, each of them finite, make of a picture what is no number.
        """
        probs = (self.logits(views) / self._temperature).softmax(dim=1)
        if not probs.isfinite().all():
            raise ArtifactError(
                f"{self.model} finds no finite numbers", "weights that were trained", "copy the artifact again"
            )
        return probs

    def answer(self, views: Tensor, wishes: Sequence[Wish] | None = None) -> list[Prediction]:
        """The answers for views uint8 (B, 3, S, S), in their order.

        Args:
            views: as `view` makes them.
            wishes: one for each; None for the usual ones.

        Raises:
            ConfigError: a wish names no class of this classifier.
        """
        wishes = [Wish()] * len(views) if wishes is None else wishes
        return [self._prediction(probs, wish) for probs, wish in zip(self.probs(views), wishes, strict=True)]

    def _torch_forward(self, views: Tensor) -> Tensor:
        logits: Tensor = self._head(self._backbone(views.to(self.device)))
        return logits

    def _prediction(self, probs: Tensor, wish: Wish) -> Prediction:
        best = probs.topk(min(wish.top_k, len(probs)))
        top = tuple(
            Candidate(*self._names(index), round(value, DIGITS))
            for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        first, calibration = top[0], self.artifact.calibration
        look_alikes = self.artifact.look_alikes[first.index] if self.artifact.look_alikes else ()
        return Prediction(
            first.breed,
            first.class_name,
            first.index,
            first.probability,
            top,
            unsure=calibration is None or not calibration.is_sure(first.probability),
            look_alikes=tuple(LookAlike(*self._names(other), share) for other, share in look_alikes),
            model=self.model,
            correct=self._compare(probs, first.index, self._correct_index(wish)),
        )

    def _compare(self, probs: Tensor, answer: int, index: int | None) -> Comparison | None:
        if index is None:
            return None
        value = probs[index]
        rank = 1 if index == answer else 1 + max(1, int((probs > value).sum()))  # of equals the answer comes first
        return Comparison(*self._names(index), round(float(value), DIGITS), rank, index == answer)

    def _names(self, index: int) -> tuple[str, str, int]:
        return self._breeds[index], self.artifact.class_names[index], index

    def _correct_index(self, wish: Wish) -> int | None:
        """The class that a wish names, if it does."""
        names = self.artifact.class_names
        if wish.correct_breed is not None:
            index = self._indices.get(wish.correct_breed.casefold())
            if index is None:
                near = did_you_mean(wish.correct_breed, self._breeds)
                allowed = f"one of the classifier's {len(names)} breeds, such as {self._breeds[0]}"
                raise ConfigError(
                    f"correct_breed={wish.correct_breed!r:.80}{near}", allowed, "spell it as the answers do"
                )
            return index
        if wish.correct_index is not None and not 0 <= wish.correct_index < len(names):
            allowed = f"0 to {len(names) - 1}"
            raise ConfigError(f"correct_index={wish.correct_index}", allowed, "name a class of the classifier")
        return wish.correct_index


def _indices_of(artifact: Artifact) -> dict[str, int]:
    """The class that a name stands for, case aside: a class name, or the breed in it where no other has it."""
    breeds = [breed.casefold() for breed in artifact.breeds]
    single = {breed: index for index, breed in enumerate(breeds) if breeds.count(breed) == 1}
    return single | {name.casefold(): index for index, name in enumerate(artifact.class_names)}
