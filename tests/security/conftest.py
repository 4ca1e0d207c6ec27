"""Content that would run, had anything unpickled it."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.open, (str(self.path), os.O_CREAT)


@dataclass(frozen=True)
class Canary:
    """Files that give away whoever trusts them.

    Attributes:
        path: is there once one of them was run.
    """

    path: Path

    def pickle(self) -> bytes:
        """As pickle writes it."""
        return pickle.dumps(_Touch(self.path))

    def torch(self, *, legacy: bool = False) -> bytes:
        """As torch.save writes it, around tensors, as an archive or in its old form."""
        content = io.BytesIO()
        state = {"state_dict": {"weight": torch.zeros(2)}, "pytorch-lightning_version": "2", "more": _Touch(self.path)}
        torch.save(state, content, _use_new_zipfile_serialization=not legacy)
        return content.getvalue()

    def numpy(self) -> bytes:
        """As numpy.save writes an array of objects."""
        content = io.BytesIO()
        np.save(content, np.array([_Touch(self.path)], dtype=object), allow_pickle=True)
        return content.getvalue()

    def yaml(self) -> bytes:
        """As PyYAML's unsafe loader understands it."""
        return f'!!python/object/apply:os.open ["{self.path}", {os.O_CREAT}]\n'.encode()

    def all(self) -> dict[str, bytes]:
        """Each form by its name."""
        torches = {"torch": self.torch(), "legacy": self.torch(legacy=True)}
        return {"pickle": self.pickle(), "numpy": self.numpy(), "yaml": self.yaml(), **torches}


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """A canary that must not have sung when the test is over."""
    made = Canary(tmp_path / "sung")
    yield made
    assert not made.path.exists(), "what a file held was run"
