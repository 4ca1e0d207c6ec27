"""Bodies of requests: answered, or refused with a status of the client's mistakes."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import numpy as np

from dogbreed.errors import RequestError
from dogbreed.server.bodies import read_form
from dogbreed.serving.exchange import PICTURES, Question, answer_question, read_attributes, read_question
from dogbreed.serving.predictor import Predictor
from tests.fuzzing.bases import drawn_pictures, make_run
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.kinds.pictures import draw_picture, picture_of
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import SCALARS, change, draw_changes, example

_FORM = "multipart/form-data; boundary=b"
_STATUSES = (400, 413, 415)


class Cases:
    """A case is a body with its headers."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._bases = bases
        self._predictor: Predictor | None = None

    def make(self, rng: random.Random, number: int) -> Case:
        """A body of any type, damaged as a whole or in its values."""
        media = rng.choice((*PICTURES, "application/x-npy", "application/json", "application/json", _FORM))
        body = _draw_body(media, rng, number)
        if media not in PICTURES and rng.random() < 0.4:
            body = splice(body, draw_splices(body, rng, drawn_pictures()["plain.jpg"]))
        if rng.random() < 0.1:
            media = splice(media.encode(), draw_splices(media.encode(), rng)).decode("latin-1")
        wish = example(SCALARS, number)
        options = {rng.choice(("top_k", "correct_index", "correct_breed", "x")): wish} if rng.random() < 0.3 else {}
        attributes = "" if rng.random() < 0.9 else f"top_k={wish}&&=%zz&correct_breed=%ff"
        return {
            "body": base64.b64encode(body).decode(),
            "media": media,
            "options": {key: str(value) for key, value in options.items()},
            "attributes": attributes,
        }

    def check(self, case: Case) -> str:
        """The answer is JSON with probabilities, or the client's mistake is told."""
        body, media = base64.b64decode(case["body"]), case["media"]
        options = {**case["options"], **read_attributes(case["attributes"])}
        try:
            asked: Question = (read_form if media.startswith("multipart/") else read_question)(body, media, options)
            answer = json.loads(answer_question(self._load(), asked))
        except RequestError as error:
            if error.status not in _STATUSES:
                wrong("a status of another's mistake", error.status)
            str(error).encode()  # what is told can be sent
            return "refused"
        for one in answer.get("predictions", [answer]):
            if "error" not in one and not 0 <= one["probability"] <= 1:
                wrong("no probability", one)
        return "right"

    def _load(self) -> Predictor:
        if self._predictor is None:
            self._predictor = Predictor.load(make_run(self._bases) / "artifact")
        return self._predictor


def _draw_body(media: str, rng: random.Random, number: int) -> bytes:
    photo = drawn_pictures()["plain.jpg"]
    if media in PICTURES:
        return picture_of(draw_picture(rng))
    if media == "application/x-npy":
        content = io.BytesIO()
        shape = rng.choice([(4, 4, 3), (2, 4, 4, 3), (4, 4), (0, 4, 3), (70, 2, 2, 3), (1, 300, 3)])
        np.save(content, np.zeros(shape, rng.choice(["u1", "u1", "f4", "<U3"])), allow_pickle=False)
        return content.getvalue()
    if media == _FORM:
        part = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n"
        field = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n'
        return part * rng.choice((1, 2, 65)) + field + b"--b--\r\n"
    image = base64.b64encode(photo).decode()
    one = {"image": image, "top_k": 3, "correct_index": 1}
    asked = rng.choice(
        (one, {"instances": [one, {"image": image, "correct_breed": "Breed A"}]}, {"s3_uri": "s3://b/k"})
    )
    return json.dumps(change(asked, draw_changes(asked, number))).encode()
