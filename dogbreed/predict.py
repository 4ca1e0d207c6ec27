"""`python -m dogbreed.predict --artifact DIR FILES_OR_FOLDERS`: the breed on each picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.arguments import Parser, positive
from dogbreed.commands import ends_well
from dogbreed.data.folder import find_pictures
from dogbreed.exports.formats import ENGINES
from dogbreed.serving.answer import Wish
from dogbreed.serving.writers import WRITERS, Answer, print_answers

if TYPE_CHECKING:
    from dogbreed.serving.predictor import Predictor


@ends_well("pictures that were not answered can be asked again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Answer for every picture; 0 if all could be answered, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    from tqdm import tqdm

    from dogbreed.serving.predictor import Predictor  # here: asking for help needs no torch

    paths = list(find_pictures(options.paths))
    predictor = Predictor.load(options.artifact, options.device, options.engine)
    wish = Wish(options.top_k, options.correct_breed, options.correct_index)
    predictor.check(wish)
    answers = answer_all(predictor, paths, wish, options.batch_size)
    watched = tqdm(answers, total=len(paths), unit="picture", disable=not sys.stderr.isatty() or len(paths) < 50)
    return 0 if print_answers(watched, options.format) else 1


def answer_all(predictor: Predictor, paths: Sequence[str], wish: Wish, batch_size: int) -> Iterator[Answer]:
    """Each path with its prediction, or with why there is none, in order."""
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        yield from zip(batch, predictor.answer_each(batch, [wish] * len(batch)), strict=True)


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.predict",
        description="Name the breed on pictures. A picture that cannot be read is reported, and the others are still "
        "answered; the exit code is then 1.",
        epilog="example: python -m dogbreed.predict --artifact runs/RUN/artifact photos/ --format jsonl",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER", help="pictures, or folders of them")
    parser.add_argument("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    parser.add_argument("--format", choices=sorted(WRITERS), default="table", help="of the answers (default: table)")
    parser.add_argument("--top-k", type=positive, default=5, metavar="K", help="candidates a picture (default: 5)")
    parser.add_argument("--correct-breed", metavar="BREED", help="say how this breed fared on each picture")
    parser.add_argument("--correct-index", type=int, metavar="I", help="the same by its class index")
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="pictures at once (default: 32)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    parser.add_argument("--engine", default="torch", choices=ENGINES, help="torch, or an export in the artifact")
    return parser


if __name__ == "__main__":
    sys.exit(main())
