"""Damaged checkpoints: the same state, or refused; one of other values is resumed from, or refused."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import dogbreed.train
from dogbreed.errors import CheckpointError
from dogbreed.training.interruption import LAST, check_checkpoint
from tests.fuzzing.bases import SMALL_RUN, make_photos, make_run
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.commands import ends
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes

_RESUMED = 0.05  # of the cases: each takes a second


class Cases:
    """A case is a change of a run's last checkpoint."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._run, self._photos, self._work = make_run(bases), make_photos(bases), work / "run"
        self._content = (self._run / "checkpoints" / LAST).read_bytes()
        self._state = torch.load(self._run / "checkpoints" / LAST, weights_only=True)

    def make(self, rng: random.Random, number: int) -> Case:
        """A change of bytes; or of values, by which a run goes on."""
        if rng.random() < _RESUMED:
            return {"changes": draw_changes(self._state, number)}
        return {"splices": draw_splices(self._content, rng, self._content)}

    def check(self, case: Case) -> str:
        """It holds what was saved, or is refused."""
        if "changes" in case:
            return self._resume(case)
        self._work.mkdir(exist_ok=True)
        path = self._work / LAST
        path.write_bytes(splice(self._content, case["splices"]))
        try:
            check_checkpoint(path)
        except CheckpointError:
            return "refused"
        if not equal(torch.load(path, weights_only=True, mmap=True), self._state):
            wrong("a damaged checkpoint passes", case["splices"])
        return "right"

    def _resume(self, case: Case) -> str:
        """The real command goes on from a checkpoint of other values."""
        shutil.rmtree(self._work, ignore_errors=True)
        (self._work / "checkpoints").mkdir(parents=True)
        for name in ("best.ckpt", LAST):
            shutil.copy(self._run / "checkpoints" / name, self._work / "checkpoints")
        torch.save(change(self._state, case["changes"]), self._work / "checkpoints" / LAST)
        settings = [f"data.root={self._photos}", f"hydra.run.dir={self._work}", "trainer.max_epochs=3"]
        faster = ["logger=none", "report=false", "health=none", "data.batch_size=4", "resume=true"]
        with patch.object(sys, "argv", ["train", *SMALL_RUN, *settings, *faster]):
            return ends(dogbreed.train.main)


def equal(one: Any, other: Any) -> bool:
    """Whether two states are the same, to the bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return repr(one) == repr(other)
