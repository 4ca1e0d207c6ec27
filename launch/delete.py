"""`python -m launch.delete NAME`: an endpoint and all that was made for it, gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from launch.hosting.reading import conf_values
from launch.hosting.settings import REALTIME


@ends_well("the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """Delete; 0 if all is gone, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    poll_s = float(conf_values(REALTIME)["poll_s"])
    from launch.aws.session import make_session
    from launch.hosting.removing import delete_endpoint
    from launch.hosting.resources import Hosting

    hosting = Hosting(make_session(options.region))
    for name in options.names:
        delete_endpoint(hosting, name, lambda line: print(line, flush=True), poll_s=poll_s)
    where = f" --region {options.region}" if options.region else ""
    print(f"what is left in {hosting.region}: python -m launch.endpoints{where}")
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m launch.delete",
        description="Delete endpoints, with their autoscaling, configurations, models and archives. What others made "
        "is left alone.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="of an endpoint, see python -m launch.endpoints")
    parser.add_argument("--region", metavar="R", help="of AWS (default: the environment's, or the profile's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
