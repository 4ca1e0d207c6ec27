"""What a job prints: kept line by line with its time, and read for metrics as SageMaker reads it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from launch.backends import LogLine


class LogKeeper(threading.Thread):
    """Keeps what comes out of a pipe, until its last writer ends.

    Args:
        pipe: stdout and stderr of a process.
        path: of the log, which is added to.

    Attributes:
        error: why lines could not be kept, such as a full disk; None while all is well. The pipe is emptied all the
            same, so that the process does not wait for ever.
    """

    def __init__(self, pipe: IO[bytes], path: Path) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._path = path
        self.error: OSError | None = None

    def run(self) -> None:
        """Read to the end."""
        with self._pipe, open(self._path, "ab", buffering=0) as file:
            for raw in self._pipe:
                text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
                line = json.dumps({"time": time.time(), "text": text}, ensure_ascii=False)
                try:
                    file.write(line.encode("utf-8") + b"\n")
                except OSError as error:
                    self.error = error


def read_lines(path: Path, position: str | None) -> tuple[list[LogLine], str | None]:
    """The whole lines since `position`, and the next position: bytes, as a text."""
    if not path.exists():
        return [], position
    with open(path, "rb") as file:
        start = int(position or 0)
        file.seek(start)
        content = file.read()
    end = content.rfind(b"\n") + 1
    return [LogLine(**json.loads(line)) for line in content[:end].splitlines()], str(start + end)


def values_of(lines: Iterable[LogLine], regex: str) -> list[tuple[float, float]]:
    """The values of a metric with their times, in the order in which they were printed.

    Args:
        lines: of the log.
        regex: whose first group is the value, as in a MetricDefinition.

    >>> values_of([LogLine(1.0, "epoch=0 val/acc=0.5"), LogLine(2.0, "epoch=1 val/acc=0.75")], "val/acc=([0-9.]+)")
    [(1.0, 0.5), (2.0, 0.75)]
    """
    pattern = re.compile(regex)
    found = [(line.time, match[1]) for line in lines for match in pattern.finditer(line.text)]
    return [(moment, float(text)) for moment, text in found if _is_number(text)]


def final_metrics(lines: Sequence[LogLine], definitions: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """FinalMetricDataList: the last value of each metric that was printed."""
    final = []
    for definition in definitions:
        values = values_of(lines, definition["Regex"])
        if values:
            moment, value = values[-1]
            timestamp = datetime.fromtimestamp(moment, timezone.utc)
            final.append({"MetricName": definition["Name"], "Value": value, "Timestamp": timestamp})
    return final


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
