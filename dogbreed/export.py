"""`python -m dogbreed.export --artifact DIR --format F --pictures FOLDER`: the classifier in another form, checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.arguments import Parser, positive
from dogbreed.commands import ends_well
from dogbreed.data.folder import find_pictures
from dogbreed.exports.formats import FORMATS, PRECISIONS, load_format

if TYPE_CHECKING:
    from dogbreed.exports.judging import Judged


@ends_well("an export that is not whole was not kept; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Export and say how it compares with torch; 0 if it is as good, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    load_format(options.format)  # before torch, which takes seconds to load
    from dogbreed.exports.judging import spread
    from dogbreed.exports.writing import export

    pictures = spread(list(find_pictures(options.pictures)), options.limit)
    calibrate = list(find_pictures(options.calibrate))
    model, folder, judged = export(
        options.artifact, options.format, pictures, precision=options.precision, calibrate=calibrate
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{model} in {options.format}, {options.precision}: {folder} ({size / 1e6:.1f} MB)")
    print(_compared(judged))
    asked = ["--artifact", str(options.artifact), "--engine", options.format, pictures[0]]
    print(f"use it:\n  {shlex.join(['python', '-m', 'dogbreed.predict', *asked])}")
    return 0


def _compared(judged: Judged) -> str:
    left_out = f" ({judged.unreadable:,} more cannot be read)" if judged.unreadable else ""
    lines = [
        f"compared with torch on {judged.pictures:,} pictures{left_out}:",
        f"  largest difference of a logit  {judged.largest_difference:.2e}, {judged.share:.1e} of the largest logit",
        f"  same label                     {judged.agreement:.2%}",
    ]
    if judged.accuracy is not None and judged.accuracy_torch is not None:
        of = "" if judged.labelled == judged.pictures else f", of {judged.labelled:,} whose folder names a class"
        lines.append(f"  right                          {judged.accuracy:.2%}; torch {judged.accuracy_torch:.2%}{of}")
    return "\n".join(lines)


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.export",
        description="Write the classifier of an artifact in another form, into the artifact. It is compared with torch "
        "on real pictures first, and refused where it is worse: nothing is written then, and the exit code is 1.",
        epilog="example: python -m dogbreed.export --artifact runs/RUN/artifact --format openvino --precision int8 "
        "--pictures DATA/test --calibrate DATA/train",
    )
    parser.add_argument("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    parser.add_argument("--format", required=True, choices=FORMATS, help="the form")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="int8: openvino only (default: fp32)")
    parser.add_argument(
        "--pictures",
        required=True,
        nargs="+",
        metavar="FILE_OR_FOLDER",
        help="to compare on; in folders named after their classes, accuracy is compared too",
    )
    parser.add_argument(
        "--calibrate", nargs="+", default=[], metavar="FILE_OR_FOLDER", help="for int8: pictures of train, 300 are read"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="compare on N of the pictures, evenly spread")
    return parser


if __name__ == "__main__":
    sys.exit(main())
