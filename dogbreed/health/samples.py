"""What the rules see of a run: statistics of its tensors at some steps, every loss, and the machine meanwhile.

The live run, a recorded run, and what smdebug saved all become the same samples, so one rule judges all three.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Mode = Literal["TRAIN", "EVAL"]

#: The collections of smdebug, and what it has no collection for: `inputs` (normalised pixels, or features, as the
#: network reads them), and by the type of the layer: relu_outputs, tanh_inputs, sigmoid_inputs, activation_inputs.
COLLECTIONS = (
    "losses", "weights", "biases", "gradients", "inputs",
    "relu_outputs", "tanh_inputs", "sigmoid_inputs", "activation_inputs",
)  # fmt: skip


#: Raise it whenever the statistics below mean something else.
VERSION = 2


@dataclass(frozen=True)
class Measure:
    """How tensors are measured: the rules' parameters that matter before a rule sees a number.

    Attributes:
        rtol: relative tolerance with which a tensor counts as unchanged.
        tanh: between which inputs a tanh is not saturated.
        sigmoid: between which inputs a sigmoid is not saturated.
        version: of what is measured; a recording of another one cannot be judged.
    """

    rtol: float = 1e-5
    tanh: tuple[float, float] = (-9.4999, 9.4999)
    sigmoid: tuple[float, float] = (-23.0, 16.99999)
    version: int = VERSION


@dataclass(frozen=True)
class TensorStats:
    """A tensor at a step. Statistics are over its finite values; 0.0 where there is none.

    Attributes:
        collection: one of COLLECTIONS.
        size: number of values.
        zeros, nans, infs: how many of them are.
        mean, abs_mean, variance, l2: of the values; `l2` is the norm.
        p05, p95: percentiles, of a large tensor those of every n-th value; None where they were not asked for.
        update_l2: norm of the difference to the tensor's last sample in this mode; None for its first.
        update_max: the largest difference in it.
        excess: the largest |x - last| - rtol * |last|: unchanged means that it is at most atol; None for the first.
        active: of an activation, for each unit (feature or channel) the share of the batch, in [0, 1], in which it
            is active: above zero (relu_outputs) or not saturated (tanh_inputs, sigmoid_inputs).
    """

    collection: str
    size: int
    zeros: int
    nans: int
    infs: int
    mean: float
    abs_mean: float
    variance: float
    l2: float
    p05: float | None = None
    p95: float | None = None
    update_l2: float | None = None
    update_max: float | None = None
    excess: float | None = None
    active: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Sample:
    """What was seen of one mode up to and at a step; lists reach back to the mode's last sample.

    Attributes:
        step: in TRAIN the optimiser steps done before the newest batch, 0 for the first; in EVAL all those done.
        mode: TRAIN or EVAL (of val, never of test).
        epoch: from 0.
        seconds: since the start of the run.
        tensors: name -> statistics, at `step`; names as smdebug's.
        losses: (step, loss of the batch); in EVAL the step is the batch's number over all evaluations.
        durations: seconds of each step, waiting for data included.
        waits: seconds of each step spent waiting for data.
        pairs: (true class, predicted class, pictures).
        ends_epoch: whether an epoch of training, or an evaluation, ends here.
    """

    step: int
    mode: Mode
    epoch: int = 0
    seconds: float = 0.0
    tensors: Mapping[str, TensorStats] = field(default_factory=dict)
    losses: tuple[tuple[int, float], ...] = ()
    durations: tuple[float, ...] = ()
    waits: tuple[float, ...] = ()
    pairs: tuple[tuple[int, int, int], ...] = ()
    ends_epoch: bool = False


@dataclass(frozen=True)
class PictureStats:
    """The pictures as the backbone reads them, after normalisation.

    Attributes:
        pictures: how many were measured.
        mean: over all their pixels and channels.
        spread: standard deviation over the same; None where it is not known.
    """

    pictures: int
    mean: float
    spread: float | None = None


@dataclass(frozen=True)
class MachineSample:
    """The machine at a moment; every list by core or by GPU.

    Attributes:
        seconds: since the start of the run.
        cores: use of each core in percent.
        io_wait: share of each core's time spent waiting for the disk, in percent; empty where not known.
        memory: of this run's processes, in GiB.
        gpus: use of each GPU in percent.
        gpu_memory: use of each GPU's memory in percent.
        loaders: loader processes that are alive.
        training: whether the training loop ran.
    """

    seconds: float
    cores: tuple[float, ...] = ()
    io_wait: tuple[float, ...] = ()
    memory: float = 0.0
    gpus: tuple[float, ...] = ()
    gpu_memory: tuple[float, ...] = ()
    loaders: int = 0
    training: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of the run beside the samples: decides what applies, and fills in the remedies.

    Attributes:
        settings: dotted key -> value of the config; empty where it is not known (somebody else's job).
        defaults: dotted key -> the value that the chosen files of conf/ would give.
        num_classes: C; None where it is not known.
        class_names: length C, or empty.
        train_counts: pictures of each class in train, length C; None where they are not known.
        activations: types of the layers with activations that are watched, such as "relu"; None: not known.
        cores: of the machine.
        gpus: of the machine; None where that is not known.
        features: whether the run trains on features; None where that is not known.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    train_counts: tuple[int, ...] | None = None
    activations: tuple[str, ...] | None = None
    cores: int | None = None
    gpus: int | None = None
    features: bool | None = None


_ODD = "not_finite"
Event = Sample | PictureStats | MachineSample
_KINDS: dict[str, type[Any]] = {
    "sample": Sample, "pictures": PictureStats, "machine": MachineSample, "facts": Facts, "measure": Measure,
}  # fmt: skip
_USUAL = {cls: {entry.name: entry.default for entry in fields(cls)} for cls in (*_KINDS.values(), TensorStats)}


def to_json(event: Event | Facts | Measure) -> str:
    """The event as a line of JSON, without its defaults; what is no finite number is marked, JSON having no word."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(event, cls))
    plain = {"kind": kind, **_without_defaults(event)}
    if isinstance(event, Measure):
        plain["version"] = event.version
    if "tensors" in plain:
        plain["tensors"] = {name: _without_defaults(stats) for name, stats in plain["tensors"].items()}
    try:
        return json.dumps(plain, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_marked(plain), separators=(",", ":"))


def from_json(line: str) -> Event | Facts | Measure:
    """The event that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is none, or one of another version.
    """
    content = json.loads(line)
    if not isinstance(content, Mapping):
        raise TypeError(f"a {type(content).__name__} is no event")
    values = {key: _numbers(value) for key, value in content.items() if key != "kind"}
    if content["kind"] == "sample":
        values["tensors"] = {name: TensorStats(**stats) for name, stats in values.get("tensors", {}).items()}
    if content["kind"] == "measure":
        values.setdefault("version", 1)
    event: Event | Facts | Measure = _KINDS[content["kind"]](**values)
    return event


def _without_defaults(entry: Any) -> dict[str, Any]:
    usual = _USUAL[type(entry)]
    return {key: value for key, value in vars(entry).items() if value != usual[key] and value != {}}


def _marked(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_ODD: str(value)}  # nan, inf, -inf
    if isinstance(value, Mapping):
        return {str(key): _marked(entry) for key, entry in value.items()}
    return [_marked(entry) for entry in value] if isinstance(value, list | tuple) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {_ODD}:
        return float(value[_ODD])
    if isinstance(value, dict):
        return {key: _numbers(entry) for key, entry in value.items()}
    return tuple(_numbers(entry) for entry in value) if isinstance(value, list | tuple) else value
