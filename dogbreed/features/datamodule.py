"""FeatureDataModule: the same batches, features instead of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.dataset import Batch, Key
from dogbreed.data.loading import BatchLoader, GlobalBatches, SplitLoaders
from dogbreed.features.views import FeatureViews


class FeatureDataModule(SplitLoaders):
    """The batches of a `BreedDataModule` with the same batch size and seed, of features computed before.

    Args:
        views: the features of "train", "val" and "test", as far as they are read.
        batch_size: pictures in a batch, over all processes together.
        seed: of the order.
        test_split: what `trainer.test` reads: "test", or another split to look into.
        source: whose pictures these are, for those who want to look at them.
    """

    def __init__(
        self,
        views: Mapping[str, FeatureViews],
        *,
        batch_size: int,
        seed: int = 0,
        test_split: str = "test",
        source: BreedDataModule | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, test_split=test_split)
        self.views = dict(views)
        self._source = source

    @property
    def source(self) -> BreedDataModule | None:
        """The pictures' own data module, if it is known."""
        return self._source

    def load(self, name: str, batches: Callable[[int], GlobalBatches], *, train: bool) -> BatchLoader:
        """Features of a split, read in this process: they are there already."""
        rows = _Rows(self.views[name], clean=not train)
        return BatchLoader(
            rows,
            batches(len(rows)),
            num_workers=0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,
        )


class _Rows(Dataset[Batch]):
    """Whole batches by their keys (epoch, index)."""

    def __init__(self, views: FeatureViews, *, clean: bool) -> None:
        self._views, self._clean = views, clean

    def __len__(self) -> int:
        return len(self._views)

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        positions = torch.tensor([index for _, index in keys], dtype=torch.int64)
        positions = positions[self._views.readable[positions]]
        epoch = 0 if self._clean or not keys else keys[0][0]
        return Batch(self._views.take(epoch, positions), self._views.targets[positions], positions, [])


def _as_it_is(batch: Any) -> Any:
    return batch
