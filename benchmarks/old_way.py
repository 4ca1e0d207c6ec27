"""The old way, as notebooks do it: pictures from disk through the whole network, in every epoch of every trial."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

from dogbreed.data.transforms import TransformSpec

NUM_CLASSES = 133  # of the data set that such notebooks use
_OCTAVES = (4, 16, 64, 256)


def draw_pictures(
    folder: Path, number: int, size: tuple[int, int] = (603, 513), *, classes: int = 4, first: int = 0
) -> list[Path]:
    """Draw JPEGs as heavy as photographs, in one folder for each class; their paths, sorted.

    Clouds of every fineness, fainter the finer, as the spectrum of photographs falls: about 100 KB at the default
    size, which is the mean of a data set of dogs. Pictures that are there already stay.

    Args:
        folder: gets the folders of the classes.
        number: of pictures.
        size: width and height in pixels.
        classes: pictures are dealt out to them in turn.
        first: the seed of the first picture; no two that differ in it are the same.
    """
    paths = []
    for index in range(first, first + number):
        path = folder / f"{index % classes:03d}" / f"{index:06d}.jpg"
        paths.append(path)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_picture(index, size).save(path, quality=90)
    return sorted(paths)


def draw_picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """One such picture; the same for the same seed."""
    chance = np.random.default_rng(seed)
    picture = np.zeros((size[1], size[0], 3), np.float32)
    for octave in _OCTAVES:
        clouds = Image.fromarray(chance.integers(0, 256, (octave, octave, 3), np.uint8))
        picture += (np.asarray(clouds.resize(size, Image.Resampling.BILINEAR), np.float32) - 128) / octave**0.6
    grain = chance.integers(-10, 11, picture.shape, np.int8)
    return Image.fromarray((picture + grain + 128).clip(0, 255).astype(np.uint8))


class OldWay:
    """A pretrained network with a new last layer, the only one that learns; everything else as it comes.

    Args:
        architecture: of torchvision; with `fc` as its last layer.
        folder: one folder for each class.
        spec: size, mean and standard deviation that the network was made for.
        val: such a folder to measure on; None for the same.
        batch_size: pictures in a step.
        num_workers: of the DataLoader; 0 or 2 in such notebooks.
        device: "cpu" or "cuda".
        lr: of SGD.
    """

    def __init__(
        self,
        architecture: str,
        folder: Path,
        spec: TransformSpec,
        *,
        val: Path | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        device: str = "cpu",
        lr: float = 0.01,
    ) -> None:
        scale = [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
        flip = transforms.RandomHorizontalFlip()
        for_train = transforms.Compose([transforms.RandomResizedCrop(spec.size), flip, *scale])
        for_val = transforms.Compose([transforms.Resize(spec.resize), transforms.CenterCrop(spec.size), *scale])
        self.train_loader = DataLoader(
            datasets.ImageFolder(str(folder), for_train), batch_size, shuffle=True, num_workers=num_workers
        )
        self.val_loader = DataLoader(
            datasets.ImageFolder(str(val or folder), for_val), batch_size, num_workers=num_workers
        )
        self.device = device
        self.model = models.get_model(architecture, weights=None)
        for parameter in self.model.parameters():
            parameter.requires_grad = False
        self.model.fc = nn.Linear(self.model.fc.in_features, NUM_CLASSES)
        self.model.to(device)
        self.optimizer = torch.optim.SGD(self.model.fc.parameters(), lr=lr, momentum=0.9)
        self.criterion = nn.CrossEntropyLoss()

    def train_step(self, images: Tensor, targets: Tensor) -> None:
        """One step, BatchNorm and all in training mode."""
        self.model.train()
        images, targets = images.to(self.device), targets.to(self.device)
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(images), targets)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def val_step(self, images: Tensor, targets: Tensor) -> int:
        """How many of a batch are right."""
        self.model.eval()
        with torch.no_grad():
            return int((self.model(images.to(self.device)).argmax(1).cpu() == targets).sum())

    def steps(self, *, train: bool) -> Iterator[int]:
        """Do steps without end, epoch after epoch; the pictures of each."""
        while True:
            for images, targets in self.train_loader if train else self.val_loader:
                if train:
                    self.train_step(images, targets)
                else:
                    self.val_step(images, targets)
                yield len(targets)

    def sweep(self, trials: int, epochs: int) -> float:
        """All of it: every trial trains and measures anew in every epoch; seconds."""
        start = time.perf_counter()
        for _ in range(trials):
            self.model.fc.reset_parameters()
            for _ in range(epochs):
                for images, targets in self.train_loader:
                    self.train_step(images, targets)
                for images, targets in self.val_loader:
                    self.val_step(images, targets)
        return time.perf_counter() - start
