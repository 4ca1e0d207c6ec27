"""Damaged feature caches: the right features, to the bit, or a clear error; never what was damaged."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import torch

from dogbreed.errors import DogbreedError
from dogbreed.features import cache
from dogbreed.features.__main__ import main as features
from dogbreed.models.backbones import make_backbone
from tests.conftest import BACKBONE
from tests.features.parts import all_features, dataset, load
from tests.fuzzing.bases import alone, make_photos
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.commands import ends
from tests.fuzzing.splices import draw_splices, splice

_BATCH = 4


class Cases:
    """A case is what changes in one file or two of a cache."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._root, self._work = bases / "cache", work / "cache"
        torch.manual_seed(0)
        self._backbone = make_backbone(**BACKBONE)  # type: ignore[arg-type]
        cache.CHUNK_ROWS = _BATCH  # several chunks of so few pictures
        with alone(bases):
            self._photos = dataset(self._backbone, make_photos(bases))
            self._expected = self._features(self._root)

    def make(self, rng: random.Random, number: int) -> Case:
        """Changes of bytes; and who reads the cache first."""
        files = sorted(path for path in self._root.rglob("*") if path.is_file() and path.name != "lock")
        changes = {}
        for path in rng.sample(files, rng.choice((1, 1, 2))):
            changes[path.relative_to(self._root).name] = draw_splices(
                path.read_bytes(), rng, rng.choice(files).read_bytes()
            )
        return {"changes": changes, "first": rng.choice(("load", "load", "list", "verify"))}

    def check(self, case: Case) -> str:
        """A pass over the cache gives the undamaged features."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._root, self._work)
        for name, splices in case["changes"].items():
            for path in self._work.rglob(name):
                path.write_bytes(splice(path.read_bytes(), splices))
        if case["first"] != "load":
            with patch.object(sys, "argv", ["features", "--root", str(self._work), case["first"]]):
                self._look()
        try:
            found = self._features(self._work)
        except DogbreedError:
            return "refused"
        if not torch.equal(found, self._expected):
            wrong("other features", float((found - self._expected).abs().max()))
        return "right"

    def _look(self) -> None:
        """`verify` also ends with 1 where it has told what is damaged."""

        def run() -> int:
            return min(features(), 0)

        ends(run)

    def _features(self, root: Path) -> torch.Tensor:
        loaded = load(root, self._backbone, {"train": self._photos}, batch_size=_BATCH)
        return all_features(loaded.views["train"])
