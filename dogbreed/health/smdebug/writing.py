"""smdebug's hook, made so that its errors come out."""

from __future__ import annotations

import importlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.health.smdebug.config import HookConfig
from dogbreed.health.smdebug.limits import INSTALL


def make_hook(config: HookConfig) -> Any:
    """A hook of smdebug that raises what goes wrong.

    smdebug logs an error and saves no more where only losses are saved; and where a disk is full, its thread that
    writes the files dies, and the training waits for it for ever.

    Raises:
        ConfigError: smdebug is not installed, or does not take the configuration.
    """
    base = _import_smdebug().Hook

    class Hook(base):  # type: ignore[misc, valid-type]
        def has_default_configuration(self) -> bool:
            return False

        def _initialize_writers(self, only_initialize_if_missing: bool = False) -> None:
            before = self.writer
            super()._initialize_writers(only_initialize_if_missing)
            if self.writer is not None and self.writer is not before:
                self.writer._proto_writer = _direct_writer(self.writer.event_file_path, self.writer.index_writer)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "debughookconfig.json")
        file.write_text(json.dumps(config.content), encoding="utf-8")
        try:
            return Hook.create_from_json_file(str(file))
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise ConfigError(
                f"smdebug cannot be made as {config.source} says: {error}",
                "settings that smdebug takes",
                "correct them",
            ) from error


def _direct_writer(path: str, index: Any) -> Any:
    """What smdebug writes an event file with, without a thread of its own."""
    event_files = importlib.import_module("smdebug.core.tfevent.event_file_writer")
    locations = importlib.import_module("smdebug.core.locations")
    base = event_files.EventFileWriter

    class DirectWriter(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self._events = event_files.EventsWriter(path=path, index_writer=index, write_checksum=False)
            self._events.init()
            self._records = self._events.tfrecord_writer

        def write_event(self, entry: Any) -> None:
            start, length = self._events.write_event(entry.event)
            file = event_files.get_relative_event_file_path(path)
            worker = event_files.parse_worker_name_from_file(file)
            index.add_index(
                locations.TensorLocation(
                    entry.tensorname, entry.get_mode(), entry.mode_step, file, start, length, worker
                )
            )

        def flush(self) -> None:
            self._events.flush()

        def close(self) -> None:
            try:
                self._events.close()
            finally:
                self._records._writer = None  # or it would try to close once more when it is collected

    return DirectWriter()


def _import_smdebug() -> Any:
    """smdebug.pytorch, without what it logs when it is imported.

    Raises:
        ConfigError: it is not installed.
    """
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        smdebug = importlib.import_module("smdebug.pytorch")
    except ImportError as error:
        raise ConfigError(f"smdebug cannot be imported: {error}", "hook=smdebug with its extra", INSTALL) from error
    finally:
        logging.disable(before)
    logger = logging.getLogger("smdebug")
    logger.handlers.clear()  # it writes to whatever stdout was at its import
    logger.propagate = True
    if "SMDEBUG_LOG_LEVEL" not in os.environ:
        logger.setLevel(logging.WARNING)
    return smdebug
