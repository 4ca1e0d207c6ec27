"""From an artifact to its export: written, judged on real pictures, and only then put in place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from dogbreed.data.images import picture_digest
from dogbreed.errors import ConfigError
from dogbreed.exports.formats import PRECISIONS, export_folder, load_format, versions
from dogbreed.exports.judging import Judged, judge, read_views, refuse_worse, spread
from dogbreed.features.conversion import CALIBRATION_PICTURES, Normalising
from dogbreed.features.fusion import fuse
from dogbreed.files import new_folder, write_json
from dogbreed.serving.artifact import Artifact, load_artifact

DESCRIPTION = "export.json"


class Exported(NamedTuple):
    """Which classifier was exported, where to, and how the export compares with torch."""

    model: str
    folder: Path
    judged: Judged


def export(
    directory: Path, name: str, pictures: Sequence[str], *, precision: str = "fp32", calibrate: Sequence[str] = ()
) -> Exported:
    """Export a classifier into its artifact's directory, where an earlier export in this format is replaced.

    Args:
        directory: of the artifact.
        name: of the format.
        pictures: files to judge it on, best in folders named after their classes.
        precision: "fp32", or "int8", OpenVINO's alone.
        calibrate: for int8, files that show how large the activations become: of train, none of `pictures`.

    Raises:
        ArtifactError: the artifact is missing or damaged.
        ConfigError: the format, precision or pictures cannot be, a package is missing, or the export is worse than is
            allowed; nothing is written then.
        OutputError: it cannot be written.
    """
    form, artifact = load_format(name), load_artifact(directory)
    examples = _examples(artifact, name, precision, pictures, calibrate)
    size = artifact.backbone.transform.size
    target = export_folder(directory, name)
    try:
        with new_folder(target) as folder:
            form.write(make_graph(artifact), size, folder, examples)
            judged = judge(artifact, form.load(folder), pictures)
            refuse_worse(judged, precision)
            write_json(folder / DESCRIPTION, _describe(artifact, name, precision, judged, folder))
    finally:
        with suppress(OSError):  # there are other exports, or this one
            target.parent.rmdir()
    return Exported(artifact.identity, target, judged)


def make_graph(artifact: Artifact) -> nn.Module:
    """The network from uint8 (B, 3, S, S) to logits (B, C), BatchNorm folded away; the temperature is Predictor's."""
    backbone = artifact.backbone
    return nn.Sequential(Normalising(backbone, fuse(backbone.network)), artifact.head).eval().requires_grad_(False)


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of an export but its description."""
    files = sorted(path for path in folder.iterdir() if path.name != DESCRIPTION)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _describe(artifact: Artifact, name: str, precision: str, judged: Judged, folder: Path) -> dict[str, Any]:
    form, size = load_format(name), artifact.backbone.transform.size
    return {
        "format": name,
        "precision": precision,
        "weights_sha256": artifact.about["weights_sha256"],
        "input": {"dtype": "uint8", "shape": ["B", 3, size, size]},
        "output": {"dtype": "float32", "shape": ["B", len(artifact.class_names)]},
        "versions": versions(("dogbreed", "torch", *form.PACKAGES), name, form.INSTALL),
        "checked": asdict(judged),
        "files": checksums(folder),
    }


def _examples(
    artifact: Artifact, name: str, precision: str, pictures: Sequence[str], calibrate: Sequence[str]
) -> Tensor | None:
    if precision not in PRECISIONS:
        raise ConfigError(f"the precision {precision!r}", " or ".join(PRECISIONS), "set --precision")
    if precision == "fp32":
        if calibrate:
            raise ConfigError("pictures to calibrate fp32 on", "none: only int8 calibrates", "leave out --calibrate")
        return None
    if name != "openvino":
        raise ConfigError(
            f"int8 in {name}",
            "int8 in openvino: its quantisation is the one that is calibrated and checked here",
            "--format openvino, or --precision fp32",
        )
    chosen = spread(calibrate, CALIBRATION_PICTURES)
    shared = _contents(chosen) & _contents(pictures)
    if not chosen or shared:
        raise ConfigError(
            f"{len(shared):,} pictures to calibrate on that it is also judged on"
            if shared
            else "int8 without pictures to calibrate on",
            f"{CALIBRATION_PICTURES} or more of train, none of those that it is judged on",
            "name their folder: --calibrate DATA/train",
        )
    examples = read_views(artifact, chosen)
    if not len(examples):
        raise ConfigError("no picture to calibrate on that can be read", "pictures of train", "set --calibrate")
    return examples


def _contents(paths: Sequence[str]) -> set[str]:
    found = set()
    for path in paths:
        with suppress(OSError):  # who decodes it says so
            found.add(picture_digest(Path(path).read_bytes()))
    return found
