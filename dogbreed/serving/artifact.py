"""The artifact: one directory that says all there is to know about a trained classifier.

artifact.json   versions, backbone, head, transform, class names, calibration, look-alikes, metrics, data counts,
                checksum of the weights
weights.safetensors   backbone.* and head.*
README.md       the same for people: a model card
thumbnails/     if asked for, a picture of each class: 0000.jpg, ...
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor

from dogbreed.data.transforms import TransformSpec
from dogbreed.errors import ArtifactError, ConfigError, DogbreedError
from dogbreed.files import is_inside, new_folder, write_bytes, write_json, write_text
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.heads import Head, UnknownKindError, make_head
from dogbreed.serving.calibration import Calibration, LookAlikes
from dogbreed.serving.card import model_card
from dogbreed.serving.names import readable

FORMAT = 2
_READABLE = (1, 2)  # 1 had no calibration and no look-alikes
_THUMBNAILS = "thumbnails"
_JSON, _WEIGHTS, _CARD = "artifact.json", "weights.safetensors", "README.md"
_PACKAGES = ("torch", "torchvision", "timm", "pillow", "simplejpeg", "safetensors", "numpy")


@dataclass(frozen=True)
class Artifact:
    """A trained classifier as it was loaded.

    Attributes:
        backbone: frozen, with its weights and transform.
        head: with its trained weights.
        class_names: length C, in the order of the logits.
        about: everything in artifact.json.
        calibration: of its probabilities; None where there was no val to fit it on.
        look_alikes: of each class, in their order; empty where none are known.
        directory: where it was loaded from, if it was.
    """

    backbone: Backbone
    head: Head
    class_names: tuple[str, ...]
    about: dict[str, Any]
    calibration: Calibration | None = None
    look_alikes: LookAlikes = ()
    directory: Path | None = None

    @property
    def breeds(self) -> tuple[str, ...]:
        """The class names as people write them, length C."""
        return tuple(readable(name) for name in self.class_names)

    @property
    def identity(self) -> str:
        """Which classifier this is: its backbone's name and the start of its weights' checksum."""
        return f"{self.about['backbone']['name']}-{self.about['weights_sha256'][:12]}"

    def thumbnail(self, index: int) -> bytes | None:
        """A picture of the class, as a JPEG file's content; None where the artifact holds none of its own."""
        if self.directory is None:
            return None
        path = thumbnail_path(self.directory, index)
        return path.read_bytes() if path.is_file() and is_inside(path, self.directory) else None


def thumbnail_path(directory: Path, index: int) -> Path:
    """Where an artifact keeps the picture of a class."""
    return directory / _THUMBNAILS / f"{index:04d}.jpg"


def save_artifact(
    directory: str | Path,
    backbone: Backbone,
    head: Head,
    class_names: Sequence[str],
    *,
    metrics: Mapping[str, float] | None = None,
    counts: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
    calibration: Calibration | None = None,
    look_alikes: LookAlikes = (),
    thumbnails: Mapping[int, bytes] | None = None,
) -> Path:
    """Write an artifact, whole or not at all; one that was there is replaced.

    Args:
        directory: where.
        backbone: the frozen backbone.
        head: the trained head.
        class_names: the classes in the order of the logits.
        metrics: such as {"test/acc": 0.83}, for the card.
        counts: pictures of each split, for the card.
        notes: sentences that a user of the artifact should know.
        calibration: of its probabilities, fitted on val.
        look_alikes: what each class is confused with, length C, or empty.
        thumbnails: a JPEG file's content by class index.

    Raises:
        ConfigError: there is not one name for each output of the head.
        OutputError: it cannot be written.
    """
    if len(class_names) != head.num_classes:
        raise ConfigError(
            f"{len(class_names)} class names for a head of {head.num_classes} outputs",
            "one name for each output",
            "give the class names that the head was trained with",
        )
    directory = Path(directory)
    tensors = {f"backbone.{k}": v for k, v in backbone.network.state_dict().items()}
    tensors |= {f"head.{k}": v for k, v in head.state_dict().items()}
    weights = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    about = {
        "format": FORMAT,
        "backbone": {**backbone.source, "num_features": backbone.num_features},
        "head": {"kind": head.kind, **head.settings()},
        "head_module": type(head).__module__,
        "transform": backbone.transform.to_dict(),
        "class_names": list(class_names),
        "calibration": None if calibration is None else calibration.to_dict(),
        "look_alikes": [[[other, share] for other, share in others] for others in look_alikes],
        "metrics": dict(metrics or {}),
        "pictures": dict(counts or {}),
        "notes": list(notes),
        "versions": {"dogbreed": version("dogbreed"), "python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    with new_folder(directory) as folder:
        (folder / _WEIGHTS).write_bytes(weights)
        write_json(folder / _JSON, about)
        for index, content in (thumbnails or {}).items():
            write_bytes(thumbnail_path(folder, index), content)
        write_text(folder / _CARD, model_card(about))
    return directory


def load_artifact(directory: str | Path) -> Artifact:
    """The classifier that `save_artifact` wrote; needs no network, no Hydra and no training code.

    Raises:
        ArtifactError: it is missing, damaged, of a format or with a kind of head that is not known, or of a run that
            diverged.
    """
    directory = Path(directory)
    about = _read_about(directory)
    try:
        source = about["backbone"]
        backbone = make_backbone(source["library"], source["name"], tag=source["tag"], weights="none")
        backbone.source["weights"] = str(source["weights"])
        backbone.transform = TransformSpec.from_dict(about["transform"])
        settings = dict(about["head"])
        head = make_head(settings.pop("kind"), settings)
        class_names = tuple(str(name) for name in about["class_names"])
        expected = about["weights_sha256"]
        calibration = None if about.get("calibration") is None else Calibration.from_dict(about["calibration"])
        look_alikes = _read_look_alikes(about.get("look_alikes", []), len(class_names))
        _check_transform(backbone)
    except UnknownKindError as error:
        raise ArtifactError(f"{directory} has {error.got}", error.allowed, error.hint) from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, DogbreedError) as error:
        raise _damaged(directory / _JSON, f"its {_JSON} describes no classifier: {error!r}") from error
    tensors = _read_weights(directory / _WEIGHTS, expected)
    try:
        for part, module in (("backbone.", backbone.network), ("head.", head)):
            module.load_state_dict({k[len(part) :]: v for k, v in tensors.items() if k.startswith(part)})
    except RuntimeError as error:
        raise _damaged(directory / _WEIGHTS, f"its tensors do not fit its {_JSON}: {error}") from error
    if len(class_names) != head.num_classes:
        raise _damaged(directory / _JSON, f"{len(class_names)} class names for {head.num_classes} outputs")
    if not all(tensor.isfinite().all() for part in (head, backbone.network) for tensor in part.state_dict().values()):
        raise ArtifactError(
            f"{directory}: weights that are not finite", "those of a run that learned", "look at its run's report"
        )
    return Artifact(backbone, head.eval(), class_names, about, calibration, look_alikes, directory)


def _read_look_alikes(found: Any, num_classes: int) -> LookAlikes:
    """Raises TypeError or ValueError where they are not of these classes."""
    look_alikes = tuple(tuple((int(other), float(share)) for other, share in others) for others in found)
    known = all(0 <= other < num_classes and 0 <= share <= 1 for others in look_alikes for other, share in others)
    if not known or len(look_alikes) not in (0, num_classes):
        raise ValueError(f"look-alikes that are not of its {num_classes} classes")
    return look_alikes


def _check_transform(backbone: Backbone) -> None:
    """Read one small picture as the description says; whatever is wrong with it is raised by who stumbles over it."""
    transform = backbone.transform.with_size(backbone.transform.size)  # checks the size
    features = backbone(transform.clean_view(torch.zeros(3, 8, 8, dtype=torch.uint8)).unsqueeze(0))
    if not features.isfinite().all():
        raise ValueError(f"no finite features with mean {transform.mean} and std {transform.std}")


def _read_about(directory: Path) -> dict[str, Any]:
    path = directory / _JSON
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            got=f"no {_JSON} in {directory}",
            allowed="a directory that a run wrote: RUN/artifact",
            hint="train one: python -m dogbreed.train",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(about, dict) or about.get("format") not in _READABLE:
        found = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise ArtifactError(
            f"{path}: format {found!r}",
            f"format {FORMAT} or older",
            "load it with the release that wrote it, or train again",
        )
    return about


def _read_weights(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise _damaged(path, f"{len(data):,} bytes that are not those that were written (checksum)")
        return load(data)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        got=f"{path} is damaged: {reason}",
        allowed="an artifact as it was written",
        hint="copy it again from where it came, or take another run's",
    )
