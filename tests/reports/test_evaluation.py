"""The tables of an evaluation against scikit-learn, and its picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from dogbreed.errors import OutputError
from dogbreed.reports.evaluation import CONFUSED, PER_CLASS, PICTURE, Counts, confused, per_class, write_evaluation


def draw(num_classes: int, present: int) -> tuple[list[int], list[int], Counts, list[str]]:
    """Targets among the first `present` classes, answers that are right half of the time, their counts, names."""
    rng = np.random.default_rng(num_classes)
    targets = rng.integers(0, present, 300)
    preds = np.where(rng.random(300) < 0.5, targets, rng.integers(0, present, 300))
    counts = confusion_matrix(targets, preds, labels=range(num_classes))
    return targets.tolist(), preds.tolist(), counts, [f"{i:03d}.Breed_{i}" for i in range(num_classes)]


def test_per_class__agrees_with_scikit_learn() -> None:
    targets, preds, counts, names = draw(7, 7)
    precision, recall, f1, pictures = precision_recall_fscore_support(targets, preds, labels=range(7))

    rows = per_class(counts, names)
    found = np.array([[row[key] for key in ("precision", "recall", "f1", "pictures")] for row in rows])
    np.testing.assert_allclose(found, np.stack([precision, recall, f1, pictures], axis=1), rtol=0, atol=5e-5)


def test_per_class__leaves_empty_what_cannot_be_divided() -> None:
    _, _, counts, names = draw(7, 5)

    assert per_class(counts, names)[6] == {
        "class_name": names[6],
        "pictures": 0,
        "recall": "",
        "precision": "",
        "f1": "",
    }


def test_confused__lists_every_mistake_worst_first() -> None:
    targets, preds, counts, names = draw(5, 5)
    mistakes: dict[tuple[str, str], int] = {}
    for target, pred in zip(targets, preds, strict=True):
        if target != pred:
            mistakes[names[target], names[pred]] = mistakes.get((names[target], names[pred]), 0) + 1

    rows = confused(counts, names)
    assert {(row["true"], row["predicted"]): row["pictures"] for row in rows} == mistakes
    assert [row["pictures"] for row in rows] == sorted(mistakes.values(), reverse=True)


def test_confused__shares_are_of_the_true_class() -> None:
    targets, _, counts, names = draw(5, 5)

    assert [row["share"] for row in confused(counts, names)] == pytest.approx(
        [row["pictures"] / targets.count(names.index(row["true"])) for row in confused(counts, names)], abs=5e-5
    )


def test_confused__stops_at_the_limit() -> None:
    _, _, counts, names = draw(20, 20)

    assert confused(counts, names, limit=6) == confused(counts, names)[:6]


def test_confused__of_a_perfect_classifier_is_empty() -> None:
    assert confused(np.diag([3, 4, 5]), ["a", "b", "c"]) == []


def test_confused__leaves_the_counts_alone() -> None:
    counts = np.array([[3, 1], [2, 4]])
    confused(counts, ["a", "b"])

    assert counts.tolist() == [[3, 1], [2, 4]]


@pytest.mark.parametrize(("num_classes", "smallest", "largest"), [(2, 600, 1500), (3, 600, 1500), (133, 3000, 6000)])
def test_write_evaluation__draws_a_picture_that_can_be_read(
    num_classes: int, smallest: int, largest: int, tmp_path: Path
) -> None:
    _, _, counts, names = draw(num_classes, num_classes)
    write_evaluation(tmp_path, counts, names, "test: 50.0 % right")

    with Image.open(tmp_path / PICTURE) as picture:
        picture.load()
        assert (picture.format, *(smallest <= side <= largest for side in picture.size)) == ("PNG", True, True)
        assert len(picture.convert("L").getcolors(256) or []) > 20  # not one colour


def test_write_evaluation__writes_tables_that_parse(tmp_path: Path) -> None:
    _, _, counts, names = draw(4, 4)
    odd = ['comma, "quoted"', "Übermut", *names[2:]]
    write_evaluation(tmp_path, counts, odd, "title")

    with (tmp_path / PER_CLASS).open(encoding="utf-8", newline="") as file:
        assert [row["class_name"] for row in csv.DictReader(file)] == odd
    with (tmp_path / CONFUSED).open(encoding="utf-8", newline="") as file:
        assert sum(int(row["pictures"]) for row in csv.DictReader(file)) == counts.sum() - counts.trace()


@pytest.mark.parametrize("name", ["$\\nope$", "$x^2$", "a\\b"])
def test_write_evaluation__takes_names_as_they_are(name: str, tmp_path: Path) -> None:
    write_evaluation(tmp_path, np.array([[3, 1], [2, 4]]), [name, "plain"], name)

    assert Image.open(tmp_path / PICTURE).size[0] > 600


def test_write_evaluation__below_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OutputError, match="cannot be written"):
        write_evaluation(tmp_path / "file", np.array([[3, 1], [2, 4]]), ["a", "b"], "title")
