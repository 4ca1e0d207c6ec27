"""The fused and the prepacked network compute what the plain one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from dogbreed.features.fusion import fuse
from dogbreed.features.onednn import prepack
from dogbreed.models.backbones import make_backbone
from tests.features.parts import difference

NETWORKS = {
    "timm.test_resnet": 15,  # library.name: its BatchNorms, of which none is left
    "timm.test_efficientnet": 13,  # BatchNorms with their activation
    "timm.test_byobnet": 14,
    "timm.mobilenetv3_small_050": 34,  # hard swish, squeeze and excite
    "torchvision.resnet18": 20,
    "torchvision.shufflenet_v2_x0_5": 56,  # channels cut and joined
}


def calibrated(network: nn.Module) -> nn.Module:
    """BatchNorms that do something, as trained ones do."""
    generator = torch.Generator().manual_seed(1)
    for norm in [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]:
        norm.running_mean = torch.randn(norm.num_features, generator=generator) * 0.1
        norm.running_var = torch.rand(norm.num_features, generator=generator) + 0.5
        if norm.affine:
            norm.weight.data = torch.rand(norm.num_features, generator=generator) + 0.5
            norm.bias.data = torch.randn(norm.num_features, generator=generator) * 0.1
    return network.eval().requires_grad_(False)


def noise(size: int = 64, count: int = 4) -> Tensor:
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))
    return images.contiguous(memory_format=torch.channels_last)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def network_of(name: str, size: int | None = 64) -> nn.Module:
    library, architecture = name.split(".")
    return calibrated(make_backbone(library, architecture, weights="none", image_size=size).network)


@pytest.mark.parametrize(("name", "found"), NETWORKS.items(), ids=list(NETWORKS))
def test_fuse__is_the_same_function_without_batch_norms(name: str, found: int) -> None:
    network = network_of(name).double()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused = fuse(network)
    assert (norms(network), norms(fused)) == (found, 0)
    assert difference(fused(noise().double()), network(noise().double())) < 1e-12
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_prepack__is_the_same_function_for_any_number_of_pictures(name: str) -> None:
    network = network_of(name).to(memory_format=torch.channels_last)
    packed = prepack(fuse(network), noise())
    assert any("packed" in key for key, _ in packed.named_modules())
    for count in (4, 1, 3, 7):
        assert difference(packed(noise(count=count)), network(noise(count=count))) < 1e-5
    assert torch.equal(packed(noise()), packed(noise()))


def test_fuse__a_network_that_cannot_be_traced_stays_as_it_is() -> None:
    network = network_of("timm.test_vit", None)
    fused = fuse(network)
    assert not isinstance(fused, fx.GraphModule)
    assert difference(prepack(fused, noise(160))(noise(160)), network(noise(160))) < 1e-6


class Shared(nn.Module):
    """One convolution read by two BatchNorms: neither can be folded into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.conv(x))
        return self.two(self.conv(x))


class Branching(nn.Module):
    """The convolution's own result is used beside the normalised one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.cat([self.norm(y), y], 1)


class OneNormTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.b(self.norm(self.a(x))))


class UsedLater(nn.Module):
    """What is added to a convolution is read again afterwards, and so must not be overwritten."""

    def __init__(self, act: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.a(x))
        second = self.act(self.b(first) + first)
        return self.c(second) + first


class Aliased(nn.Module):
    """An activation in place: two names of one tensor, of which one is added and the other read later."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        raw = self.a(x)
        return (self.b(self.act(raw)) + raw) * raw


class AddsInput(nn.Module):
    """The caller's own pictures are added to a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x


class Broadcast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool, self.one, self.two = nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.one(self.pool(x))
        return torch.relu(self.two(x) + gate)


class DataDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return y if float(x.sum()) > 0 else -y


def padded(mode: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=2, padding_mode=mode), nn.BatchNorm2d(8), nn.ReLU())


ODD: dict[str, Callable[[], nn.Module]] = {
    "shared convolution": Shared,
    "branching": Branching,
    "one norm twice": OneNormTwice,
    "added tensor used later": UsedLater,
    "in place under another name": Aliased,
    "input added": AddsInput,
    "broadcast": Broadcast,
    "data dependent": DataDependent,
    "reflected border": lambda: padded("reflect"),
    "circular border": lambda: padded("circular"),
    "replicated border": lambda: padded("replicate"),
    "padding by name": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), nn.SiLU()),
    "groups, strides, dilation": lambda: nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, dilation=2, groups=3, bias=False), nn.BatchNorm2d(12), nn.ReLU6()
    ),
    "norm without weights": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)),
    "activation that the operators lack": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ELU()),
    "hard swish": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish()),
    "norm before convolution": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3)),
}


@pytest.mark.parametrize("name", ODD)
def test_fuse_and_prepack__odd_networks_stay_the_same_function(name: str) -> None:
    torch.manual_seed(0)
    network = calibrated(ODD[name]()).to(memory_format=torch.channels_last)
    images = noise(16)
    expected = network(images.clone())
    fused = fuse(network)
    assert difference(fused(images.clone()), expected) < 1e-6
    packed = prepack(fused, images.clone())
    given = images.clone()
    assert difference(packed(given), expected) < 1e-5
    assert torch.equal(given, images), "the pictures were written to"


def test_prepack__gives_back_what_it_cannot_improve() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval()  # no graph
    assert prepack(network, noise(16)) is network


def test_fuse__leaves_training_and_gradients_out() -> None:
    fused = fuse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5)).requires_grad_(False).train())
    assert isinstance(fused, fx.GraphModule)
    assert not fused.training
    assert not any(parameter.requires_grad for parameter in fused.parameters())
