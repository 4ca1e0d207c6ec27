"""Damaged results of a run: reported and judged as far as they can be read, or refused."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

from dogbreed.health.__main__ import main as health
from dogbreed.report import main as report
from tests.fuzzing.bases import make_run
from tests.fuzzing.case import Case
from tests.fuzzing.commands import ends
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes


class Cases:
    """A case is what changes in one file of a run, and who reads it."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._source, self._work = make_run(bases), work / "run"

    def make(self, rng: random.Random, number: int) -> Case:
        """Changes of values in JSON, of bytes in any file."""
        endings = (".json", ".jsonl", ".csv", ".yaml", ".jpg", ".png")
        files = sorted(path for path in self._source.rglob("*") if path.suffix in endings and "steps" not in path.parts)
        path = rng.choice(files)
        case: Case = {
            "file": path.relative_to(self._source).as_posix(),
            "reader": rng.choice(("report", "report", "replay")),
        }
        if path.suffix == ".json" and rng.random() < 0.7:
            return {**case, "changes": draw_changes(json.loads(path.read_text()), number)}
        if path.suffix == ".jsonl" and rng.random() < 0.7:
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            return {**case, "changes": draw_changes(lines, number)}
        return {**case, "splices": draw_splices(path.read_bytes(), rng, rng.choice(files).read_bytes())}

    def check(self, case: Case) -> str:
        """The command ends well, or with one clear error."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(
            self._source, self._work, ignore=shutil.ignore_patterns("*.safetensors", "*.ckpt", "report.html")
        )
        path = self._work / case["file"]
        if "splices" in case:
            path.write_bytes(splice(path.read_bytes(), case["splices"]))
        elif path.suffix == ".json":
            path.write_text(json.dumps(change(json.loads(path.read_text()), case["changes"])))
        else:
            lines = change([json.loads(line) for line in path.read_text().splitlines()], case["changes"])
            path.write_text(
                "".join(json.dumps(line) + "\n" for line in (lines if isinstance(lines, list) else [lines]))
            )
        if case["reader"] == "report":
            return ends(lambda: report([str(self._work)]))
        with patch.object(sys, "argv", ["health", "replay", str(self._work)]):
            return ends(health)
