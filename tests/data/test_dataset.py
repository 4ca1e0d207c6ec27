"""A view depends on (seed, epoch, index) alone, and an unreadable picture becomes a record."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dogbreed.data.dataset import PictureDataset, Sample, collate
from dogbreed.data.folder import Split, list_class_names, scan_split
from dogbreed.data.images import decode_image
from dogbreed.data.transforms import CropFlip, TransformSpec, TrivialAugment
from dogbreed.errors import ImageError

SPEC = TransformSpec(size=24, resize=28, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
CROP_FLIP = CropFlip(scale=(0.2, 1.0), ratio=(0.75, 1.33))


@pytest.fixture(scope="module")
def split(shared_folder) -> Split:
    return scan_split("train", shared_folder / "train", list_class_names(shared_folder / "train"))


@pytest.fixture
def broken(tmp_path) -> Split:
    """Two pictures with a truncated one and a missing one between them."""
    paths = [str(tmp_path / f"{number}.jpg") for number in range(4)]
    for path in paths[:2] + paths[3:]:
        Image.fromarray(np.full((30, 30, 3), 80, np.uint8)).save(path)
    with open(paths[1], "r+b") as file:
        file.truncate(400)
    return Split("val", paths, [0, 1, 2, 3])


def views(split: Split, keys, augmentation=CROP_FLIP, seed: int = 0) -> torch.Tensor:
    dataset = PictureDataset(split, SPEC, augmentation, seed)
    return torch.stack([image for image in (dataset[key].image for key in keys) if image is not None])


# Keys


def test_picture_dataset__without_augmentation_gives_the_clean_view(split):
    sample = PictureDataset(split, SPEC)[9]
    assert sample.image is not None
    assert torch.equal(sample.image, SPEC.clean_view(decode_image(split.paths[9])))
    assert sample[1:] == (split.targets[9], 9, None)


def test_picture_dataset__has_the_length_of_its_split(split):
    assert len(PictureDataset(split, SPEC)) == len(split) == 32


def test_picture_dataset__an_index_is_the_first_epoch(split):
    assert torch.equal(views(split, [5]), views(split, [(0, 5)]))


def test_picture_dataset__epoch_does_not_matter_to_the_clean_view(split):
    assert torch.equal(views(split, [(0, 5)], None), views(split, [(7, 5)], None))


# The chance of a view


@pytest.mark.parametrize("augmentation", [CROP_FLIP, TrivialAugment()], ids=lambda chosen: type(chosen).__name__)
def test_picture_dataset__same_seed_epoch_and_index_give_the_same_view(split, augmentation):
    keys = [(epoch, index) for epoch in (0, 3) for index in (0, 7, 20)]
    assert torch.equal(views(split, keys, augmentation, 5), views(split, keys, augmentation, 5))


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([((0, 5), seed) for seed in range(8)], id="seed"),
        pytest.param([((epoch, 5), 0) for epoch in range(8)], id="epoch"),
    ],
)
def test_picture_dataset__another_seed_or_epoch_gives_another_view(split, others):
    found = {views(split, [key], seed=seed).numpy().tobytes() for key, seed in others}
    assert len(found) == len(others)


def test_picture_dataset__another_index_gives_another_crop(split):
    same = Split("train", [split.paths[0]] * 8, [0] * 8)
    found = {view.numpy().tobytes() for view in views(same, range(8))}
    assert len(found) == 8


def test_picture_dataset__order_of_reading_does_not_matter(split):
    keys = [(2, index) for index in range(12)]
    assert torch.equal(views(split, keys), views(split, keys[::-1]).flip(0))


def test_picture_dataset__global_generator_does_not_matter(split):
    torch.manual_seed(1)
    before = views(split, [(0, 3)])
    torch.manual_seed(2)
    torch.rand(100)
    assert torch.equal(views(split, [(0, 3)]), before)


@pytest.mark.parametrize("augmentation", [None, CROP_FLIP, TrivialAugment()], ids=lambda chosen: type(chosen).__name__)
def test_picture_dataset__leaves_the_global_generator_alone(split, augmentation):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    views(split, [(0, 3), (1, 4)], augmentation)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_picture_dataset__leaves_the_gpus_generator_alone(split):
    torch.cuda.manual_seed(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(1)
    views(split, [(0, 3)])
    assert torch.equal(torch.rand(3, device="cuda"), expected)


@pytest.mark.parametrize(("batch_size", "num_workers"), [(5, 0), (32, 0), (4, 2)])
def test_picture_dataset__batches_and_workers_do_not_matter(split, batch_size, num_workers):
    keys = [(1, index) for index in range(len(split))]
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    dataset = PictureDataset(split, SPEC, CROP_FLIP, 9)
    loader = DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=num_workers)
    assert torch.equal(torch.cat([batch.inputs for batch in loader]), views(split, keys, seed=9))


# Unreadable pictures


@pytest.mark.parametrize("augmentation", [None, CROP_FLIP], ids=["clean", "augmented"])
@pytest.mark.parametrize("index", [1, 2])
def test_picture_dataset__unreadable_picture_is_a_record(broken, index, augmentation):
    sample = PictureDataset(broken, SPEC, augmentation)[index]
    assert sample.image is None
    assert (sample.target, sample.position) == (index, index)
    assert sample.unreadable is not None
    assert sample.unreadable.path == broken.paths[index]


def test_picture_dataset__record_says_what_the_decoder_said(broken):
    with pytest.raises(ImageError) as caught:
        decode_image(broken.paths[1])
    unreadable = PictureDataset(broken, SPEC)[1].unreadable
    assert unreadable is not None
    assert unreadable.reason == caught.value.got


def test_collate__keeps_readable_and_unreadable_apart(broken):
    dataset = PictureDataset(broken, SPEC)
    batch = collate([dataset[index] for index in (3, 1, 0, 2)])
    assert batch.inputs.shape == (2, 3, 24, 24)
    assert batch.targets.tolist() == [3, 0]
    assert batch.positions.tolist() == [3, 0]
    assert [path for path, _ in batch.unreadable] == [broken.paths[1], broken.paths[2]]


def test_collate__types(split):
    dataset = PictureDataset(split, SPEC)
    batch = collate([dataset[0], dataset[1]])
    assert (batch.inputs.dtype, batch.targets.dtype, batch.positions.dtype) == (torch.uint8, torch.int64, torch.int64)


def test_collate__keeps_the_order(split):
    dataset = PictureDataset(split, SPEC)
    batch = collate([dataset[index] for index in (8, 2, 30)])
    assert batch.positions.tolist() == [8, 2, 30]
    assert torch.equal(batch.inputs, views(split, (8, 2, 30), None))


@pytest.mark.parametrize("indices", [[], [1, 2]], ids=["no keys", "unreadable only"])
def test_collate__empty_batch(broken, indices):
    dataset = PictureDataset(broken, SPEC)
    batch = collate([dataset[index] for index in indices])
    assert (len(batch.inputs), len(batch.targets), len(batch.positions)) == (0, 0, 0)
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.uint8, torch.int64)
    assert len(batch.unreadable) == len(indices)


def test_collate__sample_without_picture_or_record():
    assert collate([Sample(None, 0, 0, None)]).unreadable == []


# File names


def test_picture_dataset__file_name_that_is_no_utf8(tmp_path):
    name = os.fsdecode("caf\xe9.png".encode("latin-1"))
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "plain.png")
        os.rename(tmp_path / folder / "plain.png", tmp_path / folder / name)
    found = scan_split("train", tmp_path, ("a", "b"))
    sample = PictureDataset(found, SPEC)[1]
    assert sample.image is not None
    assert torch.equal(sample.image, SPEC.clean_view(decode_image(Image.fromarray(pixels))))


def test_picture_dataset__unreadable_file_name_that_is_no_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    unreadable = PictureDataset(Split("val", [path], [0]), SPEC)[0].unreadable
    assert unreadable is not None
    assert unreadable.path == path


def test_picture_dataset__long_and_short_names_together(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.png", "ä" * 60 + ".png", "犬.png")]
    for shade, path in enumerate(paths):
        Image.fromarray(np.full((24, 24, 3), 50 + shade, np.uint8)).save(path)
    found = views(Split("train", paths, [0, 1, 2]), range(3), None)
    assert found[:, 0, 0, 0].tolist() == [50, 51, 52]


# A number of views


def counted(split: Split, count: int, seed: int = 0) -> PictureDataset:
    return PictureDataset(split, SPEC, CROP_FLIP, seed, count)


def image_of(dataset: PictureDataset, epoch: int, index: int) -> torch.Tensor:
    image = dataset[(epoch, index)].image
    assert image is not None
    return image


def test_counted_views__come_in_turn_the_clean_one_first(split):
    dataset = counted(split, 3)
    found = [image_of(dataset, epoch, 5) for epoch in range(7)]
    assert torch.equal(found[0], SPEC.clean_view(decode_image(split.paths[5])))
    assert len({view.numpy().tobytes() for view in found[:3]}) == 3
    for epoch in range(3, 7):
        assert torch.equal(found[epoch], found[epoch % 3])


def test_counted_views__depend_on_seed_view_and_picture_alone(split, tmp_path):
    moved = tmp_path / "renamed.jpg"
    moved.write_bytes(Path(split.paths[5]).read_bytes())
    alone = Split("val", [str(moved)], [0])
    for view in (1, 2):
        assert torch.equal(image_of(counted(alone, 9), view, 0), image_of(counted(split, 3), view, 5))
    assert not torch.equal(image_of(counted(split, 3, 1), 1, 5), image_of(counted(split, 3), 1, 5))
    twice = Split("train", [split.paths[0]] * 2, [0, 0])
    assert torch.equal(image_of(counted(twice, 2), 1, 0), image_of(counted(twice, 2), 1, 1))


def test_counted_views__of_different_pictures_differ_in_their_chance(tmp_path):
    """Two pictures alike in all but one pixel's last bit are cropped differently."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None] * 4, (60, 60, 3)).copy()
    paths = []
    for number in range(4):
        ramp[0, number, 0] ^= 1
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(ramp).save(paths[-1])
    dataset = counted(Split("train", paths, [0] * 4), 2)
    assert len({image_of(dataset, 1, index).numpy().tobytes() for index in range(4)}) == 4


def test_counted_views__without_an_augmentation_are_clean(split):
    dataset = PictureDataset(split, SPEC, None, 0, 1)
    assert torch.equal(image_of(dataset, 4, 2), SPEC.clean_view(decode_image(split.paths[2])))


@pytest.mark.parametrize("epoch", [0, 1])
def test_counted_views__unreadable_picture_is_a_record(broken, epoch):
    dataset = counted(broken, 2)
    assert [dataset[(epoch, index)].unreadable is not None for index in range(4)] == [False, True, True, False]
