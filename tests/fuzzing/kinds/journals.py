"""Damaged sweeps: continued from what is whole and reported, or refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from dogbreed.errors import DogbreedError
from dogbreed.report import main as report
from dogbreed.sweeps.journal import Journal
from tests.fuzzing.bases import make_sweep
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.commands import ends
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes

_JOURNAL = "trials.jsonl"
_FILES = (_JOURNAL, _JOURNAL, _JOURNAL, "trials.json", "summary.json", "best.yaml", "trials.csv", "config.yaml")


class Cases:
    """A case is what changes in one file of a sweep."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._source, self._work = make_sweep(bases), work / "sweep"
        lines = (self._source / _JOURNAL).read_text().splitlines()
        self._plan = json.loads(lines[0])["plan"]
        self._copy()  # to read, too: other processes have the same source
        self._records = self._read(self._work)

    def make(self, rng: random.Random, number: int) -> Case:
        """Changes of values, or of bytes."""
        path = self._source / rng.choice([name for name in _FILES if (self._source / name).exists()])
        content = path.read_bytes()
        if path.suffix.startswith(".json") and rng.random() < 0.5:
            value = json.loads(content) if path.suffix == ".json" else list(map(json.loads, content.splitlines()))
            return {"file": path.name, "changes": draw_changes(value, number)}
        return {"file": path.name, "splices": draw_splices(content, rng, content)}

    def check(self, case: Case) -> str:
        """The report ends well; the journal holds no trial that was damaged, or is refused."""
        self._copy()
        path = self._work / case["file"]
        if "splices" in case:
            path.write_bytes(splice(path.read_bytes(), case["splices"]))
        elif path.suffix == ".json":
            path.write_text(json.dumps(change(json.loads(path.read_text()), case["changes"])))
        else:
            lines = change(list(map(json.loads, path.read_text().splitlines())), case["changes"])
            path.write_text(
                "".join(json.dumps(line) + "\n" for line in (lines if isinstance(lines, list) else [lines]))
            )
        told = ends(lambda: report([str(self._work)]))
        try:
            found = self._read(self._work)
        except DogbreedError:
            return "refused"
        if case["file"] != _JOURNAL and found != self._records:
            wrong("other trials", found)
        return told

    def _copy(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(
            self._source, self._work, ignore=shutil.ignore_patterns("*.safetensors", "*.ckpt", "report.html")
        )

    def _read(self, directory: Path) -> dict[int, str]:
        with Journal(directory, self._plan, resume=True) as journal:
            journal.write_tables("val/acc")
            return {number: repr(journal.last[number]) for number in journal.last if journal.is_done(number)}
