"""The preprocessing is the weights' own: the oracles are timm's and torchvision's own transforms."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torchvision import models

from dogbreed.data.images import decode_image
from dogbreed.data.transforms import CropFlip, TransformSpec, TrivialAugment
from dogbreed.errors import ConfigError
from dogbreed.models.backbones import make_backbone

TALL = [(333, 500), (460, 640), (97, 413)]
WIDE = [(500, 375), (640, 200), (224, 224), (120, 90), (57, 31)]

SQUASHING = ("timm", "convnextv2_nano", "fcmae_ft_in22k_in1k_384")
SOURCES = [
    ("timm", "mobilenetv2_100", "ra_in1k"),
    ("timm", "resnet18", "a1_in1k"),
    ("timm", "test_vit", "r160_in1k"),
    SQUASHING,
    ("torchvision", "mobilenet_v2", "IMAGENET1K_V1"),
    ("torchvision", "resnet50", "IMAGENET1K_V2"),
    ("torchvision", "efficientnet_b0", "IMAGENET1K_V1"),  # bicubic
]

SPEC = TransformSpec(size=24, resize=30, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
AUGMENTATIONS = [CropFlip(scale=(0.3, 1.0), ratio=(0.75, 1.33)), TrivialAugment()]


@cache
def photo(width: int, height: int) -> Image.Image:
    """What photographs are made of: smooth light, sharp edges, and the sensor's noise."""
    rng = np.random.default_rng([width, height])
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(8):
        centre, radius = rng.uniform(0, (width, height)), rng.uniform(0.05, 0.3) * min(width, height)
        pixels[np.hypot(x - centre[0], y - centre[1]) < radius] = rng.uniform(0, 255, 3)
        left, top = rng.integers(0, (width, height))
        pixels[top : top + height // 9 + 1, left : left + width // 7 + 1] = rng.uniform(0, 255, 3)
    pixels += rng.normal(0, 6, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def grey_levels(normalized: torch.Tensor, mean, std) -> torch.Tensor:
    """Whole grey levels of what another library has normalised."""
    shape = (-1, 1, 1)
    return ((normalized * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)) * 255).round()


@pytest.fixture(scope="module")
def specs() -> dict[tuple[str, str, str], TransformSpec]:
    return {source: make_backbone(*source[:2], tag=source[2], weights="none").transform for source in SOURCES}


def own_view(source: tuple[str, str, str], picture: Image.Image) -> torch.Tensor:
    """What the library that the weights come from makes of a picture, in grey levels."""
    library, name, tag = source
    if library == "torchvision":
        preset = models.get_model_weights(name)[tag].transforms()
        return grey_levels(preset(picture), preset.mean, preset.std)
    known = timm.get_pretrained_cfg(f"{name}.{tag}")
    assert known is not None
    settings = resolve_data_config(known.to_dict())
    return grey_levels(create_transform(**settings)(picture), settings["mean"], settings["std"])


def assert_near(spec: TransformSpec, source: tuple[str, str, str], picture: Image.Image) -> None:
    view, theirs = spec.clean_view(decode_image(picture)), own_view(source, picture)
    assert view.shape == theirs.shape
    assert (view - theirs).abs().max() <= 2


@pytest.mark.parametrize("size", WIDE, ids=str)
@pytest.mark.parametrize("source", SOURCES, ids=".".join)
def test_clean_view__is_within_two_grey_levels_of_the_librarys_own(specs, source, size):
    assert_near(specs[source], source, photo(*size))


@pytest.mark.parametrize("size", TALL, ids=str)
@pytest.mark.parametrize("source", [source for source in SOURCES if source != SQUASHING], ids=".".join)
def test_clean_view__of_a_tall_picture_is_within_two_grey_levels_too(specs, source, size):
    assert_near(specs[source], source, photo(*size))


@pytest.mark.parametrize("size", TALL, ids=str)
def test_clean_view__squash_of_a_tall_picture_is_width_first(specs, size):
    # Pillow 13 resizes the height first where it shrinks much more than the width (python-pillow/Pillow#9549), and
    # clips in between. Torch keeps the order of all Pillows before it, in which those weights were trained.
    picture, side = photo(*size), specs[SQUASHING].resize
    by_width = picture.resize((side, picture.height), Image.Resampling.BICUBIC)
    theirs = np.asarray(by_width.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    view = specs[SQUASHING].clean_view(decode_image(picture)).permute(1, 2, 0).numpy()
    assert np.abs(view - theirs).max() <= 2


@pytest.mark.parametrize("size", TALL, ids=str)
def test_clean_view__squash_of_a_tall_picture_differs_at_clipped_edges_only(specs, size):
    picture = photo(*size)
    difference = (specs[SQUASHING].clean_view(decode_image(picture)) - own_view(SQUASHING, picture)).abs()
    assert (difference > 2).float().mean() < 1e-3


def test_sources__cover_what_differs(specs):
    assert {spec.squash for spec in specs.values()} == {True, False}
    assert {spec.interpolation for spec in specs.values()} == {"bilinear", "bicubic"}
    assert len({spec.mean for spec in specs.values()}) > 1


def test_clean_view__is_uint8_of_the_size():
    view = SPEC.clean_view(decode_image(photo(50, 40)))
    assert (view.dtype, view.shape) == (torch.uint8, (3, 24, 24))


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (3, 2)], ids=str)
def test_clean_view__of_a_tiny_picture(size):
    assert SPEC.clean_view(decode_image(photo(*size))).shape == (3, 24, 24)


def test_clean_view__of_one_colour_stays_that_colour():
    picture = Image.new("RGB", (77, 55), (10, 128, 250))
    view = SPEC.clean_view(decode_image(picture))
    assert torch.equal(view, torch.tensor([10, 128, 250], dtype=torch.uint8).view(3, 1, 1).expand(3, 24, 24))


def test_clean_view__leaves_the_picture_and_the_generator_alone():
    image = decode_image(photo(50, 40))
    before, state = image.clone(), torch.get_rng_state()
    SPEC.clean_view(image)
    assert torch.equal(image, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_clean_view__squash_shows_the_edges_that_a_crop_loses():
    pixels = np.zeros((20, 80, 3), np.uint8)
    pixels[:, :8] = 255
    image = decode_image(Image.fromarray(pixels))
    squashing = TransformSpec(24, 24, "bilinear", SPEC.mean, SPEC.std, squash=True)
    cropping = TransformSpec(24, 24, "bilinear", SPEC.mean, SPEC.std)
    assert squashing.clean_view(image).max() == 255
    assert cropping.clean_view(image).max() == 0


# Sizes


@pytest.mark.parametrize("size", [32, 96, 224, 448, 4096])
def test_with_size__crops_away_the_same_share(specs, size):
    for spec in specs.values():
        other = spec.with_size(size)
        assert other.size == size
        assert other.resize == pytest.approx(spec.resize * size / spec.size, abs=0.5)


def test_with_size__changes_nothing_else():
    other = TransformSpec(24, 30, "bicubic", SPEC.mean, SPEC.std, squash=True).with_size(48)
    assert other == TransformSpec(48, 60, "bicubic", SPEC.mean, SPEC.std, squash=True)


def test_with_size__own_size_is_the_same(specs):
    assert all(spec.with_size(spec.size) == spec for spec in specs.values())


@pytest.mark.parametrize("size", [0, -1, 4097])
def test_with_size__out_of_range(size):
    with pytest.raises(ConfigError, match=f"an image size of {size}") as caught:
        SPEC.with_size(size)
    assert "backbone.image_size" in caught.value.hint


def test_with_crop__keeps_that_share_of_the_side():
    assert SPEC.with_crop(0.5).resize == 2 * SPEC.size
    assert asdict(SPEC.with_crop(1)) == asdict(SPEC) | {"resize": SPEC.size}


def test_with_crop__of_one_reads_a_square_up_to_its_edges():
    framed = torch.full((3, SPEC.size, SPEC.size), 200, dtype=torch.uint8)
    framed[:, 1:-1, 1:-1] = 10
    assert torch.equal(SPEC.with_crop(1).clean_view(framed), framed)
    assert SPEC.with_crop(0.8).clean_view(framed)[:, 0].max() < 200


@pytest.mark.parametrize("share", [0, 0.09, -0.5, 1.01, float("nan")])
def test_with_crop__out_of_range(share):
    with pytest.raises(ConfigError, match=f"a crop of {share}") as caught:
        SPEC.with_crop(share)
    assert "backbone.crop_pct" in caught.value.hint


# Normalisation


def test_normalize__is_the_textbook_formula():
    images = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = images.numpy().astype(np.float64) / 255
    expected = (pixels - np.array(SPEC.mean)[:, None, None]) / np.array(SPEC.std)[:, None, None]
    found = SPEC.normalize(images)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_normalize__one_picture_is_as_in_a_batch():
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    assert torch.equal(SPEC.normalize(images[1]), SPEC.normalize(images)[1])


def test_normalize__leaves_the_pixels_as_they_were():
    images = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    SPEC.normalize(images)
    assert images.eq(200).all()


# As plain values


@pytest.mark.parametrize("source", SOURCES, ids=".".join)
def test_to_dict__survives_json(specs, source):
    again = TransformSpec.from_dict(json.loads(json.dumps(specs[source].to_dict())))
    assert again == specs[source]
    assert hash(again) == hash(specs[source])


# Augmentation


@pytest.mark.parametrize("size", [(50, 40), (12, 90), (5, 4), (24, 24)], ids=str)
@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: type(augmentation).__name__)
def test_augmentation__gives_uint8_of_the_size(augmentation, size):
    image = decode_image(photo(*size))
    torch.manual_seed(0)
    for _ in range(20):
        view = augmentation(image, SPEC)
        assert (view.dtype, view.shape) == (torch.uint8, (3, 24, 24))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: type(augmentation).__name__)
def test_augmentation__same_seed_same_view(augmentation):
    image = decode_image(photo(60, 40))
    views = []
    for _ in range(2):
        torch.manual_seed(11)
        views.append(torch.stack([augmentation(image, SPEC) for _ in range(5)]))
    assert torch.equal(*views)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: type(augmentation).__name__)
def test_augmentation__other_seed_other_view(augmentation):
    image, views = decode_image(photo(60, 40)), set()
    for seed in range(10):
        torch.manual_seed(seed)
        views.add(augmentation(image, SPEC).numpy().tobytes())
    assert len(views) > 5


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: type(augmentation).__name__)
def test_augmentation__leaves_the_picture_as_it_was(augmentation):
    image = decode_image(photo(24, 24))
    before = image.clone()
    torch.manual_seed(0)
    for _ in range(40):
        augmentation(image, SPEC)
    assert torch.equal(image, before)


def test_crop_flip__whole_picture_is_the_picture_or_its_mirror():
    image = decode_image(photo(24, 24))
    whole = CropFlip(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    torch.manual_seed(0)
    views = [whole(image, SPEC) for _ in range(40)]
    mirrored = [torch.equal(view, image.flip(-1)) for view in views]
    assert all(torch.equal(view, image) or mirror for view, mirror in zip(views, mirrored, strict=True))
    assert 10 <= sum(mirrored) <= 30


def test_crop_flip__crop_has_the_scale_that_was_asked_for():
    # Each pixel tells its column, so that a crop of a quarter of the area spans half of the columns.
    ramp = np.repeat(np.arange(240, dtype=np.uint8)[None, :, None], 240, axis=0).repeat(3, axis=2)
    quarter = CropFlip(scale=(0.25, 0.25), ratio=(1.0, 1.0))
    torch.manual_seed(0)
    for _ in range(10):
        view = quarter(decode_image(Image.fromarray(ramp)), SPEC).int()
        assert int(view.max() - view.min()) == pytest.approx(120, abs=8)


def test_trivial_augment__mostly_shows_what_the_clean_view_shows():
    image = decode_image(photo(60, 40))
    clean = SPEC.clean_view(image)
    torch.manual_seed(0)
    views = [TrivialAugment()(image, SPEC) for _ in range(60)]
    unchanged = [torch.equal(view, clean) or torch.equal(view, clean.flip(-1)) for view in views]
    assert 1 <= sum(unchanged) < 40  # one operation of its fourteen is the identity; some strengths are zero
