"""An export that is missing, damaged or another's is an error that says how to make it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dogbreed.errors import ArtifactError, ConfigError
from dogbreed.exports.loading import load_forward
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.predictor import Predictor


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """The artifact with its export, for one test to damage as it likes."""
    return Path(shutil.copytree(exported, tmp_path / "exported"))


def test_load__names_the_command_where_there_is_no_export(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=f"dogbreed.export --artifact {artifact} --format torch_export"):
        Predictor.load(artifact, engine="torch_export")


def test_load__suggests_the_engine_that_was_meant(artifact: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean torch_export"):
        Predictor.load(artifact, engine="torch-export")


@pytest.mark.parametrize("key", ["weights_sha256", "format"])
def test_load__refuses_another_classifiers_export(key: str, copied: Path) -> None:
    file = copied / "exports/torch_export/export.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: "0" * 64}))
    with pytest.raises(ArtifactError, match="another classifier's"):
        load_forward(copied, "torch_export", load_artifact(copied))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": ' * 5000])
def test_load__refuses_a_damaged_description(content: str, copied: Path) -> None:
    (copied / "exports/torch_export/export.json").write_text(content)
    with pytest.raises(ArtifactError, match="export it again"):
        load_forward(copied, "torch_export", load_artifact(copied))


def test_load__refuses_a_damaged_file(copied: Path) -> None:
    file = copied / "exports/torch_export/model.pt2"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="checksum"):
        load_forward(copied, "torch_export", load_artifact(copied))


def test_load__refuses_a_lost_or_added_file(copied: Path) -> None:
    (copied / "exports/torch_export/more.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match="checksum"):
        load_forward(copied, "torch_export", load_artifact(copied))
