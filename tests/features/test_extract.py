"""The pass gives every picture's features, whatever the batches, the workers and the order."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dogbreed.data.dataset import PictureDataset, Unreadable
from dogbreed.data.images import picture_digest
from dogbreed.features.engines import Forward, TorchEngine
from dogbreed.features.extract import extract
from dogbreed.features.reading import Tasks
from dogbreed.models.backbones import Backbone
from tests.features.parts import dataset, difference, of_paths, plain_features


def tasks_of(count: int, views: int = 1) -> Tasks:
    return np.array([(0, index, view) for index in range(count) for view in range(views)], np.int64).reshape(-1, 3)


def contents(pictures: PictureDataset) -> list[str]:
    return [picture_digest(Path(path).read_bytes()) if Path(path).is_file() else "" for path in pictures.paths]


def run(
    engine: TorchEngine, pictures: PictureDataset, tasks: Tasks, digests: list[str] | None = None, **settings: int
) -> tuple[list[int], Tensor, list[Unreadable]]:
    passed = list(extract([pictures], [digests or contents(pictures)], tasks, engine, **settings))
    done = [int(number) for part in passed for number in part.done]
    features = torch.cat([part.features for part in passed]) if passed else torch.empty(0)
    return done, features, [picture for part in passed for picture in part.unreadable]


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    from dogbreed.models.backbones import make_backbone

    return TorchEngine(make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=32))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 0), (16, 1), (7, 2), (100, 2)])
def test_extract__equals_the_backbone_for_any_batches_and_workers(
    backbone: Backbone, engine: TorchEngine, shared_folder: Path, batch_size: int, workers: int
) -> None:
    pictures = dataset(backbone, shared_folder)
    done, features, unreadable = run(engine, pictures, tasks_of(32), batch_size=batch_size, workers=workers)
    assert (done, unreadable) == (list(range(32)), [])
    assert difference(features, plain_features(backbone, pictures)) < 1e-5


def test_extract__equals_the_backbone_in_any_order(
    backbone: Backbone, engine: TorchEngine, shared_folder: Path
) -> None:
    pictures, order = dataset(backbone, shared_folder), torch.randperm(32, generator=torch.Generator().manual_seed(0))
    done, features, _ = run(engine, pictures, tasks_of(32)[order.numpy()], workers=0)
    assert done == list(range(32))
    assert difference(features, plain_features(backbone, pictures)[order]) < 1e-5


def test_extract__same_batches_give_the_same_bits_in_any_number_of_processes(
    backbone: Backbone, engine: TorchEngine, shared_folder: Path
) -> None:
    pictures, threads = dataset(backbone, shared_folder, views=2), torch.get_num_threads()
    found = []
    for workers, used in ((0, 1), (1, 1), (2, 1), (0, 2)):
        torch.set_num_threads(used)
        try:
            found.append(run(engine, pictures, tasks_of(32, 2), batch_size=5, workers=workers)[1])
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(features, found[0]) for features in found)


def test_extract__nothing_to_do(backbone: Backbone, engine: TorchEngine, shared_folder: Path) -> None:
    assert run(engine, dataset(backbone, shared_folder), tasks_of(0))[0] == []


class Pixels:
    """An engine that hands out what it is given."""

    num_features, device, decoder, identity = 3 * 32 * 32, "cpu", None, {"engine": "pixels"}

    def load(self) -> Forward:
        return lambda images: images.flatten(1).float()


@pytest.mark.parametrize("workers", [0, 2])
def test_extract__views_are_those_of_training_on_pixels_bit_for_bit(
    backbone: Backbone, shared_folder: Path, workers: int
) -> None:
    pictures = dataset(backbone, shared_folder, views=3, seed=5)
    order = np.random.default_rng(0).permutation(96)
    _, found, _ = run(Pixels(), pictures, tasks_of(32, 3)[order], batch_size=10, workers=workers)  # type: ignore[arg-type]
    for place, (_, index, view) in zip(range(96), tasks_of(32, 3)[order], strict=True):
        image = pictures[(int(view) + 3 * (place % 4), int(index))].image  # any epoch that reads this view
        assert image is not None
        assert torch.equal(found[place], image.flatten().float())


@pytest.mark.parametrize("workers", [0, 2])
def test_extract__leaves_out_and_names_what_cannot_be_read(
    backbone: Backbone, engine: TorchEngine, folder: Path, workers: int
) -> None:
    pictures = dataset(backbone, folder, views=2)
    digests = contents(pictures)
    truncated, vanished, changed, folded = (Path(pictures.path(index)) for index in (0, 5, 6, 31))
    truncated.write_bytes(truncated.read_bytes()[:500])
    digests[0] = picture_digest(truncated.read_bytes())
    vanished.unlink()
    shutil.copy(pictures.path(20), changed)
    folded.unlink()
    folded.mkdir()
    done, features, unreadable = run(engine, pictures, tasks_of(32, 2), digests, batch_size=4, workers=workers)
    good = [index for index in range(32) if index not in (0, 5, 6, 31)]
    assert done == [2 * index + view for index in good for view in (0, 1)]
    assert {picture.path for picture in unreadable} == set(map(str, (truncated, vanished, changed, folded)))
    reasons = {picture.path: picture.reason for picture in unreadable}
    assert "no such file" in reasons[str(vanished)]
    assert "changed" in reasons[str(changed)]
    others = of_paths(backbone, [pictures.path(index) for index in good])
    assert difference(features[::2], plain_features(backbone, others)) < 1e-5


def test_extract__a_batch_without_a_readable_picture(backbone: Backbone, engine: TorchEngine, tmp_path: Path) -> None:
    pictures = of_paths(backbone, [tmp_path / "one.jpg", tmp_path / "two.jpg"])
    done, features, unreadable = run(engine, pictures, tasks_of(2), workers=0)
    assert (done, features.shape, len(unreadable)) == ([], (0, engine.num_features), 2)


@pytest.mark.parametrize("broken", ["vanished", "no picture"])
def test_extract__says_the_same_as_pixels_of_a_broken_picture(
    backbone: Backbone, engine: TorchEngine, folder: Path, broken: str
) -> None:
    pictures = dataset(backbone, folder, views=2)
    path = Path(pictures.path(3))
    if broken == "vanished":
        path.unlink()
    else:
        path.write_bytes(b"no picture")
    said = pictures[(0, 3)].unreadable
    assert run(engine, pictures, tasks_of(32), workers=0)[2] == [said]
