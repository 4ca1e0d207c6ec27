"""`python -m launch.prices show|refresh`: what instances cost an hour, by the table that every estimate uses."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from rich.table import Table
from tqdm import tqdm

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.files import writing
from dogbreed.tables import print_table
from launch.errors import LaunchError
from launch.pricing.offers import INDEX, not_a_price_list, offer_url, training_prices
from launch.pricing.table import Price, Prices, default_table

_TIMEOUT_S = 60
_CHUNK = 2**18


@ends_well("the table is as it was")
def main(arguments: Sequence[str] | None = None) -> int:
    """Show or refresh; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    options.run(options)
    return 0


def _show(options: argparse.Namespace) -> None:
    """What the table says, of all instances or of one."""
    prices = Prices.load(options.file)
    known = {price.instance_type for price in prices.rows}
    if options.instance is not None and options.instance not in known:
        raise ConfigError(
            f"price unknown: {options.instance}{did_you_mean(options.instance, known)}",
            "an instance type of the table; python -m launch.prices show lists them",
            f"give sagemaker.price_per_hour, or python -m launch.prices refresh {options.instance}",
        )
    table = Table("instance", "region", "USD an hour", "date", "source", box=None)
    for price in prices.rows:
        if options.instance in (None, price.instance_type):
            cells = (price.instance_type, price.region, f"{price.usd_per_hour:.4f}", price.date, price.source)
            table.add_row(*cells)
    print_table(table)
    print(f"on demand, without storage, from {options.file}; newer ones: python -m launch.prices refresh")


def _refresh(options: argparse.Namespace) -> None:
    """Renew rows from AWS's public price list."""
    if not options.url.startswith(("https://", "http://")):
        raise ConfigError(f"--url {options.url}", "an address that begins with https://", f"leave it out for {INDEX}")
    prices = Prices.load(options.file)
    url = offer_url(_fetch(options.url), options.url, options.region)
    listed = training_prices(_fetch(url), url, options.region)
    wanted = options.instances or sorted({price.instance_type for price in prices.rows})
    unknown = [instance for instance in wanted if instance not in listed]
    if options.instances and unknown:
        raise LaunchError(
            f"not in AWS's price list of {options.region}: {unknown[0]}{did_you_mean(unknown[0], listed)}",
            f"one of the {len(listed)} training instances there",
            "choose another instance or --region, or give sagemaker.price_per_hour",
        )
    today = date.today().isoformat()
    renewed = [Price(name, options.region, listed[name], url, today) for name in wanted if name in listed]
    prices.updated(renewed).save(options.file)
    for price in renewed:
        old = prices.price_of(price.instance_type, price.region)
        print(f"{price.instance_type}: {_changed(old, price)}")
    if unknown:
        print(f"not in AWS's price list of {options.region}, left as they were: {', '.join(unknown)}")
    print(
        f"wrote {len(renewed)} prices of {options.region} to {options.file}; look at them: python -m launch.prices show"
    )


def _changed(old: Price | None, new: Price) -> str:
    if old is None:
        return f"{new.usd_per_hour:g} USD an hour, new"
    if old.usd_per_hour == new.usd_per_hour:
        return f"{new.usd_per_hour:g} USD an hour, as before"
    return f"{new.usd_per_hour:g} USD an hour, before {old.usd_per_hour:g} ({old.date})"


def _fetch(url: str) -> Any:
    """The JSON at `url`, by way of a temporary file: a price list has many megabytes."""
    name = url.rsplit("/", 1)[-1]
    try:
        with (
            tempfile.TemporaryFile() as file,
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,
            tqdm(desc=name, total=_size(answer), unit="B", unit_scale=True, disable=None, leave=False) as progress,
        ):
            while chunk := answer.read(_CHUNK):
                with writing(Path(tempfile.gettempdir())):
                    file.write(chunk)
                progress.update(len(chunk))
            if progress.total is not None and file.tell() != progress.total:
                raise _unreachable(url, f"the connection ended after {file.tell():,} of {progress.total:,} bytes")
            file.seek(0)
            return json.load(file)
    except HTTPError as error:
        raise _unreachable(url, f"HTTP {error.code} {error.reason}") from error
    except ValueError as error:  # broken JSON or text
        raise not_a_price_list(url, str(error).splitlines()[0]) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, str(getattr(error, "reason", None) or error) or type(error).__name__) from error


def _size(answer: Any) -> int | None:
    length = answer.headers.get("Content-Length")
    return int(length) if length is not None and length.isdecimal() else None


def _unreachable(url: str, reason: str) -> LaunchError:
    return LaunchError(
        got=f"{url} cannot be read: {reason}; the table is as it was",
        allowed="a connection to AWS's public price list, for which no account is needed",
        hint="try again later; until then give sagemaker.price_per_hour",
    )


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(prog="python -m launch.prices", description=__doc__.partition(": ")[2])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    table = default_table()
    show = commands.add_parser("show", help=_show.__doc__, description=_show.__doc__)
    show.add_argument("instance", nargs="?", metavar="INSTANCE", help="such as ml.g5.xlarge; all without it")
    refresh = commands.add_parser("refresh", help=_refresh.__doc__, description=_refresh.__doc__)
    refresh.add_argument("instances", nargs="*", metavar="INSTANCE", help="those of the table without it")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    refresh.add_argument("--region", default=region, metavar="REGION", help=f"default: {region}")
    refresh.add_argument("--url", default=INDEX, metavar="URL", help=f"of the region index, default: {INDEX}")
    for command, run in ((show, _show), (refresh, _refresh)):
        command.add_argument("--file", type=Path, default=table, metavar="FILE", help=f"the table, default: {table}")
        command.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
