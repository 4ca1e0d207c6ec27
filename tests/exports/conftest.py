"""An artifact with exports, made once by the real writer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dogbreed.exports.writing import export


@pytest.fixture(scope="session")
def photos(shared_folder: Path) -> list[str]:
    """Test pictures in folders named after their classes."""
    return sorted(map(str, (shared_folder / "test").glob("*/*.jpg")))


@pytest.fixture(scope="session")
def exported(trained_run: Path, photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run's artifact with its torch_export; not to be changed."""
    directory = tmp_path_factory.mktemp("exported") / "artifact"
    shutil.copytree(trained_run / "artifact", directory)
    export(directory, "torch_export", photos)
    return directory
