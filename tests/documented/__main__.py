"""Follows a page and prints what each of its commands said, to be pasted into it.

python -m tests.documented docs/how-to/own_data.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.documented.interpreter import quick_python
from tests.documented.pages import read_page
from tests.documented.reader import Misled, follow


def main() -> int:
    """Print it; 1 where the page misleads its reader."""
    parser = argparse.ArgumentParser(prog="python -m tests.documented", description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="a Markdown file")
    page = read_page(parser.parse_args().page.resolve())
    with quick_python() as python, tempfile.TemporaryDirectory() as folder:
        try:
            for command, said in follow(page, Path(folder), python):
                print(f"$ {command}\n{said}")
        except Misled as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
