"""An export answers as torch does, or it is not written."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed.errors import ConfigError
from dogbreed.exports import judging
from dogbreed.exports.formats import FORMATS
from dogbreed.exports.loading import load_forward
from dogbreed.exports.writing import export
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.predictor import Predictor


def needed(name: str) -> None:
    """Skip where the packages of a format are not installed."""
    for package in {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"needs the package {package}")


@pytest.mark.parametrize("name", FORMATS)
def test_export__answers_as_torch_does_in_batches_of_any_size(
    name: str, artifact: Path, photos: list[str], shared_folder: Path
) -> None:
    needed(name)
    judged = export(artifact, name, photos).judged
    plain, exported = Predictor.load(artifact), Predictor.load(artifact, engine=name)
    for size in (1, 3, 16):
        views = torch.stack([plain.view(path) for path in photos[:size]])
        assert torch.allclose(exported.probs(views), plain.probs(views), atol=1e-5)

    assert (judged.pictures, judged.unreadable, judged.labelled, judged.agreement) == (16, 0, 16, 1)
    assert judged.accuracy == judged.accuracy_torch


def test_export__describes_itself(exported: Path) -> None:
    folder, artifact = exported / "exports/torch_export", load_artifact(exported)
    about = json.loads((folder / "export.json").read_text())

    assert about["weights_sha256"] == artifact.about["weights_sha256"]
    assert about["input"]["shape"] == ["B", 3, *[artifact.backbone.transform.size] * 2]
    assert about["output"]["shape"] == ["B", 4]
    assert sorted(about["files"]) == sorted(path.name for path in folder.iterdir() if path.name != "export.json")


def test_export__tells_nothing_of_the_machine_it_was_made_on(exported: Path) -> None:
    content = (exported / "exports/torch_export/model.pt2").read_bytes()

    assert os.fsencode(Path(torch.__file__).parent) not in content
    assert os.fsencode(Path(judging.__file__).parents[1]) not in content


def test_export__counts_pictures_that_cannot_be_read(artifact: Path, photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    judged = export(artifact, "torch_export", [*photos[:3], str(tmp_path / "bad.jpg")]).judged

    assert (judged.pictures, judged.unreadable) == (3, 1)


def test_export__knows_no_accuracy_without_labels(artifact: Path, photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "any.jpg").write_bytes(Path(photos[0]).read_bytes())
    judged = export(artifact, "torch_export", [str(tmp_path / "any.jpg")]).judged

    assert (judged.labelled, judged.accuracy, judged.accuracy_torch) == (0, None, None)


def test_export__that_is_worse_leaves_nothing(
    artifact: Path, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "ALLOWED_DIFFERENCE", -1.0)
    with pytest.raises(ConfigError, match="a logit off by"):
        export(artifact, "torch_export", photos)

    assert not (artifact / "exports").exists()


def test_export__that_is_worse_leaves_the_one_before(
    exported: Path, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "ALLOWED_DIFFERENCE", -1.0)
    with pytest.raises(ConfigError):
        export(exported, "torch_export", photos)

    monkeypatch.undo()
    forward = load_forward(exported, "torch_export", load_artifact(exported))
    assert forward(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 4)
    assert [path.name for path in (exported / "exports").iterdir()] == ["torch_export"]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("torch_export", {"precision": "int8"}, "--format openvino"),
        ("torch_export", {"precision": "fp16"}, "fp32 or int8"),
        ("torch_exprot", {}, "torch_export"),
        ("openvino", {"precision": "int8"}, "--calibrate"),
        ("torch_export", {"calibrate": ["train.jpg"]}, "only int8 calibrates"),
    ],
)
def test_export__refuses(name: str, settings: dict[str, Any], message: str, artifact: Path, photos: list[str]) -> None:
    needed(name)
    with pytest.raises(ConfigError, match=message):
        export(artifact, name, photos, **settings)

    assert not (artifact / "exports").exists()


def test_export__is_not_judged_on_what_it_was_calibrated_on(artifact: Path, photos: list[str], tmp_path: Path) -> None:
    needed("openvino")
    copy = tmp_path / "copy.jpg"  # known by its content
    copy.write_bytes(Path(photos[0]).read_bytes())
    with pytest.raises(ConfigError, match="1 pictures to calibrate on that it is also judged on"):
        export(artifact, "openvino", photos, precision="int8", calibrate=[str(copy)])


def test_onnx__says_what_environment_it_needs(artifact: Path, photos: list[str]) -> None:
    if find_spec("onnx") is not None:
        pytest.skip("onnx is installed")
    with pytest.raises(ConfigError, match=r"smdebug: python -m venv onnx-env .*\.\[onnx\]"):
        export(artifact, "onnx", photos)


@pytest.mark.slow
def test_int8__is_quantised_and_usable(artifact: Path, photos: list[str], shared_folder: Path) -> None:
    needed("openvino")
    if find_spec("nncf") is None:
        pytest.skip("needs the package nncf")
    train = sorted(map(str, (shared_folder / "train").glob("*/*.jpg")))
    _, folder, judged = export(artifact, "openvino", photos * 7, precision="int8", calibrate=train)

    assert b"FakeQuantize" in (folder / "model.xml").read_bytes()
    assert judged.largest_difference > 1e-4 * judged.largest_logit  # what fp32 may not be
    assert Predictor.load(artifact, engine="openvino")(photos[0]).top_k
