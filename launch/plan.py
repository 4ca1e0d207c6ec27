"""`python -m launch.plan`: what would be sent, what is wrong with it and what it costs; sends nothing, asks nobody.

With a search space it is the plan of launch.tune; with hydra/sweeper=fleet too, of launch.train, which trains all of it
in one job.
"""

from __future__ import annotations

import sys

from launch import train, tune


def main() -> int:
    """Run from the command line."""
    given = sys.argv[1:]
    is_search = any(map(_is_search, given)) and not any(line.startswith("hydra/sweeper=") for line in given)
    sys.argv.append("dry_run=true")
    return (tune if is_search else train).main()


def _is_search(argument: str) -> bool:
    """Whether an argument is a search space, by its name or typed."""
    named = argument.startswith("search_space=") and argument not in ("search_space=", "search_space=null")
    return named or train.is_sweep(argument)


if __name__ == "__main__":
    sys.exit(main())
