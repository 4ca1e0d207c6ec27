"""What a write-up shows beyond the run's files: samples of its pictures, and the classifier's answer for one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dogbreed.data.folder import Split
from dogbreed.errors import DogbreedError
from dogbreed.reports.contents import Prediction, Run
from dogbreed.reports.figures import Figures
from dogbreed.reports.markdown import Markdown
from dogbreed.reports.pictures import thumbnail
from dogbreed.reports.summary_grid import draw_grid
from dogbreed.reports.writeup_commands import python

_CLASSES, _PICTURES = 6, 5
_TOP_K = 3


class Asked(NamedTuple):
    """A question that was put to the artifact while the write-up was made.

    Attributes:
        picture: that it was asked about.
        command: that asks the same.
        answer: what it said, as JSON.
        true: the class that the picture is of.
        right: whether that is what it said.
    """

    picture: Markdown
    command: str
    answer: str
    true: str
    right: bool


def draw_samples(run: Run, figures: Figures) -> Markdown | None:
    """Some pictures of some classes of test; None where the pictures are not here."""
    there = dict(_still_there(run))
    if not there:
        return None
    names = run.class_names
    split = Split("test", [str(path) for path in there.values()], [names.index(one.true) for one in there])
    grid = draw_grid(split, names, classes=_CLASSES, pictures=_PICTURES, seed=0)
    return figures.picture("samples", grid, "Pictures of test")


def ask(run: Run, figures: Figures) -> Asked | str:
    """The artifact's answer for the first of test's pictures that is still here; else why there is none."""
    answered, path = next(_still_there(run), (None, None))
    if answered is None or path is None:
        nobody = run.folder.why("predictions.csv", "the run did not get to its test")
        return "The pictures of test are no longer where the run saw them." if run.predictions else nobody
    try:
        from dogbreed.serving.predictor import Predictor  # here: torch, which all else does without

        artifact = run.folder.path / "artifact"
        answer = Predictor.load(artifact)(str(path), _TOP_K)
        shown = figures.picture("asked", thumbnail(str(path)), answer.breed)
    except DogbreedError as error:
        return f"It could not be asked: {error.got}."
    options = ["--artifact", str(artifact), "--format", "jsonl", "--top-k", str(_TOP_K)]
    command = python("dogbreed.predict", *options, str(path))
    text = json.dumps(answer.to_dict(), indent=2, ensure_ascii=False)
    return Asked(shown, command, text, answered.true, answer.class_name == answered.true)


def picture_of_test(run: Run) -> str | None:
    """The path of the first picture of test that is still here, which `ask` asks about, too."""
    return next((str(path) for _, path in _still_there(run)), None)


def parameters(weights: Path) -> dict[str, int]:
    """How many numbers the head and the backbone hold, by their weights' file; empty where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    sizes = {"head": 0, "backbone": 0}
    try:
        with safe_open(weights, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                sizes[name.split(".", 1)[0]] += math.prod(file.get_slice(name).get_shape())
    except (OSError, KeyError, SafetensorError):
        return {}
    return sizes


def _still_there(run: Run) -> Iterator[tuple[Prediction, Path]]:
    """The answers whose pictures can be found: where the run saw them, or from here."""
    below = Path(run.about.get("directory") or ".")
    for one in run.predictions:
        found = next((path for path in (Path(one.path), below / one.path) if path.is_file()), None)
        if found is not None:
            yield one, found
