"""Grad-CAM: equal to its formula where there is one, on the dog where there is a dog, and without a trace."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dogbreed.data.images import decode_image
from dogbreed.data.transforms import TransformSpec
from dogbreed.errors import ConfigError
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.heads import LinearHead
from dogbreed.serving.artifact import Artifact
from dogbreed.serving.grad_cam import grad_cam, spotlight
from dogbreed.serving.predictor import Predictor

SPEC = TransformSpec(size=32, resize=32, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def predictor_of(backbone: Backbone, classes: int = 3) -> Predictor:
    torch.manual_seed(1)
    head = LinearHead(backbone.num_features, classes).eval()
    names = tuple(f"{i:03d}.Breed_{i}" for i in range(classes))
    about = {"backbone": backbone.source, "weights_sha256": "0" * 64}
    return Predictor(Artifact(backbone, head, names, about, calibration=None, look_alikes=(), directory=Path()))


def named(name: str, library: str = "timm", size: int | None = None, **settings: Any) -> Backbone:
    return make_backbone(library, name, weights="none", image_size=size, **settings)


@pytest.fixture(scope="module")
def linear() -> Predictor:
    """Convolutions and their mean over all places, for which Grad-CAM is CAM."""
    torch.manual_seed(0)
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3, 2, 1))
    network = nn.Sequential(convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return predictor_of(Backbone(network, 6, SPEC, {"name": "convolutions"}))


@pytest.fixture
def view() -> Tensor:
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_grad_cam__is_the_class_activation_map_of_a_network_that_ends_in_a_mean(linear, view, index):
    network, head = linear.artifact.backbone.network, linear.artifact.head
    with torch.no_grad():
        maps = network[0](SPEC.normalize(view[None]))[0]
        cam = torch.einsum("c,chw->hw", head.linear.weight[index], maps).relu()

    torch.testing.assert_close(grad_cam(linear, view, index), cam / cam.max())


def test_grad_cam__explains_the_answer_unless_told_otherwise(linear, view):
    answer = int(linear.probs(view[None]).argmax())

    assert torch.equal(grad_cam(linear, view), grad_cam(linear, view, answer))


@pytest.mark.parametrize("index", [-1, 3])
def test_grad_cam__refuses_a_class_that_is_none(linear, view, index):
    with pytest.raises(ConfigError, match="0 to 2"):
        grad_cam(linear, view, index)


@pytest.mark.parametrize(
    ("library", "name", "size", "side"),
    [
        ("timm", "test_resnet", 96, 3),
        ("timm", "mobilenetv3_small_050", 96, 3),
        ("torchvision", "mobilenet_v2", 96, 3),
        ("torchvision", "squeezenet1_1", 96, 5),
    ],
)
def test_grad_cam__finds_the_last_map_of(library, name, size, side):
    heat = grad_cam(predictor_of(named(name, library, size)), torch.randint(0, 256, (3, size, size)).byte())

    assert heat.shape == (side, side)
    assert heat.dtype == torch.float32
    assert 0 <= heat.min() <= heat.max() <= 1


@pytest.mark.parametrize(
    ("library", "name", "size"), [("timm", "test_vit", None), ("timm", "swin_tiny_patch4_window7_224", None)]
)
def test_grad_cam__says_so_where_a_network_ends_without_a_map(library, name, size):
    predictor = predictor_of(named(name, library, size))
    side = predictor.artifact.backbone.transform.size

    with pytest.raises(ConfigError, match="without a map"):
        grad_cam(predictor, torch.zeros(3, side, side, dtype=torch.uint8))


def test_grad_cam__leaves_the_predictor_as_it_was(backbone, view):
    predictor, network = predictor_of(backbone), backbone.network
    probs, weights = predictor.probs(view[None]), backbone.fingerprint()

    grad_cam(predictor, view)

    assert torch.equal(predictor.probs(view[None]), probs)
    assert backbone.fingerprint() == weights
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in predictor.artifact.head.parameters())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_grad_cam__works_within_inference_mode_and_beside_other_threads(backbone):
    predictor = predictor_of(backbone)
    views = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    alone = [grad_cam(predictor, view) for view in views]
    probs = [predictor.probs(view[None]) for view in views]

    def both(view: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return grad_cam(predictor, view.clone()), predictor.probs(view[None])

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(both, views))

    for (heat, found), expected_heat, expected in zip(together, alone, probs, strict=True):
        assert torch.equal(heat, expected_heat)
        assert torch.equal(found, expected)


def test_spotlight__is_a_picture_of_the_views_size_with_the_heat_in_yellow(linear):
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(64, 192, (40, 60, 3), dtype=np.uint8))  # JPEG makes little of strong noise
    heat = grad_cam(linear, linear.view(picture), 1)

    shown = decode_image(spotlight(linear, picture, 1)).float()

    assert shown.shape == (3, 32, 32)
    yellow = nn.functional.avg_pool2d((shown[:2].mean(0) - shown[2])[None], 4)[0]
    assert np.corrcoef(yellow.flatten(), heat.flatten())[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_grad_cam__lies_on_a_real_dog(real_data: Path, corner: tuple[int, int]) -> None:
    weights = real_data / "weights" / "mobilenet_v2.torchvision.safetensors"
    if not weights.is_file():
        pytest.skip(f"there is no {weights}")
    backbone = make_backbone("torchvision", "mobilenet_v2", weights=str(weights))
    side = backbone.transform.size
    predictor = predictor_of(backbone)
    top, left = (place * side // 2 for place in corner)
    shares = []
    for breed in sorted((real_data / "originals").iterdir()):
        photo = Image.open(io.BytesIO(sorted(breed.iterdir())[0].read_bytes())).convert("RGB")
        canvas = Image.new("RGB", (side, side), (128, 128, 128))
        canvas.paste(photo.resize((side // 2, side // 2)), (left, top))
        view = torch.from_numpy(np.array(canvas)).permute(2, 0, 1)
        next(predictor.artifact.head.parameters()).data = (
            backbone(view[None]).expand(3, -1).clone()
        )  # what it shows itself
        heat = nn.functional.interpolate(grad_cam(predictor, view)[None, None], (side, side), mode="nearest-exact")[
            0, 0
        ]
        shares.append(float(heat[top : top + side // 2, left : left + side // 2].sum() / heat.sum()))

    assert np.mean(shares) > 0.5  # an even heat gives 0.25
