"""Damaged artifacts: a classifier that answers, or refused."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from pathlib import Path

from dogbreed.errors import DogbreedError
from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor
from tests.fuzzing.bases import drawn_pictures, make_run
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import change, draw_changes

_JSON, _WEIGHTS = "artifact.json", "weights.safetensors"


class Cases:
    """A case is what changes in the files of a trained run's artifact."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._artifact, self._work = make_run(bases) / "artifact", work / "artifact"

    def make(self, rng: random.Random, number: int) -> Case:
        """A change of values, of bytes, or of the weights with their checksum."""
        about, weights = (self._artifact / _JSON).read_bytes(), (self._artifact / _WEIGHTS).read_bytes()
        if rng.random() < 0.5:
            return {"changes": draw_changes(json.loads(about), number)}
        if rng.random() < 0.4:
            return {"file": _JSON, "splices": draw_splices(about, rng, weights)}
        # The header of the weights is where a reader can go wrong.
        return {"file": _WEIGHTS, "splices": draw_splices(weights, rng, about), "mend": rng.random() < 0.8}

    def check(self, case: Case) -> str:
        """It answers a picture with probabilities, or is refused; unless it was mended, no other weights pass."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._artifact, self._work)
        about = json.loads((self._artifact / _JSON).read_text())
        if "changes" in case:
            (self._work / _JSON).write_text(json.dumps(change(about, case["changes"])))
        else:
            content = splice((self._artifact / case["file"]).read_bytes(), case["splices"])
            (self._work / case["file"]).write_bytes(content)
            if case.get("mend"):
                about["weights_sha256"] = hashlib.sha256(content).hexdigest()
                (self._work / _JSON).write_text(json.dumps(about))
        try:
            predictor = Predictor.load(self._work)
        except DogbreedError:
            return "refused"
        answer = predictor(drawn_pictures()["plain.jpg"])
        if not all(math.isfinite(one.probability) and 0 <= one.probability <= 1 for one in answer.top_k):
            wrong("no probabilities", answer)
        to_json(answer.to_dict()).encode(errors="backslashreplace")
        if case.get("file") == _WEIGHTS and not case["mend"] and not self._same():
            wrong("damaged weights pass", case["splices"])
        return "right"

    def _same(self) -> bool:
        return (self._work / _WEIGHTS).read_bytes() == (self._artifact / _WEIGHTS).read_bytes()
