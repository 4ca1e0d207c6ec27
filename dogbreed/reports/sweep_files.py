"""Reads the files of a sweep: from its journal and tables to typed values, whatever is missing or damaged left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dogbreed.directions import DIRECTIONS
from dogbreed.reports.reading import Folder
from dogbreed.reports.values import entries, finite, finite_or_none, mapping, text, text_or_none, whole
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.journal import STATES, Record


@dataclass(frozen=True)
class Trials:
    """What was tried, and by what it is judged."""

    monitor: str
    direction: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder as far as it can be read; what cannot be is None or empty, and `folder` knows why.

    Attributes:
        folder: the files.
        trials: None where it is not known by what they are judged.
        summary: the metrics of "sweep", "winner" and "ridge", as far as there are some.
        best: the winner's parameters.
        command: what trains the winner again.
        ended: whether the sweep came to its end.
    """

    folder: Folder
    trials: Trials | None = None
    summary: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    best: Mapping[str, Value] = field(default_factory=dict)
    command: str | None = None
    ended: bool = True

    @property
    def measured(self) -> list[Record]:
        """The trials that reached a value, in the order of their numbers."""
        records = self.trials.records if self.trials is not None else ()
        return sorted((one for one in records if one.value is not None), key=lambda one: one.number)


def read_sweep(directory: Path) -> Sweep:
    """The sweep in `directory`; whatever is missing or cannot be read is left out and remembered.

    The trials are those of the journal, where there is one: trials.json is written once a wave, and lags behind.
    """
    folder = Folder(directory)
    lines = (folder.text("best.yaml") or "").splitlines()
    trials, journal = folder.json("trials.json", _trials), folder.lines("trials.jsonl", _line)
    if trials is not None and journal is not None:
        last = {record.number: record for record in journal if record is not None}
        trials = replace(trials, records=tuple(last[number] for number in sorted(last)))
    return Sweep(
        folder=folder,
        trials=trials,
        summary=folder.json("summary.json", _summary) or {},
        best=folder.yaml("best.yaml", _best) or {},
        command=next((line.lstrip("# ") for line in lines if line.startswith("#   ")), None),
        ended=folder.has("summary.json"),
    )


def _trials(content: Any) -> Trials:
    monitor, direction = text(content["monitor"]), text(content["direction"])
    known = {f"val/{name}": best for name, best in DIRECTIONS.items()}
    if known.get(monitor) != direction:
        raise ValueError(f"it is judged by {monitor}, {direction}, which is no metric on val")
    return Trials(monitor, direction, tuple(_record(entry) for entry in content["trials"]))


def _line(content: Any) -> Record | None:
    """A line of the journal; None for its first, which holds the plan."""
    return None if "plan" in mapping(content) else _record(content)


def _record(entry: Any) -> Record:
    best, state = mapping(entry).get("best_epoch"), text(entry["state"])
    if state not in STATES:
        raise ValueError(f"a trial is {state}, which is none of {', '.join(STATES)}")
    return Record(
        number=whole(entry["number"]),
        params=_params(entry["params"]),
        state=state,
        value=finite_or_none(entry.get("value")),
        best_epoch=None if best is None else whole(best),
        metrics=_numbers(entry.get("metrics", {})),
        curve=[{"epoch": finite(row["epoch"]), **_numbers(row)} for row in entries(entry.get("curve", []))],
        seconds=finite(entry.get("seconds", 0.0)),
        error=text_or_none(entry.get("error")),
        backbone=dict(mapping(entry.get("backbone", {}))),
    )


def _params(found: Any) -> dict[str, Value]:
    for value in mapping(found).values():
        if not isinstance(value, Value):
            raise TypeError(f"a parameter is {type(value).__name__}, which no override can set")
    return {text(key): value for key, value in found.items()}


def _numbers(found: Any) -> dict[str, float]:
    """Metrics; NaN where one is no finite number, which a plot leaves out."""
    values = {key: finite_or_none(value) for key, value in mapping(found).items()}
    return {key: math.nan if value is None else value for key, value in values.items()}


def _summary(content: Any) -> dict[str, dict[str, float | None]]:
    whole(content["trial"])
    found = {name: mapping(content.get(name) or {}) for name in ("sweep", "winner", "ridge")}
    return {name: {key: finite_or_none(one) for key, one in values.items()} for name, values in found.items()}


def _best(content: Any) -> dict[str, Value]:
    return _params(mapping(content).get("params") or {})
