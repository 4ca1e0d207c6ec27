"""`python -m dogbreed.health replay | tensors`: a finished run judged again, and what smdebug saved of one."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import legible_lines
from dogbreed.health.smdebug.trial import Trial, open_trial
from dogbreed.health.tensors import REDUCTIONS, Row, curves, draw, list_tensors
from dogbreed.replay import replay
from dogbreed.tables import print_table

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


@ends_well("nothing was changed; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _tensors(options: argparse.Namespace) -> int:
    trial = open_trial(options.path)
    if options.plot is None:
        _show(list_tensors(trial))
        modes = {mode: sum(step.mode == mode for step in trial.steps) for mode in dict.fromkeys(_modes(trial))}
        print(f"{', '.join(f'{count:,} steps of {mode}' for mode, count in modes.items())} in {options.path}")
        following = "draw the losses", ["tensors", options.path, "--plot"]
    else:
        wanted = options.plot or None
        found = curves(trial, wanted, options.of)
        draw(found, options.out, f"{wanted or 'losses'}: {options.path}")
        points = sum(len(curve.steps) for curve in found)
        print(f"drew {len(found)} curves of {points:,} points: {options.out.resolve()}")
        following = "judge the run by the rules", ["replay", options.path]
    if trial.damaged:
        more = f" and {len(trial.damaged) - 1} more" if len(trial.damaged) > 1 else ""
        print(f"left out, for it is damaged or half written: {trial.damaged[0]}{more}", file=sys.stderr)
    what, command = following
    print(f"{what}:\n  {shlex.join(['python', '-m', 'dogbreed.health', *command])}")
    return 0


def _replay(options: argparse.Namespace) -> int:
    print(legible_lines("\n".join(replay(options.path, options.overrides))))
    return 0


def _show(rows: Sequence[Row]) -> None:
    modes = list(dict.fromkeys(mode for row in rows for mode in row.steps))
    table = Table("tensor", "shape", "collections", *modes, box=None)
    for row in rows:
        shape = "?" if row.shape is None else "x".join(map(str, row.shape)) or "scalar"
        table.add_row(row.name, shape, ", ".join(row.collections), *(_steps(row.steps.get(mode, [])) for mode in modes))
    print_table(table)


def _steps(steps: Sequence[int]) -> str:
    """How many, and which.

    >>> _steps([0, 50, 100]), _steps([7]), _steps([])
    ('3: 0..100', '1: 7', '')
    """
    if not steps:
        return ""
    return f"{len(steps):,}: {steps[0]}..{steps[-1]}" if len(steps) > 1 else f"1: {steps[0]}"


def _modes(trial: Trial) -> list[str]:
    return [step.mode for step in trial.steps]


def _add_tensors(commands: Commands) -> None:
    text = "list what smdebug saved, or draw it: tensors, steps and modes"
    command = commands.add_parser("tensors", help=text, description=text)
    command.set_defaults(run=_tensors)
    command.add_argument("path", metavar="DIR", help="what smdebug wrote: a folder, or s3://bucket/prefix")
    command.add_argument(
        "--plot", nargs="?", const="", metavar="NAME|REGEX", help="draw tensors over the steps (the losses)"
    )
    command.add_argument(
        "--of",
        metavar="REDUCTION",
        default=REDUCTIONS[0],
        help=f"what of a tensor is drawn, or was saved in its place: {', '.join(REDUCTIONS)} (mean)",
    )
    command.add_argument(
        "--out", type=Path, default=Path("tensors.png"), metavar="FILE", help=".png or .svg (tensors.png)"
    )


def _add_replay(commands: Commands) -> None:
    text = "judge a finished run by the rules: one of ours, what smdebug saved, or a SageMaker job's files"
    command = commands.add_parser("replay", help=text, description=text)
    command.set_defaults(run=_replay)
    command.add_argument(
        "path", metavar="PATH", help="a run's directory, what smdebug wrote (also s3://...), a job's log or its files"
    )
    command.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="of the rules: health=aws health.rules.Overfit.patience=3"
    )


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.health", description="What was wrong with a run, and what was saved of it."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_replay, _add_tensors):  # each command's own arguments
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
