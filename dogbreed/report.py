"""`python -m dogbreed.report PATH`: one HTML file about a run or a sweep; `--card`: a write-up and a model card."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
from dogbreed.reports.reading import holds_sweep

_WHAT = """\
Writes report.html into the folder of a run or a sweep: one file that needs no network.
With --card it writes Markdown instead: writeup.md with its figures, and model_card.md. They lie in the folder of
the first run, or else of the first sweep's winner, and tell what all the folders hold."""
_EXAMPLES = """examples:
  python -m dogbreed.report runs/first
      report.html, to look at
  python -m dogbreed.report --card runs/first runs/sweep runs/job
      writeup.md and model_card.md in runs/first, which say what was done and where each number was read"""


@ends_well("no report was written over an older one; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report, or the write-up; 0 if there is one, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    if options.card:
        _write_up(options.paths)
        return 0
    if len(options.paths) > 1:
        raise ConfigError(
            f"{len(options.paths)} folders",
            "one, for a report; several for a write-up",
            f"name one, or: {shlex.join(['python', '-m', 'dogbreed.report', '--card', *map(str, options.paths)])}",
        )
    path = write(options.paths[0])
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    print(f"open it in a browser:\n  python -m webbrowser {path.resolve().as_uri()}")
    return 0


def write(directory: Path) -> Path:
    """Write the report of whatever is in `directory`; its path.

    Raises:
        ConfigError: there is neither a run nor a sweep.
        OutputError: the report cannot be written.
    """
    if not holds_sweep(directory):
        from dogbreed.reports.run_report import write_report  # here: asking for help takes none of it

        return write_report(directory)
    from dogbreed.reports.sweep_report import write_sweep_report  # loads torch, which a run's report does without

    return write_sweep_report(directory)


def _write_up(paths: Sequence[Path]) -> None:
    from dogbreed.reports.evidence import gather
    from dogbreed.reports.writeup import write_writeup

    evidence = gather(paths)
    for path in write_writeup(evidence, paths):
        print(f"wrote {path}")
    print(f"wrote {evidence.home / 'figures'}/, which goes where they go")
    if not evidence.sweeps:
        print("no sweep was named, so the write-up says how to make one; name it behind the run to fill that in")
    print(f"the same run to look at:\n  {shlex.join(['python', '-m', 'dogbreed.report', str(evidence.home)])}")


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.report",
        description=_WHAT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="the folder of a run or a sweep; with --card also of jobs, any number",
    )
    parser.add_argument("--card", action="store_true", help="a write-up and a model card in Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
