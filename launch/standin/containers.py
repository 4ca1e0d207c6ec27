"""The containers of models: each answers by the very archive that its model names in S3."""

from __future__ import annotations

import tarfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from launch.errors import LaunchError
from launch.standin.moto import Moto

if TYPE_CHECKING:
    from dogbreed.serving.predictor import Predictor


class Containers:
    """What models answer by.

    Args:
        moto: that has the models and their archives.
        folder: to unpack the archives in.
    """

    def __init__(self, moto: Moto, folder: Path) -> None:
        self._moto, self._folder = moto, folder
        self._lock = threading.Lock()
        self._loaded: dict[str, Predictor] = {}

    def start(self, model: str) -> Predictor:
        """What a model answers by, unpacked as a container does.

        Raises:
            ArtifactError: its archive holds no artifact.
            LaunchError: there is no archive.
        """
        from dogbreed.serving.predictor import Predictor

        uri = self._moto.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]["ModelDataUrl"]
        with self._lock:
            if uri not in self._loaded:
                folder = self._folder / uuid.uuid4().hex
                self._moto.store.get(uri, folder / "model.tar.gz")
                try:
                    with tarfile.open(folder / "model.tar.gz") as archive:
                        archive.extractall(folder, filter="data")
                except (tarfile.TarError, EOFError) as error:
                    raise LaunchError(f"{uri} cannot be unpacked: {error}", "a .tar.gz", "send it again") from error
                self._loaded[uri] = Predictor.load(folder)
            return self._loaded[uri]
