"""`python -m launch.process interrupt NAME`: takes the spot instance away from a job that runs on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from launch.connect import jobs_folder
from launch.process.backend import ProcessBackend


@ends_well("run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Interrupt a job; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    ProcessBackend(jobs_folder(options.process_dir)).interrupt(options.name)
    print(f"{options.name} is interrupted; it goes on from its checkpoints")
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(prog="python -m launch.process", description="Jobs of the process backend.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    text = "take the spot instance away from a job, which then goes on from its checkpoints on another one"
    interrupt = commands.add_parser("interrupt", help=text, description=text)
    interrupt.add_argument("name", metavar="NAME", help="the training job")
    interrupt.add_argument("--process-dir", metavar="D", help="where the jobs are kept (default: as launch.jobs)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
