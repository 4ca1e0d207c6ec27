"""Damaged exports: the answers of torch, or refused; what was changed together with its checksums does not crash."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import torch

from dogbreed.errors import DogbreedError
from dogbreed.exports.writing import DESCRIPTION, checksums, export
from dogbreed.serving.predictor import Predictor
from tests.fuzzing.bases import alone, drawn_pictures, make_photos, make_run
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes

_FORM = "torch_export"


class Cases:
    """A case is what changes in the files of an artifact's export."""

    def __init__(self, bases: Path, work: Path) -> None:
        run, photos = make_run(bases), make_photos(bases)
        self._artifact, self._work = bases / "exported", work / "artifact"
        with alone(bases):
            if not (self._artifact / "exports" / _FORM).exists():
                shutil.copytree(run / "artifact", self._artifact, dirs_exist_ok=True)
                export(self._artifact, _FORM, sorted(map(str, photos.glob("test/*/*.jpg"))))
        self._expected = self._answer(self._artifact)

    def make(self, rng: random.Random, number: int) -> Case:
        """A change of the description's values, or of the bytes of a file, whose checksum may be made right again."""
        folder = self._artifact / "exports" / _FORM
        if rng.random() < 0.2:
            return {"changes": draw_changes(json.loads((folder / DESCRIPTION).read_text()), number)}
        name = rng.choice(sorted(path.name for path in folder.iterdir()))
        content = (folder / name).read_bytes()
        return {"file": name, "splices": draw_splices(content, rng, content), "mend": rng.random() < 0.8}

    def check(self, case: Case) -> str:
        """It answers as torch does, unless it was mended, or is refused."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._artifact, self._work)
        folder = self._work / "exports" / _FORM
        about = json.loads((folder / DESCRIPTION).read_text())
        if "changes" in case:
            (folder / DESCRIPTION).write_text(json.dumps(change(about, case["changes"])))
        else:
            path = folder / case["file"]
            path.write_bytes(splice(path.read_bytes(), case["splices"]))
            if case["mend"] and case["file"] != DESCRIPTION:
                (folder / DESCRIPTION).write_text(json.dumps({**about, "files": checksums(folder)}))
        try:
            found = self._answer(self._work)
        except DogbreedError:
            return "refused"
        if not case.get("mend") and not torch.equal(found, self._expected):
            wrong("other answers", found)
        return "right"

    def _answer(self, artifact: Path) -> torch.Tensor:
        predictor = Predictor.load(artifact, engine=_FORM)
        return predictor.probs(predictor.view(drawn_pictures()["plain.jpg"])[None])
