"""`python -m launch.endpoints`: all of them, their age, traffic and cost; --expired deletes those past their time."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError, DogbreedError
from launch.hosting.reading import conf_values
from launch.hosting.settings import REALTIME

if TYPE_CHECKING:
    from launch.hosting.listing import Listed
    from launch.hosting.resources import Hosting


@ends_well("the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """List, or delete what has expired; 0 if all is well, 1 otherwise."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if (options.yes or options.dry_run) and not options.expired:
        parser.error("--yes and --dry-run go with --expired")
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from launch.aws.session import make_session
    from launch.hosting.listing import list_endpoints, print_endpoints, with_traffic
    from launch.hosting.resources import Hosting

    session = make_session(options.region)
    hosting = Hosting(session)
    found = list_endpoints(hosting, options.part or "")
    now = datetime.now(timezone.utc)
    if options.expired:
        found = [one for one in found if one.is_expired(now)]
    try:
        found = with_traffic(found, session) if found else []
    except DogbreedError as error:  # the list is of use without it
        print(f"no traffic: {error}", file=sys.stderr)
    if options.format == "json":
        print(json.dumps([one.to_dict() for one in found], indent=2, ensure_ascii=False))
    elif found:
        print_endpoints(found)
    else:
        like_that = " that has expired" if options.expired else ""
        print(f"no endpoint{like_that} in {hosting.region}; python -m launch.deploy makes one")
    if options.expired and found:
        return _delete(hosting, found, options)
    if any(one.is_expired(now) for one in found):
        where = f" --region {options.region}" if options.region else ""
        print(f"delete what has expired:\n  python -m launch.endpoints --expired{where}", file=sys.stderr)
    return 0


def _delete(hosting: Hosting, expired: Sequence[Listed], options: argparse.Namespace) -> int:
    """Delete these, once somebody agrees; those that cannot be deleted do not keep the others."""
    from launch.hosting.removing import delete_endpoint

    names = ", ".join(one.name for one in expired)
    if options.dry_run:
        print(f"would delete {names}", file=sys.stderr)
        return 0
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"nobody to ask whether to delete {names}", "--yes, or a terminal", "add --yes")
        print(f"delete {names}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was deleted", file=sys.stderr)
            return 0
    poll_s, failed = float(conf_values(REALTIME)["poll_s"]), 0
    for one in expired:
        try:
            delete_endpoint(hosting, one.name, lambda line: print(line, file=sys.stderr, flush=True), poll_s=poll_s)
        except DogbreedError as error:
            failed = 1
            print(f"error: {error}", file=sys.stderr)
    return failed


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m launch.endpoints",
        description="All endpoints in a region: their age, traffic of the last 24 hours and cost an hour.",
    )
    parser.add_argument("part", nargs="?", metavar="PART", help="of their names")
    parser.add_argument(
        "--expired",
        action="store_true",
        help="only what launch.deploy made, for anyone, and is past its time; delete it",
    )
    parser.add_argument("--yes", action="store_true", help="with --expired: do not ask, as in a job at night")
    parser.add_argument("--dry-run", action="store_true", help="with --expired: delete nothing")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="of the list (default: table)")
    parser.add_argument("--region", metavar="R", help="of AWS (default: the environment's, or the profile's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
