"""Grad-CAM: where on a picture the evidence for a class lies."""

from __future__ import annotations

import copy
from typing import Any

import simplejpeg
import torch
from torch import Tensor, nn
from torch.nn import functional

from dogbreed.errors import ConfigError
from dogbreed.serving.predictor import Picture, Predictor

_QUALITY = 90
# From little heat to much, as RGB: blue to yellow, ever lighter, which all kinds of colour vision tell apart.
_RAMP = ((0.05, 0.12, 0.38), (0.38, 0.40, 0.48), (1.0, 0.87, 0.20))
_VEIL = (0.66, 0.36)  # how much the colour covers where there is no heat, and where it is greatest


def grad_cam(predictor: Predictor, view: Tensor, index: int | None = None) -> Tensor:
    """How much each place of the backbone's last feature map speaks for a class: float32 (h, w) in [0, 1], on the CPU.

    The greatest is 1; all are 0 where nothing speaks for the class. The predictor is left as it was, and may answer
    meanwhile in other threads.

    Source: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
    ICCV 2017, equations 1 and 2.

    Args:
        predictor: whose backbone is a convolutional network.
        view: what it reads, uint8 (3, S, S), as `Predictor.view` gives it.
        index: of the class; None for the answer.

    Raises:
        ConfigError: there is no such class, or the backbone ends without a map of the picture.
    """
    backbone, head, classes = predictor.artifact.backbone, predictor.artifact.head, predictor.artifact.class_names
    if index is not None and not 0 <= index < len(classes):
        raise ConfigError(f"the class index {index}", f"0 to {len(classes) - 1}", "give the index of a class")
    network = _twin(backbone.network)
    last: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim > 2 and max(output.shape[2:]) > 1:  # more than one place
            last[:] = [output]

    for module in network.modules():
        module.register_forward_hook(keep)
    with torch.inference_mode(False), torch.enable_grad():
        pixels = backbone.transform.normalize(view.to(predictor.device).unsqueeze(0).clone())
        logits = head(network(pixels.contiguous(memory_format=torch.channels_last).requires_grad_()))
        if not last or last[0].ndim != 4 or last[0].shape[2] != last[0].shape[3]:  # a square's map is square
            raise ConfigError(
                f"{backbone.source['name']}, which ends without a map of the picture",
                "a convolutional backbone: Grad-CAM looks at its last feature map",
                "answer without an explanation, or train on another backbone",
            )
        score = logits[0].max() if index is None else logits[0, index]
        (gradient,) = torch.autograd.grad(score, last[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat = (weights * last[0].detach()).sum(dim=1)[0].relu()
    return (heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)).float().cpu()


def spotlight(predictor: Predictor, picture: Picture, index: int | None = None) -> bytes:
    """What the model looked at: its view of a picture as a JPEG of (S, S) pixels, the heat laid over it.

    Yellow speaks most for the class, blue not at all.

    Args:
        predictor: whose backbone is a convolutional network.
        picture: whatever the predictor reads.
        index: of the class; None for the answer.

    Raises:
        ImageError: the picture cannot be decoded.
        ConfigError: there is no such class, or the backbone ends without a map of the picture.
    """
    view = predictor.view(picture)
    shown = _lay_over(view, grad_cam(predictor, view, index)).permute(1, 2, 0).contiguous().numpy()
    content: bytes = simplejpeg.encode_jpeg(shown, _QUALITY, "RGB")
    return content


def _twin(network: nn.Module) -> nn.Module:
    """The same network around the same weights, on which hooks disturb nobody."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def _lay_over(view: Tensor, heat: Tensor) -> Tensor:
    """The view (3, S, S) in grey under the heat (h, w) in colour: uint8 (3, S, S)."""
    heat = functional.interpolate(heat[None, None], view.shape[1:], mode="bicubic").clamp(0, 1)[0]
    ramp = torch.tensor(_RAMP).t()[None]
    places = heat.flatten() * (ramp.shape[2] - 1)
    low = places.floor().clamp_max(ramp.shape[2] - 2).long()
    colour = torch.lerp(ramp[0, :, low], ramp[0, :, low + 1], places - low).view(view.shape)
    veil = torch.lerp(torch.tensor(_VEIL[0]), torch.tensor(_VEIL[1]), heat)
    grey = view.float().div(255).mean(dim=0, keepdim=True)
    return torch.lerp(grey.expand_as(colour), colour, veil).mul(255).round().to(torch.uint8)
