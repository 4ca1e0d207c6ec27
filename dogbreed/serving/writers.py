"""Answers as text: a table for people, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable

from dogbreed.errors import ImageError, legible
from dogbreed.serving.answer import Prediction, to_json

Answer = tuple[str, Prediction | ImageError]


def print_answers(answers: Iterable[Answer], form: str) -> bool:
    """Print each picture's answer, and on stderr why one has none; whether all were answered.

    Args:
        answers: each picture's name with its answer.
        form: one of `WRITERS`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    return WRITERS[form](answers) == 0


def _write_table(answers: Iterable[Answer]) -> int:
    from rich.table import Table

    from dogbreed.tables import print_table

    answers = list(answers)
    compared = any(isinstance(answer, Prediction) and answer.correct for _, answer in answers)
    columns = ["picture", "breed", "probability", "", "runners-up", *["correct"] * compared, "often confused with"]
    table = Table(*columns, box=None, pad_edge=False)
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            continue
        others = ", ".join(f"{other.breed} {other.probability:.1%}" for other in answer.top_k[1:4])
        unsure = "unsure" if answer.unsure else ""
        table.add_row(
            legible(path),
            answer.breed,
            f"{answer.probability:.1%}",
            unsure,
            others,
            *[_compared(answer)] * compared,
            ", ".join(other.breed for other in answer.look_alikes),
        )
    if table.row_count:
        print_table(table)
    return bad


def _compared(answer: Prediction) -> str:
    correct = answer.correct
    if correct is None:
        return ""
    return "right" if correct.right else f"{correct.breed}: rank {correct.rank}, {correct.probability:.1%}"


def _write_jsonl(answers: Iterable[Answer]) -> int:
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            print(to_json({"path": path, "error": answer.got}))
        else:
            print(to_json({"path": path, **answer.to_dict()}))
    return bad


def _write_csv(answers: Iterable[Answer]) -> int:
    names = ("breed", "class_name", "index", "probability", "unsure", "model")
    lists = ("top_k", "look_alikes", "correct")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", *names, *lists, "error"))
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            writer.writerow((path, *[""] * (len(names) + len(lists)), answer.got))
        else:
            content = answer.to_dict()
            nested = [to_json(content[name]) if name in content else "" for name in lists]
            plain = [to_json(content[name]) if name == "unsure" else content[name] for name in names]
            writer.writerow((path, *plain, *nested, ""))
    return bad


#: Each prints all answers, and returns how many pictures had none.
WRITERS: dict[str, Callable[[Iterable[Answer]], int]] = {
    "table": _write_table,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}


def _report(path: str, error: ImageError) -> int:
    print(legible(f"{path}: {error.got}" if path not in error.got else error.got), file=sys.stderr)
    return 1
