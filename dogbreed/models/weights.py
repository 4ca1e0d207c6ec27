"""Reading weights from a file, without ever running what is in it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dogbreed.errors import WeightsError


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file or of a state dict saved by `torch.save`.

    Raises:
        WeightsError: there is no such file, it is damaged, or it holds anything but named tensors (a whole
            pickled model, or code).
    """
    path = Path(path)
    allowed = "a safetensors file, or a state dict saved by torch.save"
    if not path.is_file():
        raise WeightsError(
            got=f"no weights file at {path}",
            allowed=allowed,
            hint="set backbone.weights to a file, to pretrained (downloaded), or to none (untrained)",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            got=f"{path} holds more than tensors: {_named_in(error)}",
            allowed=allowed,
            hint="nothing of it was run; save the model's state_dict() alone, best as safetensors",
        ) from error
    except Exception as error:  # the readers raise whatever a broken file makes them stumble over
        raise WeightsError(
            got=f"{path} ({path.stat().st_size:,} bytes) cannot be read: {error or type(error).__name__}",
            allowed=allowed,
            hint="the file may be cut short; fetch or save it again",
        ) from error
    named = isinstance(found, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items())
    if not named:
        kind = f"a dictionary of {_some(found)}" if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise WeightsError(f"{path} holds {kind}", "a dictionary of named tensors", "save the state_dict alone")
    return dict(found)


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], classifiers: Sequence[str], source: str) -> None:
    """Load `weights` into a backbone whose own classifier has been taken off.

    Every entry of the model must be there, in its shape; what is left over must belong to the classifier.

    Args:
        model: the network without its classifier.
        weights: named tensors.
        classifiers: names of the modules that were taken off.
        source: where the weights come from, for the message.

    Raises:
        WeightsError: the weights are another network's; says what was found.
    """
    wanted = model.state_dict()
    ours = {k: v for k, v in weights.items() if not k.startswith(tuple(f"{name}." for name in classifiers))}
    missing = sorted(wanted.keys() - ours.keys())
    extra = sorted(ours.keys() - wanted.keys())
    shapes = [
        f"{key} is {tuple(ours[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in ours and ours[key].shape != wanted[key].shape
    ]
    if missing or extra or shapes:
        faults = [
            f"{len(missing)} of {len(wanted)} entries missing ({_some(missing)})" if missing else "",
            f"{len(extra)} unknown ({_some(extra)})" if extra else "",
            f"{len(shapes)} of another shape ({_some(shapes)})" if shapes else "",
        ]
        raise WeightsError(
            got=f"{source} does not fit {type(model).__name__}: " + "; ".join(fault for fault in faults if fault),
            allowed="weights of this very architecture, from the same library",
            hint="choose the backbone that the file belongs to (backbone=...), or another file (backbone.weights=...)",
        )
    model.load_state_dict(ours)


def _some(names: object) -> str:
    listed = [str(name) for name in names] if isinstance(names, list | Mapping) else [str(names)]
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _named_in(error: Exception) -> str:
    """The line of torch's message that names what it refused."""
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "nsupported" in line]
    return lines[0] if lines else str(error).splitlines()[0]
