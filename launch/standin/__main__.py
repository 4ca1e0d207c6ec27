"""`python -m launch.standin`: AWS on this machine, until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from dogbreed.arguments import Parser, port
from dogbreed.commands import ends_well
from launch.standin.running import stand_in


@ends_well("everything there is forgotten")
def main(arguments: Sequence[str] | None = None) -> int:
    """Stand in for AWS until told to stop; 0 then, 1 where it could not start."""
    options = make_parser().parse_args(arguments)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())  # Ctrl-C comes here, too: dogbreed.interrupts
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder), options.port) as environment:
        print("# in another terminal, for every command that is to find this stand-in in the place of AWS:")
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
        print("# it is there until Ctrl-C, and then everything there is forgotten", flush=True)
        told.wait()
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m launch.standin",
        description="Stand in for AWS on this machine: S3, SageMaker's training, tuning and transform jobs, which "
        "really run, and endpoints, which really answer. Prints the variables by which commands find it. Nothing is "
        "billed, and nothing stays.",
    )
    parser.add_argument("--port", type=port, default=0, metavar="N", help="to listen on (default: any free one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
