"""An export as the engine of a Predictor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dogbreed.errors import ArtifactError
from dogbreed.exports.formats import Forward, export_folder, load_format
from dogbreed.exports.writing import DESCRIPTION, checksums
from dogbreed.serving.artifact import Artifact


def load_forward(directory: Path, engine: str, artifact: Artifact) -> Forward:
    """The function from uint8 views (B, 3, S, S) to logits float32 (B, C) of an artifact's export.

    Args:
        directory: of the artifact.
        engine: the format's name.
        artifact: what was loaded from `directory`.

    Raises:
        ConfigError: there is no such format, or a package that it needs is missing.
        ArtifactError: there is no such export, it is damaged, or another classifier's.
    """
    form = load_format(engine)
    folder = export_folder(directory, engine)
    command = f"python -m dogbreed.export --artifact {directory} --format {engine} --pictures FOLDER"
    about, again = _read(folder, command), f"export it again: {command}"
    if about.get("format") != engine or about.get("weights_sha256") != artifact.about["weights_sha256"]:
        raise ArtifactError(f"{folder} is another classifier's", "the export of these weights", again)
    try:
        if about.get("files") != checksums(folder):
            raise _damaged(folder, "its files are not those that were written (checksum)", command)
        return form.load(folder)
    except ArtifactError:
        raise
    except Exception as error:  # the runtimes raise whatever a file of another release makes them stumble over
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"{folder} cannot be loaded: {reason}", "an export by this release", again) from error


def _read(folder: Path, command: str) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"no {path}", "an export of this artifact", f"make one: {command}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error), command) from error
    if not isinstance(about, dict):
        raise _damaged(path, "it describes no export", command)
    return about


def _damaged(path: Path, reason: str, command: str) -> ArtifactError:
    return ArtifactError(f"{path} is damaged: {reason}", "an export as it was written", f"export it again: {command}")
