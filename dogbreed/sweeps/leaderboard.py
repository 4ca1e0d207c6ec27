"""Who did best, on val alone: settings with their seeds together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dogbreed.directions import direction
from dogbreed.files import write_text
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.journal import Record
from dogbreed.sweeps.settings import SEED


@dataclass(frozen=True)
class Place:
    """A setting with its trials, one for each seed.

    Attributes:
        setting: its parameters, without the seed.
        trials: in the order of their numbers.
        mean: of the monitor over the trials; None where a trial has none.
        spread: standard deviation (n - 1) over the trials; None for a single one.
    """

    setting: dict[str, Value]
    trials: tuple[Record, ...]
    mean: float | None
    spread: float | None

    @property
    def finished(self) -> bool:
        """Whether a trial of it ran to its end, and none failed."""
        return self.mean is not None and any(trial.state == "finished" for trial in self.trials)

    def best(self, monitor: str) -> Record:
        """Its best trial by the monitor, among those that ran to their end if there are any; the first of equals."""
        return min(self.trials, key=lambda trial: (trial.state != "finished", _badness(trial.value, monitor)))


def rank(records: Iterable[Record], monitor: str) -> list[Place]:
    """The settings, the best by the mean of `monitor` first; those that no trial finished, or one failed, come last."""
    settings: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.number):
        settings.setdefault(repr(sorted(_setting(record).items())), []).append(record)
    places = [_place(trials) for trials in settings.values()]
    return sorted(places, key=lambda place: (not place.finished, _badness(place.mean, monitor)))


def show(places: Sequence[Place], monitor: str, rows: int = 10) -> str:
    """The first `rows` places as a table for the terminal."""
    seeds = max((len(place.trials) for place in places), default=1) > 1
    about = list(dict.fromkeys(name for place in places for trial in place.trials for name in trial.backbone))
    backbones = {repr(trial.backbone) for place in places for trial in place.trials if trial.backbone}
    lines = [
        _row(number, place, monitor, seeds, about if len(backbones) > 1 else [])
        for number, place in enumerate(places, 1)
    ]
    text = _table(lines[:rows])
    rest = len(places) - rows
    return text + (f"\n... and {rest} more" if rest > 0 else "")


def write_best(path: Path, record: Record, monitor: str, fixed: Sequence[str], command: str) -> None:
    """Write best.yaml: how the winner is trained again, and the overrides that make it, typed.

    Args:
        path: of the file.
        record: the winner's.
        monitor: what it is best in.
        fixed: the overrides that all trials share.
        command: what trains it.

    Raises:
        OutputError: it cannot be written.
    """
    reached = (
        f"# {monitor}={record.value!r} at epoch {record.best_epoch} of trial {record.number}. To train it again:\n"
    )
    content = {"trial": record.number, "fixed": list(fixed), "params": record.params}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_text(path, f"{reached}#   {command}\n{text}")


def _setting(record: Record) -> dict[str, Value]:
    return {key: value for key, value in record.params.items() if key != SEED}


def _place(trials: list[Record]) -> Place:
    values = [trial.value for trial in trials if trial.value is not None]
    whole = len(values) == len(trials)
    return Place(
        setting=_setting(trials[0]),
        trials=tuple(trials),
        mean=statistics.fmean(values) if whole else None,
        spread=statistics.stdev(values) if whole and len(values) > 1 else None,
    )


def _badness(value: float | None, monitor: str) -> float:
    if value is None or math.isnan(value):
        return math.inf
    return -value if direction(monitor) == "max" else value


def _row(number: int, place: Place, monitor: str, seeds: bool, about: Sequence[str]) -> dict[str, str]:
    best = place.best(monitor)
    row = {"": str(number), monitor: _number(place.mean, 4)}
    if seeds:
        row |= {"spread": _number(place.spread, 4), "seeds": str(len(place.trials))}
    row |= {name: _number(value, 4) for name, value in best.metrics.items() if name != monitor and not seeds}
    row |= {"epoch": "" if best.best_epoch is None else str(best.best_epoch)}
    row |= {key: _text(value) for key, value in place.setting.items()}
    row |= {name: _text(best.backbone[name]) for name in about if best.backbone.get(name) is not None}
    states = {trial.state for trial in place.trials} - {"finished"}
    row |= {"trial": ",".join(str(trial.number) for trial in place.trials), "state": ",".join(sorted(states))}
    return row


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value > 99_999 else str(value)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    columns = [name for name in columns if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in columns}
    lines = [{name: name for name in columns}, *rows]
    return "\n".join("  ".join(line.get(name, "").rjust(widths[name]) for name in columns).rstrip() for line in lines)
