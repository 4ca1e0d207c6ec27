"""A picture to try an endpoint with."""

from __future__ import annotations

import io
from pathlib import Path

from launch.hosting.steps import read_picture


def trial_picture(artifact: Path, given: str | None) -> bytes:
    """The file that was given, else one of the artifact's own pictures, else one that is drawn.

    Raises:
        ConfigError: the file cannot be read.
    """
    from dogbreed.serving.artifact import thumbnail_path

    if given is not None:
        return read_picture(Path(given).expanduser())
    own = thumbnail_path(artifact, 0)
    return own.read_bytes() if own.is_file() else _drawn()


def _drawn() -> bytes:
    import numpy as np

    from dogbreed.data.breeds import BREEDS
    from dogbreed.data.sample import draw_picture

    file = io.BytesIO()
    draw_picture(BREEDS[0], np.random.default_rng(0)).save(file, "JPEG")
    return file.getvalue()
