"""Backbones give the library's own features, and nothing moves them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from dogbreed.errors import ConfigError, DogbreedError, WeightsError
from dogbreed.models.backbones import Backbone, make_backbone

SEVERAL_FAMILIES = [
    ("timm", "test_resnet"),
    ("timm", "test_vit"),
    ("timm", "test_efficientnet"),
    ("timm", "mobilenetv3_small_050"),
    ("torchvision", "squeezenet1_1"),
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "shufflenet_v2_x0_5"),
    ("torchvision", "densenet121"),
    ("torchvision", "mnasnet0_5"),
    ("torchvision", "resnet18"),
]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No name resolves, and nothing has been downloaded before: the folder where torch and the hub would keep it."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


def draw_pixels(size: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def normalize(images: Tensor, mean: Any, std: Any) -> Tensor:
    """Pixels by torchvision's own functional, which our spec does not use."""
    floats = images.to(torch.float32) / 255
    return torchvision.transforms.functional.normalize(floats, list(mean), list(std))


@torch.no_grad()
def shake_(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and running statistic: no layer is neutral, and the picture still shows in the features."""
    generator = torch.Generator().manual_seed(seed)
    for entry in network.state_dict().values():
        if entry.ndim > 1:
            entry.copy_(torch.randn(entry.shape, generator=generator) * (2 / entry[0].numel()) ** 0.5)
        elif entry.is_floating_point():
            entry.copy_(torch.rand(entry.shape, generator=generator) + 0.5)
    return network.eval()


def assert_same_features(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for the order of additions, and not for want of a trace of the pictures."""
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    assert theirs.std(dim=0).max() > 0.01 * theirs.abs().max()


def entries_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer, also of those that a state dict leaves out."""
    return {name: entry.detach().clone() for name, entry in (*module.named_parameters(), *module.named_buffers())}


@pytest.mark.parametrize(("library", "name"), SEVERAL_FAMILIES)
def test_backbone__gives_one_row_of_features_for_each_picture(library: str, name: str) -> None:
    backbone = make_backbone(library, name, weights="none", image_size=64)

    assert backbone(draw_pixels(64)).shape == (3, backbone.num_features)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "convnext_tiny"])
def test_backbone__gives_the_width_of_large_networks(name: str) -> None:
    with torch.device("meta"):  # shapes without weights
        backbone = make_backbone("torchvision", name, weights="none")
        features = backbone(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))

    assert features.shape == (2, backbone.num_features) == (2, 768)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "mobilenetv3_small_050"])
def test_backbone__equals_timms_own_features(name: str, tmp_path: Path) -> None:
    theirs: Any = shake_(timm.create_model(name, pretrained=False))
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, tmp_path / "weights.safetensors")
    settings = resolve_data_config({}, model=theirs)
    ours = make_backbone("timm", name, weights=str(tmp_path / "weights.safetensors"))
    images = draw_pixels(settings["input_size"][1])

    pixels = normalize(images, settings["mean"], settings["std"])
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(pixels), pre_logits=True)
    assert_same_features(ours(images), expected)


def test_backbone__equals_torchvisions_layers_before_the_classifier(tmp_path: Path) -> None:
    theirs = shake_(torchvision.models.resnet18())
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    preset = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    ours = make_backbone("torchvision", "resnet18", tag="IMAGENET1K_V1", weights=str(tmp_path / "weights.pth"))
    images = draw_pixels(64)

    with torch.no_grad():
        all_but_the_last = nn.Sequential(*list(theirs.children())[:-1])
        expected = all_but_the_last(normalize(images, preset.mean, preset.std)).flatten(1)
    assert_same_features(ours(images), expected)


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(
    ("name", "url"), [("resnet18", "resnet18-f37072fd.pth"), ("googlenet", "googlenet-1378be20.pth")]
)
def test_backbone__pretrained_equals_what_torchvision_makes_of_the_same_file(
    name: str, url: str, no_network: Path
) -> None:
    downloaded = no_network / "hub" / "checkpoints" / url
    downloaded.parent.mkdir(parents=True)
    torch.save(shake_(torchvision.models.get_model(name)).state_dict(), downloaded)
    theirs: Any = torchvision.models.get_model(name, weights="IMAGENET1K_V1").eval()
    preset = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms()
    images, read = draw_pixels(64), []
    theirs.fc.register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    with torch.no_grad():
        theirs(normalize(images, preset.mean, preset.std))

    ours = make_backbone("torchvision", name, tag="IMAGENET1K_V1", weights="pretrained")

    assert_same_features(ours(images), read[0])


def test_backbone__pretrained_is_found_in_the_hubs_cache_without_a_network(no_network: Path) -> None:
    theirs = shake_(timm.create_model("test_resnet"))
    stored = no_network / "models--timm--test_resnet.r160_in1k"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("0" * 40)
    (stored / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(theirs.state_dict(), stored / "snapshots" / ("0" * 40) / "model.safetensors")

    ours = make_backbone("timm", "test_resnet", weights="pretrained")

    assert torch.equal(ours.network.state_dict()["conv1.0.weight"], theirs.state_dict()["conv1.0.weight"])


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("torchvision", "squeezenet1_1")])
def test_backbone__pretrained_without_a_network_says_what_to_do(library: str, name: str, no_network: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        make_backbone(library, name, weights="pretrained")

    assert "backbone.weights=FILE" in caught.value.hint
    assert "backbone.weights=none" in caught.value.hint


def test_backbone__pretrained_without_a_network_fails_at_once(no_network: Path) -> None:
    start = time.monotonic()
    with pytest.raises(WeightsError):
        make_backbone("timm", "test_resnet", weights="pretrained")

    assert time.monotonic() - start < 20  # with the hub's own retries: 47 s (measured)


def test_backbone__stays_in_evaluation_mode(backbone: Backbone) -> None:
    nn.Sequential(backbone, nn.Linear(backbone.num_features, 2)).train()
    backbone.train()

    assert not [name for name, module in backbone.named_modules() if module.training]


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("torchvision", "mobilenet_v3_small")])
def test_backbone__keeps_every_entry_through_training(library: str, name: str) -> None:
    backbone = make_backbone(library, name, weights="none", image_size=64)
    model = nn.Sequential(backbone, nn.Linear(backbone.num_features, 2)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    before = entries_of(backbone)

    for seed in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(draw_pixels(64, seed)), torch.tensor([0, 1, 0])).backward()
        optimizer.step()

    after = entries_of(backbone)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_backbone__has_nothing_to_train(backbone: Backbone) -> None:
    assert not [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]


def test_backbone__passes_no_gradient_back(backbone: Backbone) -> None:
    assert not backbone(draw_pixels(32)).requires_grad


def test_backbone__answers_an_empty_batch(backbone: Backbone) -> None:
    assert backbone(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, backbone.num_features)


def test_backbone__is_made_again_from_its_source(backbone: Backbone) -> None:
    again = make_backbone(**{**backbone.source, "weights": "none"})  # type: ignore[arg-type]

    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in backbone.state_dict().items()}


def test_fingerprint__changes_with_every_entry(backbone: Backbone) -> None:
    original = backbone.fingerprint()
    same = []
    for name, entry in backbone.network.state_dict().items():
        kept = entry.clone()
        entry.view(-1)[-1] += 1
        if backbone.fingerprint() == original:
            same.append(name)
        entry.copy_(kept)

    assert same == []


def test_fingerprint__is_that_of_the_weights_and_not_of_the_object(backbone: Backbone, tmp_path: Path) -> None:
    full = timm.create_model("test_resnet")
    full.load_state_dict(backbone.network.state_dict(), strict=False)
    torch.save(full.state_dict(), tmp_path / "weights.pth")

    again = make_backbone("timm", "test_resnet", weights=str(tmp_path / "weights.pth"), image_size=64)

    assert again.fingerprint() == backbone.fingerprint()


def test_make_backbone__without_a_tag_takes_the_librarys_default() -> None:
    theirs = torchvision.models.get_model_weights("mobilenet_v3_small").DEFAULT.name

    assert make_backbone("torchvision", "mobilenet_v3_small", weights="none").source["tag"] == theirs


def test_make_backbone__scales_the_crop_with_the_image_size() -> None:
    whole = make_backbone("torchvision", "squeezenet1_1", weights="none").transform
    half = make_backbone("torchvision", "squeezenet1_1", weights="none", image_size=112).transform

    assert (half.size, half.resize) == (whole.size // 2, whole.resize // 2) == (112, 128)


def test_make_backbone__crops_the_share_that_is_asked_for_at_the_size_that_is_asked_for() -> None:
    whole = make_backbone("torchvision", "squeezenet1_1", weights="none", image_size=112, crop_pct=1).transform

    assert (whole.size, whole.resize) == (112, 112)


def test_make_backbone__is_unchanged_by_the_crop_that_the_weights_have() -> None:
    own = make_backbone("timm", "resnet18", tag="a1_in1k", weights="none")
    named = make_backbone("timm", "resnet18", tag="a1_in1k", weights="none", crop_pct=0.95)

    assert named.transform == own.transform


@pytest.mark.parametrize("size", [0, -1, 5000])
def test_make_backbone__refuses_an_image_size_out_of_range(size: int) -> None:
    with pytest.raises(ConfigError, match=f"an image size of {size}"):
        make_backbone("timm", "test_resnet", weights="none", image_size=size)


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 32), ("squeezenet1_1", 8)])
def test_make_backbone__refuses_an_image_size_that_the_network_cannot_read(name: str, size: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot read pictures of {size} x {size}"), torch.device("meta"):
        make_backbone("torchvision", name, weights="none", image_size=size)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        ({"library": "timm", "name": "resnet81"}, "did you mean resnet18"),
        ({"library": "torchvision", "name": "resnet81"}, "did you mean resnet18"),
        ({"library": "timm", "name": "resnet18", "tag": "a1_in1"}, "did you mean a1_in1k"),
        ({"library": "torchvision", "name": "resnet18", "tag": "IMAGENET1K_V7"}, "IMAGENET1K_V1"),
        ({"library": "keras", "name": "resnet18"}, "timm or torchvision"),
    ],
)
def test_make_backbone__suggests_near_names(arguments: dict[str, str], suggestion: str) -> None:
    with pytest.raises(ConfigError, match=suggestion):
        make_backbone(**arguments, weights="none")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize("name", ["hf-hub:evil/model", "hf_hub:evil/model", "local-dir:/tmp", "../resnet18", ""])
def test_make_backbone__follows_no_address_in_a_name(library: str, name: str) -> None:
    with pytest.raises(ConfigError, match="which does not exist"):
        make_backbone(library, name, weights="none")


def test_make_backbone__refuses_what_timm_has_no_weights_for() -> None:
    name = next(name for name in timm.list_models() if not timm.list_pretrained(name))

    with pytest.raises(ConfigError, match="no weights"):
        make_backbone("timm", name, weights="none")


@pytest.mark.parametrize("weights", [None, 3, ["a", "b"]])
def test_make_backbone__refuses_weights_that_are_no_file(weights: Any) -> None:
    with pytest.raises(DogbreedError, match=r"backbone\.weights"):
        make_backbone("timm", "test_resnet", weights=weights)
