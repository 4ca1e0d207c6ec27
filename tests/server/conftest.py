"""Servers as their users start them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed.serving.predictor import Predictor
from tests.server.asking import Running, serving


@pytest.fixture(scope="session")
def server(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the trained run's artifact with small limits, for all tests that leave it running."""
    log = tmp_path_factory.mktemp("server") / "log.jsonl"
    limits = ["--max-body-mb", "1", "--max-pixels", "1000000", "--batch-size", "8"]
    with serving(trained_run / "artifact", log, *limits) as running:
        yield running


@pytest.fixture(scope="session")
def predictor(trained_run: Path) -> Predictor:
    """The same classifier in this process."""
    return Predictor.load(trained_run / "artifact")


@pytest.fixture(scope="session")
def photos(shared_folder: Path) -> list[bytes]:
    """The test pictures' contents."""
    return [path.read_bytes() for path in sorted((shared_folder / "test").glob("*/*.jpg"))]
