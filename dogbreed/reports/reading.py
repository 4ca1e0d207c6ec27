"""Reads a folder of results that may be old, half written or incomplete, and remembers what was wrong with it."""

from __future__ import annotations

import csv
import json
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dogbreed.errors import ConfigError, did_you_mean

T = TypeVar("T")

_OF_A_RUN = ("run.json", "config.yaml", "metrics.json", "metrics.csv")
_OF_A_SWEEP = ("trials.json", "trials.jsonl", "summary.json")
_ALLOWED = "the folder of a run or a sweep, as hydra.run.dir or hydra.sweep.dir named it"

#: What a parser meets in content that is not what it should be.
_MISFITS = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def holds_run(directory: Path) -> bool:
    """Whether a run has left anything there.

    Raises:
        ConfigError: it may not be looked at.
    """
    with _looking_at(directory):
        return _holds(directory, _OF_A_RUN)


def holds_sweep(directory: Path) -> bool:
    """Whether a sweep has left anything there.

    Raises:
        ConfigError: it may not be looked at.
    """
    with _looking_at(directory):
        return _holds(directory, _OF_A_SWEEP)


def nothing_there(directory: Path) -> ConfigError:
    """The error for a folder that holds neither a run nor a sweep; it names those near by."""
    try:
        return _absence(directory)
    except OSError as error:
        return _unreadable(directory, error)


def _absence(directory: Path) -> ConfigError:
    if not directory.is_dir():
        parent = directory.parent
        near = [str(entry) for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
        what = "is a file" if directory.exists() else "does not exist"
        hint = "unpack it first, and name the folder" if directory.exists() else "look for run.json or trials.json"
        return ConfigError(f"{directory} {what}{did_you_mean(str(directory), near)}", _ALLOWED, hint)
    inside = sorted(str(entry) for entry in directory.iterdir() if _may_hold(entry))
    hint = f"name one of those in it: {', '.join(inside[:3])}" if inside else "train one: python -m dogbreed.train"
    return ConfigError(f"{directory} holds neither a run nor a sweep", _ALLOWED, hint)


def _may_hold(entry: Path) -> bool:
    """Whether it can be named as a run or a sweep; one that may not be looked at cannot."""
    try:
        return _holds(entry, (*_OF_A_RUN, *_OF_A_SWEEP))
    except OSError:
        return False


def _holds(directory: Path, names: Iterable[str]) -> bool:
    # Not Path.is_file, which on newer Pythons takes what may not be looked at for what is not there.
    return any(_is_file(directory / name) for name in names)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def _looking_at(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(directory, error) from error


def _unreadable(directory: Path, error: OSError) -> ConfigError:
    what = f"{directory} cannot be read: {error.strerror or error}"
    return ConfigError(what, _ALLOWED, f"look at its permissions: ls -ld {shlex.quote(str(directory))}")


class Folder:
    """The files of a run or a sweep.

    Attributes:
        path: of the folder.
        problems: name of a file -> why it, or a part of it, could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            return _is_file(self.path / name)
        except OSError as error:
            self.problems[name] = error.strerror or type(error).__name__
            return False

    def json(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """What `parse` makes of a JSON file; None where it is missing or cannot be read."""
        return self._whole(name, lambda text: parse(json.loads(text)))

    def yaml(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """What `parse` makes of a YAML file; None where it is missing or cannot be read."""
        return self._whole(name, lambda text: parse(yaml.safe_load(text)))

    def text(self, name: str) -> str | None:
        """A text file; None where it is missing or cannot be read."""
        return self._whole(name, str)

    def rows(self, name: str, parse: Callable[[dict[str, str]], T]) -> list[T] | None:
        """What `parse` makes of each row of a CSV file; rows that it cannot read are left out and counted.

        None where the file is missing or holds no readable row under a header, though it holds some.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            lines = list(csv.reader(text.splitlines()))
        except csv.Error as error:
            self.problems[name] = str(error)
            return None
        header, body = (lines[0], lines[1:]) if lines else ([], [])
        # Half a number is a number too: what has no end of line is not read.
        wrong = 1 if body and not text.endswith("\n") else 0
        body = body[:-1] if wrong else body
        kept = []
        for cells in filter(None, body):
            try:
                kept.append(parse(dict(zip(header, cells, strict=True))))
            except _MISFITS:
                wrong += 1
        if wrong or not lines:
            self.problems[name] = f"{wrong:,} of {wrong + len(kept):,} lines could not be read" if lines else "is empty"
        return kept if kept or not (wrong or not lines) else None

    def lines(self, name: str, parse: Callable[[Any], T]) -> list[T] | None:
        """What `parse` makes of each line of JSON; those that it cannot read are left out and counted.

        A last line without its end is no line yet, and no problem. None where the file is missing or cannot be read.
        """
        content = self._bytes(name)
        if content is None:
            return None
        whole = content[: content.rfind(b"\n") + 1].splitlines()
        kept = []
        for line in whole:
            try:
                kept.append(parse(json.loads(line)))
            except _MISFITS:  # json's own error is a ValueError
                continue
        if len(kept) < len(whole):
            self.problems[name] = f"{len(whole) - len(kept):,} of {len(whole):,} lines could not be read"
        return kept

    def why(self, name: str, meaning: str) -> str:
        """Why there is nothing from a file, in a sentence; `meaning` says when such a file is not there."""
        if name in self.problems:
            return f"{name} cannot be used: {self.problems[name]}."
        return f"{name} holds nothing." if self.has(name) else f"There is no {name} here: {meaning}."

    def _whole(self, name: str, parse: Callable[[str], T]) -> T | None:
        content = self._bytes(name)
        if content is None:
            return None
        try:
            return parse(content.decode("utf-8"))
        except json.JSONDecodeError as error:
            self.problems[name] = f"it is no whole JSON, from line {error.lineno} on"
        except KeyError as error:
            self.problems[name] = f"it has no {error}"
        except (*_MISFITS, yaml.YAMLError) as error:
            self.problems[name] = str(error).strip().split("\n", 1)[0] or type(error).__name__
        return None

    def _bytes(self, name: str) -> bytes | None:
        if not self.has(name):
            return None
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            self.problems[name] = error.strerror or type(error).__name__
            return None
