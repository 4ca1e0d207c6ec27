"""Logs as lines of JSON on stderr."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import datetime, timezone
from typing import Any

LOGGER = logging.getLogger("dogbreed.server")


class JsonLines(logging.Formatter):
    """One JSON object a record: when, how grave, what, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


def write_log(event: str, level: int = logging.INFO, *, error: BaseException | None = None, **fields: Any) -> None:
    """Log an event with its fields, and with the traceback of an error."""
    LOGGER.log(level, event, extra={"fields": fields}, exc_info=error)


def log_to_stderr() -> None:
    """Let this process log as JSON, also the errors of the HTTP server beneath and of other libraries.

    Not their warnings: whatever a client does wrong, one of them has something to say about it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)
    logging.captureWarnings(True)
    LOGGER.setLevel(logging.INFO)
