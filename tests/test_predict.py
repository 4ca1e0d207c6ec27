"""`dogbreed.predict`: answers that people and programs can read."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dogbreed.predict
from dogbreed.serving.predictor import Predictor

Command = Callable[..., Any]


@pytest.fixture
def predict(command: Command, trained_run: Path) -> Command:
    """Runs dogbreed.predict with the trained artifact: predict(*arguments)."""
    return lambda *arguments: command(dogbreed.predict.main, "--artifact", trained_run / "artifact", *arguments)


@pytest.fixture(scope="module")
def pictures(shared_folder: Path) -> list[Path]:
    """Two of each class."""
    return sorted((shared_folder / "test").glob("*/*_0000[01].jpg"))


@pytest.fixture(scope="module")
def expected(trained_run: Path, pictures: list[Path]) -> list[dict[str, Any]]:
    """What the library answers."""
    answers = Predictor.load(trained_run / "artifact").predict(pictures)
    return [{"path": str(path), **answer.to_dict()} for path, answer in zip(pictures, answers, strict=True)]


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_jsonl__holds_what_the_library_answers(
    predict: Command, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    assert lines_of(predict("--format", "jsonl", *pictures).out) == expected


def test_jsonl__has_the_documented_fields(predict: Command, pictures: list[Path]) -> None:
    line = lines_of(predict("--format", "jsonl", pictures[0]).out)[0]

    candidate = ["breed", "class_name", "index", "probability"]
    assert list(line) == ["path", *candidate, "top_k", "unsure", "look_alikes", "model"]
    assert [list(one) for one in line["top_k"]] == [candidate] * 4


def test_csv__parses_back_to_what_jsonl_says(
    predict: Command, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    rows = csv.DictReader(io.StringIO(predict("--format", "csv", *pictures).out))
    read = [
        {
            **{key: row[key] for key in ("path", "breed", "class_name", "model")},
            **{key: json.loads(row[key]) for key in ("index", "probability", "top_k", "unsure", "look_alikes")},
        }
        for row in rows
    ]

    assert read == expected


def test_table__has_a_line_for_each_picture(
    predict: Command, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    header, *rows = predict(*pictures).out.splitlines()

    assert header.split() == ["picture", "breed", "probability", "runners-up", "often", "confused", "with"]
    for row, answer in zip(rows, expected, strict=True):
        path, rest = row.split(maxsplit=1)
        others = ", ".join(f"{other['breed']} {other['probability']:.1%}" for other in answer["top_k"][1:])
        confused = ", ".join(other["breed"] for other in answer["look_alikes"])
        said = [answer["breed"], f"{answer['probability']:.1%}", "unsure" * answer["unsure"], others, confused]
        assert (path, " ".join(rest.split())) == (answer["path"], " ".join(filter(None, said)))


@pytest.mark.parametrize("kind", ["table", "jsonl", "csv"])
def test_predict__compares_with_the_breed_that_is_named(
    kind: str, predict: Command, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    breed, rank = expected[0]["top_k"][1]["breed"], 2
    ended = predict("--format", kind, "--correct-breed", breed, pictures[0])

    said = {"table": f"{breed}: rank {rank}, ", "jsonl": f'"rank": {rank}, "right": false', "csv": f'""rank"": {rank}'}
    assert said[kind] in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--correct-breed", "Breeed A"], "did you mean Breed A"),
        (["--correct-index", "4"], "allowed: 0 to 3"),
        (["--engine", "openvino"], "dogbreed.export"),
    ],
)
def test_predict__refuses_what_the_classifier_has_not(
    arguments: list[str], said: str, predict: Command, pictures: list[Path]
) -> None:
    ended = predict(*arguments, pictures[0])

    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err


def test_table__takes_marks_in_a_name_as_they_are(predict: Command, pictures: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / "[bold]a :dog: 100.jpg"
    shutil.copy(pictures[0], odd)

    assert str(odd) in predict(odd).out


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_predict__answers_alike_in_batches_of_any_size(
    batch_size: int, predict: Command, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    lines = lines_of(predict("--format", "jsonl", "--batch-size", batch_size, *pictures).out)

    assert [line["path"] for line in lines] == [answer["path"] for answer in expected]
    assert [line["probability"] for line in lines] == pytest.approx(
        [answer["probability"] for answer in expected], abs=2e-6
    )


@pytest.mark.parametrize(("top_k", "candidates"), [(1, 1), (2, 2), (50, 4)])
def test_predict__gives_as_many_candidates_as_asked(
    top_k: int, candidates: int, predict: Command, pictures: list[Path]
) -> None:
    line = lines_of(predict("--format", "jsonl", "--top-k", top_k, pictures[0]).out)[0]

    assert len(line["top_k"]) == candidates


def test_predict__reads_folders_to_the_bottom_and_leaves_out_what_is_hidden_or_no_picture(
    predict: Command, pictures: list[Path], tmp_path: Path
) -> None:
    wanted = ["b.JPG", "deep/er/a.jpg"]
    for name in [*wanted, ".hidden.jpg", "notes.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures[0], tmp_path / name)

    lines = lines_of(predict("--format", "jsonl", tmp_path).out)
    assert [line["path"] for line in lines] == [str(tmp_path / name) for name in wanted]


@pytest.mark.parametrize("kind", ["table", "jsonl", "csv"])
def test_predict__reports_a_bad_file_and_answers_the_others(
    kind: str, predict: Command, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(pictures[0].read_bytes()[:300])
    ended = predict("--format", kind, pictures[0], tmp_path / "bad.jpg", "nowhere.jpg", pictures[1])

    answered = [path for path in pictures if str(path) in ended.out]
    assert (ended.code, answered) == (1, pictures[:2])
    assert [line.split(" cannot be read")[0] for line in ended.err.splitlines()] == [
        str(tmp_path / "bad.jpg"),
        "nowhere.jpg",
    ]


def test_jsonl__has_a_line_for_a_bad_file_too(predict: Command, pictures: list[Path]) -> None:
    lines = lines_of(predict("--format", "jsonl", pictures[0], "nowhere.jpg", pictures[1]).out)

    assert [line["path"] for line in lines] == [str(pictures[0]), "nowhere.jpg", str(pictures[1])]
    assert set(lines[1]) == {"path", "error"}


def test_predict__of_bad_files_only_still_parses(predict: Command) -> None:
    ended = predict("--format", "csv", "nowhere.jpg")

    assert (ended.code, [row["path"] for row in csv.DictReader(io.StringIO(ended.out))]) == (1, ["nowhere.jpg"])


def test_predict__succeeds_where_all_could_be_answered(predict: Command, pictures: list[Path]) -> None:
    ended = predict(*pictures)

    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("kind", ["table", "jsonl", "csv"])
def test_predict__ends_quietly_where_the_reader_has_gone(
    kind: str, trained_run: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed_pipe:
        monkeypatch.setattr("sys.stdout", closed_pipe)
        code = dogbreed.predict.main(["--artifact", f"{trained_run}/artifact", "--format", kind, str(pictures[0])])
        monkeypatch.undo()

    assert code == 141  # and closing the pipe has not raised
