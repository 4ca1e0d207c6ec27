"""Reads what SageMaker's profiler saved of a job, in the samples that our rules judge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dogbreed.health.jobs.log import read_text
from dogbreed.health.samples import MachineSample, Mode, Sample

#: AWS's names of what a core and a GPU do; the documentation calls the second one i/o wait.
_USE = {
    "CPUUtilization": "cores",
    "I/OWaitPercentage": "io_wait",
    "i/o wait": "io_wait",
    "GPUUtilization": "gpus",
    "GPUMemoryUtilization": "gpu_memory",
}


@dataclass(frozen=True)
class Step:
    """A step of training or of an evaluation, as the profiler timed it.

    Attributes:
        start: seconds since 1970.
        seconds: from the start of the forward to the end of the backward pass. Waiting for data is not in it:
            that is AWS's measure, by which StepOutlier judged.
        mode: TRAIN or EVAL.
        number: of the steps of its mode, from 0.
    """

    start: float
    seconds: float
    mode: Mode
    number: int


@dataclass
class Machine:
    """The machine's samples.

    Attributes:
        samples: `seconds` since 1970, in their order. Memory is not in them: AWS gives percent of an unknown whole.
        node: the instance whose samples these are.
        others: instances that were left out: a rule judges one machine.
        damaged: lines that could not be read.
    """

    samples: list[MachineSample] = field(default_factory=list)
    node: str | None = None
    others: tuple[str, ...] = ()
    damaged: int = 0


def read_machine(files: Iterable[Path]) -> Machine:
    """The samples under profiler-output/system/incremental, of the first instance."""
    lines, damaged = _read(files)
    moments: dict[str, dict[float, dict[str, dict[str, float]]]] = {}
    for line in lines:
        kind = _USE.get(str(line.get("Dimension")))
        try:
            time, value = float(line["Timestamp"]), float(line["Value"])
        except (KeyError, TypeError, ValueError):
            damaged += 1
            continue
        if kind is not None:
            node = moments.setdefault(str(line.get("NodeId", "algo-1")), {})
            node.setdefault(time, {}).setdefault(kind, {})[str(line.get("Name"))] = value
    names = sorted(moments, key=_natural)
    if not names:
        return Machine(damaged=damaged)
    samples = [
        MachineSample(time, **{kind: _in_order(uses) for kind, uses in kinds.items()})  # type: ignore[arg-type]
        for time, kinds in sorted(moments[names[0]].items())
    ]
    return Machine(samples, names[0], tuple(names[1:]), damaged)


def read_steps(files: Iterable[Path]) -> tuple[list[Step], int]:
    """The steps under profiler-output/framework/pevents by their start, and how many lines could not be read.

    smdebug names them Step:ModeKeys.TRAIN and EVAL, and GLOBAL where the script never told its hook the mode.
    """
    steps, damaged = [], 0
    for file in files:
        events, broken = _read([file])
        damaged += broken
        base = 0.0  # microseconds since 1970; each file begins with its own
        for event in events:
            arguments = event.get("args")
            arguments = arguments if isinstance(arguments, dict) else {}
            begun = arguments.get("start_time_since_epoch_in_micros")
            base = float(begun) if isinstance(begun, int | float) else base
            name = str(event.get("name"))
            if event.get("ph") != "X" or not name.startswith("Step:ModeKeys."):
                continue
            mode: Mode = "EVAL" if name.endswith(("EVAL", "PREDICT")) else "TRAIN"
            try:
                start, seconds = (base + float(event["ts"])) / 1e6, float(event["dur"]) / 1e6
                steps.append(Step(start, seconds, mode, int(arguments["step_num"])))
            except (KeyError, TypeError, ValueError):
                damaged += 1
    return sorted(steps, key=lambda step: step.start), damaged


def step_samples(steps: Iterable[Step], start: float) -> Iterator[Sample]:
    """A sample for each step; `start` is when the run began, in seconds since 1970."""
    trained = 0
    for step in steps:
        if step.mode == "TRAIN":
            trained = step.number
        seconds = step.start + step.seconds - start
        yield Sample(step=trained, mode=step.mode, seconds=seconds, durations=(step.seconds,))


def _read(files: Iterable[Path]) -> tuple[list[dict[str, Any]], int]:
    """The objects in files of one JSON object a line, with or without an array around; and the lines that are none.

    An array that is still written has no end, so it is read by lines too.
    """
    found: list[dict[str, Any]] = []
    damaged = 0
    for file in files:
        for line in read_text(file).splitlines():
            text = line.strip().rstrip(",").strip()
            if text in ("", "[", "]", "{}"):
                continue
            try:
                values = json.loads(text)
            except ValueError:
                damaged += 1
                continue
            found += [value for value in (values if isinstance(values, list) else [values]) if isinstance(value, dict)]
    return found, damaged


def _in_order(uses: dict[str, float]) -> tuple[float, ...]:
    return tuple(uses[name] for name in sorted(uses, key=_natural))


def _natural(name: str) -> tuple[int, str]:
    """cpu2 stands before cpu10."""
    return len(name), name
