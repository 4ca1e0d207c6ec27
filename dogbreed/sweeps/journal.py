"""What a sweep has done so far, on disk: whole after a kill at any moment."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from dogbreed.directions import direction
from dogbreed.errors import ConfigError, OutputError
from dogbreed.files import write_csv, write_json, writing
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.journal_lines import damaged, is_plain, whole_lines

#: How a trial ended.
STATES = ("finished", "stopped", "failed")
_FILE = "trials.jsonl"


@dataclass(frozen=True)
class Record:
    """What a trial was, and what it reached.

    Args:
        number: from 0, in the order of the proposals.
        params: what the sweep set in it.
        state: "finished", "stopped" (early, as hopeless) or "failed".
        value: the monitor at its best epoch; None where the trial failed or the monitor was never a number.
        best_epoch: from 0; the first that no other one beats.
        metrics: val/* at the best epoch.
        curve: every epoch's metrics.
        seconds: of training.
        error: why it failed.
        backbone: what the leaderboard says of the trial's backbone, such as its parameters.
    """

    number: int
    params: dict[str, Value]
    state: str
    value: float | None = None
    best_epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None
    backbone: dict[str, Any] = field(default_factory=dict)


def best_row(curve: Sequence[Mapping[str, float]], monitor: str) -> Mapping[str, float] | None:
    """The first row of `curve` that is strictly best, as a checkpoint of the best epoch is chosen; None without rows.

    >>> best_row([{"epoch": 0, "val/acc": 0.5}, {"epoch": 1, "val/acc": 0.7}, {"epoch": 2, "val/acc": 0.7}], "val/acc")
    {'epoch': 1, 'val/acc': 0.7}
    """
    sign = 1 if direction(monitor) == "max" else -1

    def height(row: Mapping[str, float]) -> float:
        return -math.inf if math.isnan(row[monitor]) else sign * row[monitor]

    return max(curve, key=height, default=None)


def make_record(
    number: int,
    params: dict[str, Value],
    curve: Sequence[Mapping[str, float]],
    monitor: str,
    *,
    seconds: float,
    stopped: bool = False,
    backbone: Mapping[str, Any] | None = None,
) -> Record:
    """The record of a trial that ended well, from its curve."""
    best = best_row(curve, monitor)
    value = None if best is None or math.isnan(best[monitor]) else float(best[monitor])
    return Record(
        number=number,
        params=params,
        state="stopped" if stopped else "finished",
        value=value,
        best_epoch=None if best is None else int(best["epoch"]),
        metrics={name: float(x) for name, x in (best or {}).items() if name.startswith("val/")},
        curve=[{name: x if name in ("epoch", "step") else float(x) for name, x in row.items()} for row in curve],
        seconds=seconds,
        backbone=dict(backbone or {}),
    )


class Journal:
    """The records of a sweep: one line each in trials.jsonl, on disk before the next trial begins.

    A line that a kill cut short is dropped when the journal is opened again.

    Args:
        directory: of the sweep.
        plan: what may not change when it goes on: plain values, such as the space and the fixed overrides.
        resume: whether to go on where there is a journal already.

    Attributes:
        first: the first record of each trial; proposals were made from these.
        last: the last record of each trial, which differs where a failed one was run again.

    Raises:
        OutputError: there is a sweep already and `resume` is false, or another process is writing to it.
        ConfigError: the sweep there has another plan, or its journal is damaged.
    """

    def __init__(self, directory: Path, plan: Mapping[str, Any], *, resume: bool) -> None:
        self.path = directory / _FILE
        self.first: dict[int, Record] = {}
        self.last: dict[int, Record] = {}
        with writing(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")  # noqa: SIM115  closed by __exit__
        try:
            self._lock(directory)
            self._read(dict(plan), resume)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def is_done(self, number: int) -> bool:
        """Whether the trial ended well; the others are run again."""
        return number in self.last and self.last[number].state != "failed"

    def add(self, record: Record) -> None:
        """Keep a record: it is on disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        self._append(asdict(record))
        self._keep(record)

    def write_tables(self, monitor: str) -> None:
        """Write trials.csv (a row a trial) and trials.json (with the curves), whole or not at all."""
        records = [self.last[number] for number in sorted(self.last)]
        params = list(dict.fromkeys(key for record in records for key in record.params))
        metrics = list(dict.fromkeys(name for record in records for name in record.metrics))
        about = list(dict.fromkeys(name for record in records for name in record.backbone))
        rows = [
            {
                "number": record.number,
                "state": record.state,
                "best_epoch": "" if record.best_epoch is None else record.best_epoch,
                "seconds": f"{record.seconds:.3f}",
                "error": record.error or "",
                **{key: _cell(value) for key, value in record.params.items()},
                **record.metrics,
                **record.backbone,
            }
            for record in records
        ]
        columns = ["number", "state", *params, "best_epoch", *metrics, *about, "seconds", "error"]
        write_csv(self.path.with_name("trials.csv"), rows, columns)
        content = {"monitor": monitor, "direction": direction(monitor), "trials": [asdict(entry) for entry in records]}
        write_json(self.path.with_name("trials.json"), _plain(content))

    def _lock(self, directory: Path) -> None:
        try:
            # POSIX's lock, which the children of a killed sweep do not hold on to.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise OutputError(
                f"another process is sweeping in {directory}", "one at a time", "wait for it, or choose hydra.sweep.dir"
            ) from error

    def _read(self, plan: dict[str, Any], resume: bool) -> None:
        lines = whole_lines(self._file, self.path)
        if len(lines) < 2:  # no trial: there is nothing to lose
            self._file.truncate(0)
            self._append({"plan": plan})
            return
        if not resume:
            raise OutputError(
                got=f"{self.path.parent} holds a sweep already",
                allowed="a new directory, or the same one to continue that sweep",
                hint="add resume=true to continue it, or choose another hydra.sweep.dir",
            )
        _check_plan(self.path.parent, lines[0].get("plan", {}), json.loads(json.dumps(plan)))
        for number, line in enumerate(lines[1:], 2):
            self._keep(_record(line, self.path, number))

    def _keep(self, record: Record) -> None:
        self.first.setdefault(record.number, record)
        self.last[record.number] = record

    def _append(self, content: dict[str, Any]) -> None:
        with writing(self.path):
            self._file.write(json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def _record(line: dict[str, Any], path: Path, number: int) -> Record:
    try:
        found = Record(**line)
    except TypeError as error:
        raise damaged(path, number) from error
    if found.state not in STATES or not is_plain(vars(found)):
        raise damaged(path, number)
    return found


def _check_plan(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name in [*new, *(name for name in old if name not in new)]:
        if old.get(name) != new.get(name):
            raise ConfigError(
                got=f"{directory} holds a sweep with another {name}: {_difference(old.get(name), new.get(name))}",
                allowed="the same command as before, to continue it",
                hint="repeat that command with resume=true, or choose another hydra.sweep.dir",
            )


def _difference(old: Any, new: Any) -> str:
    """What differs, by name where the two have parts."""
    if isinstance(old, list) and isinstance(new, list):
        gone = [str(entry) for entry in old if entry not in new]
        come = [str(entry) for entry in new if entry not in old]
        return "; ".join([*(f"then {entry}" for entry in gone), *(f"now {entry}" for entry in come)]) or "another order"
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        named = [f"{key} was {old.get(key, 'fixed')}, is {new.get(key, 'fixed')}" for key in keys]
        return "; ".join(named)
    return f"was {old}, is {new}"


def _cell(value: Value) -> Value:
    return "null" if value is None else value


def _plain(value: Any) -> Any:
    """The same with null for every number that JSON has none for."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
