"""Frozen feature extractors: any timm or torchvision classifier, by name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dogbreed.data.transforms import TransformSpec
from dogbreed.errors import ConfigError, WeightsError, did_you_mean
from dogbreed.models.weights import fit_weights, load_weights


class Backbone(nn.Module):
    """A frozen network without its classifier: uint8 (B, 3, S, S) -> float (B, D).

    Frozen for real: no parameter takes a gradient, and the network stays in evaluation mode whatever is
    called on it or on the module that holds it, so that BatchNorm's statistics stay as they are.

    Attributes:
        source: library, name and tag, with which `make_backbone` makes the same network again, and what weights
            it was given: pretrained, none, or a file's name.
        transform: the preprocessing of its weights.
        num_features: D.
    """

    def __init__(self, network: nn.Module, num_features: int, transform: TransformSpec, source: dict[str, str]) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.num_features = num_features
        self.transform = transform
        self.source = source
        self.train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: that is what frozen means."""
        super().train(False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Backbone:
        """Move between devices, and keep the numbers: `double()` and the like are for what is trained."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        super()._apply(move, recurse)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D) of uint8 pictures (B, 3, S, S), normalised here."""
        if len(images) == 0:  # every picture of the batch was unreadable
            return torch.zeros(0, self.num_features, device=images.device)
        pixels = self.transform.normalize(images).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network(pixels)
        return features

    def fingerprint(self) -> str:
        """A digest of every parameter and buffer, by name, shape, type and value."""
        digest = hashlib.sha256()
        for name, entry in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {entry.dtype} {tuple(entry.shape)}".encode())
            digest.update(entry.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def make_backbone(
    library: str,
    name: str,
    *,
    tag: str | None = None,
    weights: str = "pretrained",
    image_size: int | None = None,
    crop_pct: float | None = None,
) -> Backbone:
    """A frozen backbone with its weights and the preprocessing that belongs to them.

    Args:
        library: "timm" or "torchvision".
        name: the architecture's name there.
        tag: the weights' tag there (timm: a1_in1k, torchvision: IMAGENET1K_V1); it names the preprocessing,
            also where the weights come from a file or there are none; None for the library's default.
        weights: "pretrained" (downloaded), "none" (untrained, each time the same), or a file.
        image_size: side in pixels of what the network reads; None for what the weights were trained on.
        crop_pct: share of the resized picture's shorter side that the centre crop keeps, 0.1 to 1, timm's name
            for it; 1 reads the picture up to its edges; None for what the weights were tested with.

    Raises:
        ConfigError: there is no such library, architecture or tag, it cannot read pictures of that size, or the
            crop is none.
        WeightsError: the weights cannot be had, or are another network's.
    """
    if library not in _LIBRARIES:
        raise ConfigError(f"the library {library!r}", " or ".join(_LIBRARIES), "set backbone.library")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # untrained weights are the same in every run, and so are their features
        network, num_features, classifiers, transform, tag, download = _LIBRARIES[library](name, tag)
    if weights == "pretrained":
        fit_weights(network, _downloaded(download, f"{library} {name}.{tag}"), classifiers, f"{name}.{tag}")
    elif weights != "none":
        if not isinstance(weights, str | Path):
            raise ConfigError(f"backbone.weights={weights!r}", "pretrained, none, or a file", "set backbone.weights")
        fit_weights(network, load_weights(weights), classifiers, str(weights))
    if image_size is not None:
        transform = transform.with_size(image_size)
    if crop_pct is not None:
        transform = transform.with_crop(crop_pct)
    named = weights if weights in ("pretrained", "none") else Path(weights).name
    source = {"library": library, "name": name, "tag": tag, "weights": named}
    backbone = Backbone(network, num_features, transform, source)
    _check_size(backbone)
    return backbone


class _Adapted(NamedTuple):
    network: nn.Module  # without its classifier
    num_features: int
    classifiers: list[str]  # the names of the modules taken off
    transform: TransformSpec
    tag: str
    download: Callable[[], dict[str, Tensor]]


def _timm(name: str, tag: str | None) -> _Adapted:
    import timm
    from timm.data.config import resolve_data_config

    # The list, and not create_model, decides: create_model would also follow hub addresses in a name.
    _require("backbone.name", name, timm.list_models(), "timm.list_models()")
    tags = [known.split(".", 1)[1] for known in timm.list_pretrained(name) if "." in known]
    if not tags:
        raise ConfigError(
            f"backbone.name={name!r}, for which timm has no weights",
            "one of timm.list_models(pretrained=True): the weights' tag names the preprocessing",
            "set backbone.name",
        )
    tag = str(timm.get_pretrained_cfg_value(name, "tag")) if tag is None else tag
    _require("backbone.tag", tag, tags, f"timm.list_pretrained({name!r})")
    network: Any = timm.create_model(f"{name}.{tag}", pretrained=False)
    settings = resolve_data_config({}, model=network)
    if settings["crop_mode"] == "border" or settings["input_size"][1] != settings["input_size"][2]:
        raise ConfigError(
            f"{name}.{tag} wants {settings['input_size'][1:]} pixels cropped by {settings['crop_mode']!r}",
            "squares, cropped at the centre or squashed",
            "choose another tag or backbone",
        )
    size = settings["input_size"][1]
    transform = TransformSpec(
        size=size,
        resize=math.floor(size / settings["crop_pct"]),
        interpolation=settings["interpolation"],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        squash=settings["crop_mode"] == "squash",
    )
    named, hub_id = network.pretrained_cfg["classifier"], network.pretrained_cfg.get("hf_hub_id")
    if named is None or hub_id is None:
        missing = "is no classifier" if named is None else "has no weights on the hub of timm's models"
        raise ConfigError(f"{name}.{tag}, which {missing}", "a classifier with weights there", "set backbone.name")
    network.reset_classifier(0)
    classifiers = [named] if isinstance(named, str) else list(named)
    return _Adapted(network, network.head_hidden_size, classifiers, transform, tag, lambda: _from_hub(hub_id))


def _torchvision(name: str, tag: str | None) -> _Adapted:
    from torchvision import models

    # The classifiers alone: the other listed models have a dot or a folder of their own.
    _require("backbone.name", name, models.list_models(module=models), "torchvision.models.list_models()")
    known = models.get_model_weights(name)
    tag = known.DEFAULT.name if tag is None else tag
    _require("backbone.tag", tag, [entry.name for entry in known], f"torchvision.models.get_model_weights({name!r})")
    entry = known[tag]
    preset = entry.transforms()
    transform = TransformSpec(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    network = models.get_model(name, weights=None)
    if hasattr(network, "transform_input"):
        network.transform_input = True  # as torchvision sets it for all its weights of GoogLeNet and Inception v3
    classifier, num_features = _take_classifier_off(network, num_classes=len(entry.meta["categories"]))

    def download() -> dict[str, Tensor]:
        return dict(torch.hub.load_state_dict_from_url(entry.url, check_hash=True, weights_only=True))

    return _Adapted(network, num_features, [classifier], transform, tag, download)


_LIBRARIES: dict[str, Callable[[str, str | None], _Adapted]] = {"timm": _timm, "torchvision": _torchvision}


def _take_classifier_off(network: nn.Module, num_classes: int) -> tuple[str, int]:
    """Replace the last layer that answers with `num_classes` by the identity; its name, and the width it read."""
    for name, layer in reversed(list(network.named_modules())):
        width: Any = None
        if isinstance(layer, nn.Linear) and layer.out_features == num_classes:
            width = layer.in_features
        elif isinstance(layer, nn.Conv2d) and layer.out_channels == num_classes:
            width = layer.in_channels
        if width is not None:
            network.set_submodule(name, nn.Identity())
            return name, width
    raise ConfigError(
        f"{type(network).__name__} without a layer of {num_classes} outputs", "a classifier", "choose another backbone"
    )


def _check_size(backbone: Backbone) -> None:
    """Read one black picture: networks with a fixed grid, or with many strides, refuse some sizes."""
    size = backbone.transform.size
    try:
        backbone(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"{backbone.source['name']} cannot read pictures of {size} x {size} pixels: {reason}",
            "the size that its weights were trained on, or one that its layers can take",
            "leave backbone.image_size out, or choose another backbone",
        ) from error


def _from_hub(hub_id: str) -> dict[str, Tensor]:
    """The weights in the hub's cache, or downloaded into it."""
    import huggingface_hub as hub
    from timm.models import load_state_dict_from_hf

    file = "model.safetensors"
    if not isinstance(hub.try_to_load_from_cache(hub_id, file), str):
        # Asked once, without the retries of a download: without a network these would take a minute.
        with suppress(hub.errors.EntryNotFoundError):
            hub.get_hf_file_metadata(hub.hf_hub_url(hub_id, file))
    weights: dict[str, Tensor] = load_state_dict_from_hf(hub_id)
    return weights


def _downloaded(download: Callable[[], dict[str, Tensor]], what: str) -> dict[str, Tensor]:
    try:
        return download()
    except Exception as error:  # hubs raise their own families of network errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            got=f"the pretrained weights of {what} could not be downloaded: {reason}",
            allowed="a network, or weights on this machine",
            hint="fetch them on a machine with a network and name the file: backbone.weights=FILE.safetensors; "
            "or go without, untrained: backbone.weights=none",
        ) from error


def _require(key: str, name: str, known: Iterable[str], listed_by: str) -> None:
    known = list(known)
    if name not in known:
        few = ", ".join(known) if len(known) <= 8 else f"one of {len(known)} names; {listed_by} lists them"
        raise ConfigError(f"{key}={name!r}, which does not exist{did_you_mean(str(name), known)}", few, f"set {key}")
