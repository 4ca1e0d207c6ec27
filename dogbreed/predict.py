"""`python -m dogbreed.predict --artifact DIR FILES_OR_FOLDERS`: the breed on each picture."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from dogbreed.data.images import EXTENSIONS
from dogbreed.errors import ConfigError, DogbreedError, ImageError
from dogbreed.serving.predictor import Prediction, Predictor

Answer = tuple[str, Prediction | ImageError]


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer for every picture; 0 if all could be answered, 1 otherwise."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        paths = list(find_pictures(options.paths))
        predictor = Predictor.load(options.artifact, options.device)
        answers = answer_all(predictor, paths, options.top_k, options.batch_size)
        watched = tqdm(answers, total=len(paths), unit="picture", disable=not sys.stderr.isatty() or len(paths) < 50)
        bad = _WRITERS[options.format](watched)
        sys.stdout.flush()  # here, and not when Python ends, where nothing catches what a closed pipe raises
        return 1 if bad else 0
    except DogbreedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def find_pictures(paths: Iterable[str]) -> Iterator[str]:
    """The files named, and the pictures in the folders named, hidden ones left out, in sorted order.

    Raises:
        ConfigError: a folder holds no picture.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        found = [
            os.path.join(parent, name)
            for parent, _, files in sorted(os.walk(path))
            if not any(part.startswith(".") for part in os.path.relpath(parent, path).split(os.sep) if part != ".")
            for name in sorted(files)
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
        if not found:
            raise ConfigError(
                f"no picture in {path}", f"{', '.join(sorted(EXTENSIONS))}", "name other files or folders"
            )
        yield from found


def answer_all(predictor: Predictor, paths: Sequence[str], top_k: int, batch_size: int) -> Iterator[Answer]:
    """Each path with its prediction, or with why there is none, in order."""
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        views: list[Tensor | ImageError] = []
        for path in batch:
            try:
                views.append(predictor.view(path))
            except ImageError as error:
                views.append(error)
        good = [view for view in views if isinstance(view, Tensor)]
        predictions = iter(predictor.answer(torch.stack(good), top_k) if good else [])
        for path, view in zip(batch, views, strict=True):
            yield path, view if isinstance(view, ImageError) else next(predictions)


def _write_table(answers: Iterable[Answer]) -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table("picture", "breed", "probability", "runners-up", box=None, pad_edge=False)
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            continue
        others = ", ".join(f"{other.breed} {other.probability:.1%}" for other in answer.top_k[1:4])
        table.add_row(path, answer.breed, f"{answer.probability:.1%}", others)
    # Off a terminal the table is as wide as its longest row, so that nothing is cut or folded.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False, emoji=False)
    if table.row_count:
        console.print(table)
    return bad


def _write_jsonl(answers: Iterable[Answer]) -> int:
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            print(json.dumps({"path": path, "error": answer.got}, ensure_ascii=False))
        else:
            print(json.dumps({"path": path, **answer.to_dict()}, ensure_ascii=False))
    return bad


def _write_csv(answers: Iterable[Answer]) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "breed", "class_name", "index", "probability", "top_k", "error"))
    bad = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            bad += _report(path, answer)
            writer.writerow((path, "", "", "", "", "", answer.got))
        else:
            top = json.dumps(answer.to_dict()["top_k"], ensure_ascii=False)
            writer.writerow((path, answer.breed, answer.class_name, answer.index, answer.probability, top, ""))
    return bad


_WRITERS = {"table": _write_table, "jsonl": _write_jsonl, "csv": _write_csv}


def _report(path: str, error: ImageError) -> int:
    print(f"{path}: {error.got}" if path not in error.got else error.got, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dogbreed.predict",
        description="Name the breed on pictures. A picture that cannot be read is reported, and the others are still "
        "answered; the exit code is then 1.",
        epilog="example: python -m dogbreed.predict --artifact runs/RUN/artifact photos/ --format jsonl",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER", help="pictures, or folders of them")
    parser.add_argument("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    parser.add_argument("--format", choices=sorted(_WRITERS), default="table", help="of the answers (default: table)")
    parser.add_argument("--top-k", type=_positive, default=5, metavar="K", help="candidates a picture (default: 5)")
    parser.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="pictures at once (default: 32)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    return parser


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
