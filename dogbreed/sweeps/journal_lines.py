"""The lines of a sweep's journal: read as they were written, or told to be damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Value


def whole_lines(file: IO[bytes], path: Path) -> list[dict[str, Any]]:
    """The lines that were written to their end: the plan, then the trials.

    The rest is cut off, so that what follows begins a line of its own.

    Args:
        file: opened to be read and written.
        path: what errors call it.

    Raises:
        ConfigError: one of the lines is not what was written.
    """
    file.seek(0)
    content = file.read()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file.truncate(end)
    lines = []
    for number, line in enumerate(content[:end].split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged(path, number) from error
        right = isinstance(entry, dict) and (
            isinstance(entry.get("plan"), dict) if number == 1 else "plan" not in entry
        )
        if not right:
            raise damaged(path, number)
        lines.append(entry)
    return lines


def is_plain(record: Mapping[str, Any]) -> bool:
    """Whether the fields of a trial's record hold what such fields hold."""
    tables = [record["metrics"], *record["curve"]] if isinstance(record["curve"], list) else [None]
    params, backbone, error = record["params"], record["backbone"], record["error"]
    return (
        _is_whole(record["number"])
        and (record["best_epoch"] is None or _is_whole(record["best_epoch"]))
        and (record["value"] is None or _is_number(record["value"]))
        and _is_number(record["seconds"])
        and (error is None or isinstance(error, str))
        and all(isinstance(one, dict) and all(isinstance(x, Value) for x in one.values()) for one in (params, backbone))
        and all(isinstance(table, dict) and all(map(_is_number, table.values())) for table in tables)
    )


def damaged(path: Path, number: int) -> ConfigError:
    """The error for a line, counted from 1, that is not what was written."""
    return ConfigError(
        got=f"{path} is damaged in line {number}",
        allowed="the trials of a sweep as it wrote them",
        hint="start the sweep anew in another hydra.sweep.dir, or bring the file back from a copy",
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
