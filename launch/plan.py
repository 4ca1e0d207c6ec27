"""`python -m launch.plan`: what would be sent, what is wrong with it and what it costs; sends nothing, asks nobody.

With a search space it is the plan of launch.tune; with hydra/sweeper=fleet too, of launch.train, which trains all of it
in one job.
"""

from __future__ import annotations

import sys

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from launch import train, tune


def main() -> None:
    """Run from the command line."""
    given = sys.argv[1:]
    is_search = any(map(_is_search, given)) and not any(line.startswith("hydra/sweeper=") for line in given)
    sys.argv.append("dry_run=true")
    (tune if is_search else train).main()


def _is_search(argument: str) -> bool:
    """Whether an argument is a search space, by its name or typed."""
    if argument.startswith("-") or "=" not in argument:
        return False
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:  # is told by who composes
        return False
    return override.is_sweep_override() or (argument.startswith("search_space=") and override.value() is not None)


if __name__ == "__main__":
    main()
