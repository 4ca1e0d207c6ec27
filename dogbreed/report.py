"""`python -m dogbreed.report PATH`: one HTML file about a run or a sweep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dogbreed.commands import ends_well
from dogbreed.reports.reading import holds_sweep
from dogbreed.reports.run_report import write_report


@ends_well("no report was written over an older one; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; 0 if there is one, 1 otherwise."""
    options = _parser().parse_args(arguments)
    path = write(options.path)
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
        return write_report(directory)
    from dogbreed.reports.sweep_report import write_sweep_report  # loads torch, which a run's report does without

    return write_sweep_report(directory)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dogbreed.report",
        description="Writes report.html into the folder of a run or a sweep: one file that needs no network.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder of a run or a sweep")
    return parser


if __name__ == "__main__":
    sys.exit(main())
