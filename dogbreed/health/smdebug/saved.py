"""What smdebug saved, as the samples that the rules see: of a run of ours, or of anybody's job."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dogbreed.health.measuring import summarise
from dogbreed.health.samples import COLLECTIONS, Event, Facts, Measure, Mode, PictureStats, Sample, TensorStats
from dogbreed.health.smdebug.trial import Array, Step, Trial, open_trial

_KEPT = ("weights", "biases", "gradients")  # of the others each batch has its own
_LOGITS, _LABELS = (re.compile(rf"(CrossEntropy|NLL)Loss_input_{position}$") for position in (0, 1))
#: By name, for collections that are not called as ours: what a layer is called, or the collection.
_BY_NAME = {
    "relu_outputs": re.compile(r"relu\d*_output_|relu.*\n.*_output_", re.IGNORECASE),
    "tanh_inputs": re.compile(r"tanh\d*_input_|tanh.*\n.*_input_", re.IGNORECASE),
    "sigmoid_inputs": re.compile(r"sigmoid\d*_input_|sigmoid.*\n.*_input_", re.IGNORECASE),
    "activation_inputs": re.compile(r"[a-z]elu\d*_input_|[a-z]elu.*\n.*_input_|silu\d*_input_", re.IGNORECASE),
}
_AT_ONCE = 2**26  # bytes of tensors that are read in one go
_NETWORK_INPUT = re.compile(r"^(?!\w*Loss)[A-Z]\w*_input_0$")  # of the module that was registered, by its class


def read_trial(path: str | Path, measure: Measure | None = None) -> Iterator[Event]:
    """Everything that smdebug saved of a run's TRAIN and EVAL, in its order, as far as it is whole.

    Tensors come with a sample of their own; losses and pairs of the batches between come with the next sample.
    An evaluation ends with a sample; so does the training before it, which is taken for an epoch. A script that
    set no mode is taken to have trained. Where only reductions were saved, what they leave open is nan, the size
    of a tensor whose shape is not known is 1, and nothing is known of its changes.
    Tensors that belong to none of COLLECTIONS, by the trial's own collections or by their names, are left out.

    Args:
        path: a folder, or s3://bucket/prefix.
        measure: how tensors are measured; as the rules' defaults where it is None.

    Raises:
        ConfigError: there is no trial, or it cannot be reached.
    """
    return _Reader(open_trial(path), measure or Measure()).events()


def trial_facts(path: str | Path) -> Facts:
    """What a trial tells of its run: classes, steps per epoch, and activations where all kinds were looked for.

    Raises:
        ConfigError: there is no trial, or it cannot be reached.
    """
    trial = open_trial(path)
    reader = _Reader(trial, Measure())
    classes = None
    for step in trial.steps:
        logits = next((place for name, place in step.tensors.items() if _LOGITS.search(name)), None)
        if logits is not None:
            (found,) = trial.read([logits])
            classes = int(found[1].shape[1]) if found is not None and found[1].ndim == 2 else None
            break
    looked_for = {"relu_outputs", "tanh_inputs", "sigmoid_inputs"} <= trial.groups.keys()
    everything = "all" in trial.groups and ".*" in trial.groups["all"].regexes
    kinds = {reader.collection(name) for step in trial.steps for name in step.names}
    activations = tuple(
        kind.split("_")[0] for kind in ("relu_outputs", "tanh_inputs", "sigmoid_inputs") if kind in kinds
    )
    return Facts(
        num_classes=classes,
        activations=activations if looked_for or everything else None,
    )


@dataclass
class _Gathered:
    """What came of a mode since its last sample; held back until it is known whether an epoch ends with it."""

    mode: Mode
    step: int = 0
    seconds: float = 0.0
    tensors: dict[str, TensorStats] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    batches: int = 0

    def sample(self, epoch: int, *, ends: bool) -> Sample:
        pairs = tuple((*pair, count) for pair, count in sorted(self.pairs.items()))
        return Sample(
            self.step, self.mode, epoch, self.seconds, self.tensors, tuple(self.losses), pairs=pairs, ends_epoch=ends
        )


class _Reader:
    def __init__(self, trial: Trial, measure: Measure) -> None:
        self._trial, self._measure = trial, measure
        self._last: dict[tuple[Mode, str], Tensor] = {}
        self._started: float | None = None
        self._seconds = 0.0
        self._epoch = 0
        self.collection = lru_cache(maxsize=None)(self._collection)

    def events(self) -> Iterator[Event]:
        before: int | None = None  # batches of training before the evaluation that goes on; None in training
        gathered = _Gathered("TRAIN")
        for step, values in self._read():
            now = step.number - step.step if step.mode == "EVAL" else None
            if gathered.batches and (now != before or gathered.tensors):
                yield gathered.sample(self._epoch, ends=now != before)
                gathered = _Gathered(gathered.mode)
            if now != before:
                self._epoch += before is not None
                gathered, before = _Gathered("TRAIN" if now is None else "EVAL"), now
            gathered.step = step.step if now is None else now
            yield from self._see(step, values, gathered)
        if gathered.batches:
            yield gathered.sample(self._epoch, ends=before is not None)

    def _see(self, step: Step, values: Mapping[str, Array], gathered: _Gathered) -> Iterator[PictureStats]:
        loss = next((float(np.mean(value)) for name, value in values.items() if self._is(name, "losses")), None)
        if loss is not None:
            gathered.losses.append((step.step, loss))
        gathered.pairs.update(_pairs(values))
        gathered.tensors = {
            name: self._measured(gathered.mode, name, value)
            for name, value in values.items()
            if self.collection(name) not in (None, "losses") and value.dtype != np.uint8
        }
        gathered.tensors.update(self._reduced(step))
        gathered.seconds = self._seconds
        gathered.batches += 1
        yield from self._pictures(values)

    def _read(self) -> Iterator[tuple[Step, dict[str, Array]]]:
        """Each step with the tensors that are of use, those that are whole; several steps in one go, for S3 is far."""
        steps = [step for step in self._trial.steps if step.mode != "PREDICT"]
        while steps:
            block = [steps.pop(0)]
            size = self._size(block[0])
            while steps and size + self._size(steps[0]) < _AT_ONCE:
                size += self._size(steps[0])
                block.append(steps.pop(0))
            named = [(step.number, name, step.tensors[name]) for step in block for name in self._of_use(step)]
            found = zip(named, self._trial.read([place for *_, place in named]), strict=True)
            values: dict[int, dict[str, tuple[float, Array]]] = {step.number: {} for step in block}
            for (number, name, _), entry in found:
                if entry is not None:
                    values[number][name] = entry
            for step in block:
                self._note_time([time for time, _ in values[step.number].values()])
                yield step, {name: value for name, (_, value) in values[step.number].items()}

    def _of_use(self, step: Step) -> list[str]:
        return [name for name in sorted(step.tensors) if self._is_of_use(name)]

    def _size(self, step: Step) -> int:
        return sum(step.tensors[name].length for name in self._of_use(step))

    def _note_time(self, times: list[float]) -> None:
        if times:
            self._started = min(times) if self._started is None else self._started
            self._seconds = round(max(times) - self._started, 3)

    def _measured(self, mode: Mode, name: str, value: Array) -> TensorStats:
        collection, tensor = self.collection(name), torch.from_numpy(value)
        assert collection is not None
        stats = summarise(
            tensor,
            collection,
            measure=self._measure,
            last=self._last.get((mode, name)),
            percentiles=collection == "gradients",
        )
        if collection in _KEPT:
            self._last[mode, name] = tensor
        return stats

    def _pictures(self, values: Mapping[str, Array]) -> Iterator[PictureStats]:
        for name, value in values.items():
            if self._is(name, "inputs") and value.ndim == 4 and value.dtype != np.uint8:
                yield PictureStats(len(value), float(value.mean(dtype=np.float64)), float(value.std(dtype=np.float64)))

    def _reduced(self, step: Step) -> Iterator[tuple[str, TensorStats]]:
        for name, places in step.reductions.items():
            collection = self.collection(name)
            if name in step.tensors or collection is None:
                continue
            found = zip(places, self._trial.read(list(places.values())), strict=True)
            values = {reduction: float(entry[1]) for reduction, entry in found if entry is not None}
            yield name, _from_reductions(values, collection, step.shapes.get(name))

    def _is_of_use(self, name: str) -> bool:
        return self.collection(name) is not None or bool(_LOGITS.search(name) or _LABELS.search(name))

    def _is(self, name: str, collection: str) -> bool:
        return self.collection(name) == collection

    def _collection(self, name: str) -> str | None:
        """One of COLLECTIONS: the trial's own of that name, or what the names of layer and collections say."""
        if _LOGITS.search(name) or _LABELS.search(name):
            return None
        groups = self._trial.groups_of(name)
        for collection in COLLECTIONS:
            if collection in groups:
                return collection
        for group in (name, *(f"{group}\n{name}" for group in groups)):
            for collection, pattern in _BY_NAME.items():
                if pattern.search(group):
                    return collection
        return "inputs" if _NETWORK_INPUT.search(name) else None


def _pairs(values: Mapping[str, Array]) -> Counter[tuple[int, int]]:
    """Pictures by true and predicted class, where logits and labels were saved together."""
    logits = next((value for name, value in values.items() if _LOGITS.search(name)), None)
    labels = next((value for name, value in values.items() if _LABELS.search(name)), None)
    if logits is None or labels is None or logits.ndim != 2 or len(logits) != len(labels):
        return Counter()
    true = labels.argmax(axis=1) if labels.ndim == 2 else labels
    return Counter(zip(true.astype(int).tolist(), logits.argmax(axis=1).tolist(), strict=True))


def _from_reductions(values: Mapping[str, float], collection: str, shape: tuple[int, ...] | None) -> TensorStats:
    """What reductions alone tell of a tensor.

    >>> _from_reductions({"abs_mean": 0.5, "std": 2.0}, "gradients", (2, 3)).variance
    4.0
    """
    size = math.prod(shape) if shape is not None else 1

    def of(*choices: tuple[str, float]) -> float:
        return next((values[name] * factor for name, factor in choices if name in values), math.nan)

    absolute = of(("abs_mean", 1), ("abs_sum", 1 / size), ("l1", 1 / size), ("abs_l1", 1 / size))
    if shape is None and "abs_mean" not in values:
        absolute = math.nan  # a sum without the number of what was added
    spread = of(("std", 1))
    largest = [
        values[name] for name in ("abs_max", "abs_mean", "abs_sum", "l1", "l2", "abs_l1", "abs_l2") if name in values
    ]
    return TensorStats(
        collection=collection,
        size=size,
        zeros=size if 0.0 in largest else 0,
        nans=int(any(math.isnan(value) for value in values.values())),
        infs=int(any(math.isinf(value) for value in values.values())),
        mean=of(("mean", 1), ("sum", 1 / size)) if shape is not None or "mean" in values else math.nan,
        abs_mean=absolute,
        variance=values.get("variance", spread * spread),
        l2=of(("l2", 1), ("abs_l2", 1)),
    )
