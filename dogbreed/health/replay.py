"""A finished run, judged again by the same rules."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from dogbreed.errors import DataError
from dogbreed.health.findings import Outcome, Status
from dogbreed.health.judging import Panel
from dogbreed.health.recording import SAMPLES, Recording, read_recording
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Event, Facts, Measure, Mode, Sample

_METRICS = "metrics.csv"
_REPLAY = ("python", "-m", "dogbreed.health", "replay")
_HARMLESS = re.compile(r"health=\w+|~health\.rules\.\w+|\+{0,2}health\.\w+(\.\w+)*=[^${}]*")
_LOSSES: dict[Mode, str] = {"TRAIN": "train/loss", "EVAL": "val/loss"}


def is_run(path: Path) -> bool:
    """Whether a folder is a run's: it holds what one trained with or left."""
    try:
        return any((path / name).exists() for name in (SAMPLES, _METRICS, "run.json"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path} cannot be read: {reason}", "a folder that may be read", "look at it") from error


def read_run(path: Path) -> Recording:
    """What was recorded of a run; of one that recorded nothing, what its epochs tell.

    Raises:
        DataError: there is neither.
    """
    if (path / SAMPLES).exists():
        return read_recording(path / SAMPLES)
    if (path / _METRICS).exists():
        return Recording(Facts(), Measure(), list(_epochs(path / _METRICS)))
    raise DataError(
        f"{path} holds neither {SAMPLES} nor {_METRICS}",
        "a run that finished an epoch",
        "look whether it failed before that: its log, and report.html if it has one",
    )


def judge(recording: Recording, rules: Sequence[Rule]) -> list[Outcome]:
    """What the rules say of a recording, ranked.

    A rule with other tolerances than those that the tensors were measured with cannot judge: Error.
    """
    fitting = [rule for rule in rules if rule.measure(recording.measure) == recording.measure]
    panel = Panel(fitting)
    panel.see(*recording.events)
    outcomes = panel.outcomes(recording.facts)
    return outcomes + [_unfit(rule, recording.measure) for rule in rules if rule not in fitting]


def health_overrides(path: Path, given: Sequence[str] = ()) -> list[str]:
    """The overrides of the rules in the command that made a run, where `given` do not take their place; then those.

    A preset that is given takes the place of all; `health.fail_on` is for a run that can still be ended. A run may
    come from anywhere: of its own overrides only presets by name and plain values of parameters are taken.

    Raises:
        DataError: one of the run's own could do more, such as name a class.
    """
    keys = {_key(line) for line in given}
    own = [line for line in _overrides(path) if _key(line) not in {"health.fail_on", *keys} and "health" not in keys]
    for line in own:
        if not _HARMLESS.fullmatch(line) or "._" in line:
            raise DataError(
                f"{path / 'run.json'} asks for {line}",
                "presets, and parameters of their rules: a file of a run chooses no class and no path",
                f"if you trust it, say it yourself: {shlex.join([*_REPLAY, str(path), line])}",
            )
    return [*own, *given]


def _key(line: str) -> str:
    return line.lstrip("+~").split("=")[0]


def _overrides(path: Path) -> list[str]:
    try:
        command = json.loads((path / "run.json").read_text(encoding="utf-8"))["command"]
        words = shlex.split(command) if isinstance(command, str) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [word for word in words if word.lstrip("+~").startswith(("health=", "health."))]


def _unfit(rule: Rule, measure: Measure) -> Outcome:
    return Outcome(
        rule.name,
        Status.ERROR,
        f"it could not judge, which is no finding: the tensors were measured with {measure}",
        rule.parameters,
    )


def _epochs(path: Path) -> Iterator[Event]:
    """The losses of the epochs, each as one loss of its mode."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", "metrics.csv as a run wrote it", "look at it") from error
    for number, row in enumerate(rows):
        for mode, name in (("TRAIN", "train/loss"), ("EVAL", "val/loss")):
            loss, step = _number(row.get(name)), _number(row.get("step"))
            if loss is not None and step is not None:
                counted = int(step) if mode == "TRAIN" else number
                yield Sample(
                    int(step),
                    "TRAIN" if mode == "TRAIN" else "EVAL",
                    number,
                    losses=((counted, loss),),
                    ends_epoch=True,
                )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return None if math.isinf(value) else value
