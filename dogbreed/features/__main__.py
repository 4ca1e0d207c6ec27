"""`python -m dogbreed.features list|verify|prune`: what the feature cache holds."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from tqdm import tqdm

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError, legible
from dogbreed.features.names import default_root
from dogbreed.tables import print_table

if TYPE_CHECKING:
    from dogbreed.features.inventory import Kept

# The inventory is imported where a command looks at it: it loads torch, which no help needs.


@ends_well("what is left of the cache is whole; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """List, verify or prune; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _list(options: argparse.Namespace) -> int:
    from dogbreed.features.inventory import list_kept

    kept = list_kept(options.root)
    if not kept:
        print(f"no features in {options.root}; python -m dogbreed.train computes some")
        return 0
    table = Table("key", "backbone", "pixels", "engine", "as", "rows", "size", "pictures/s", "read", box=None)
    for one in kept:
        recipe = one.recipe
        if recipe is None:
            table.add_row(one.key, "about.json is damaged", "", "", "", "", _megabytes(one.size), "", _when(one))
            continue
        name, side = recipe["backbone"]["name"], str(recipe["transform"]["size"])
        engine = f"{recipe['engine']['engine']} {recipe['engine'].get('precision', '')}"
        speed = f"{one.pictures_per_s:,.0f}" if one.pictures_per_s else ""
        table.add_row(
            one.key, name, side, engine, recipe["dtype"], f"{one.rows:,}", _megabytes(one.size), speed, _when(one)
        )
    print_table(table)
    print(f"{len(kept)} kinds, {_megabytes(sum(one.size for one in kept))} in {options.root}")
    print(f"check them: {_command(options.root, 'verify')}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from dogbreed.features.inventory import check_pictures, choose, list_kept

    damaged_chunks = damaged_kinds = 0
    for one in tqdm(choose(list_kept(options.root), options.keys), "checking features", disable=None, unit="kind"):
        if one.store is None:
            damaged_kinds += 1
            print(f"{one.key}: about.json is damaged; the next run that needs these features writes it anew")
            continue
        chunks, damaged = one.store.verify()
        damaged_chunks += damaged
        if damaged:
            print(f"{one.key}: {damaged} of {chunks} chunks are damaged; their features will be computed anew")
    pictures, changed = check_pictures(options.root)
    for path in changed:
        print(f"{legible(path)}: changed, though its size and time say otherwise; its features will be computed anew")
    print(f"verified: {damaged_chunks} damaged chunks; {len(changed)} of {pictures:,} pictures changed unnoticed")
    return 1 if damaged_chunks or damaged_kinds or changed else 0


def _prune(options: argparse.Namespace) -> int:
    if not (options.keys or options.all or options.unused_days is not None):
        raise ConfigError("nothing to prune", "KEYs, --unused-days N, or --all", _command(options.root, "list"))
    from dogbreed.features.inventory import choose, list_kept, remove

    removed = 0
    for one in choose(list_kept(options.root), options.keys):
        if options.unused_days is None or one.unused_days >= options.unused_days:
            remove(one)
            name = one.recipe["backbone"]["name"] if one.recipe else "damaged"
            removed += one.size
            print(f"removed {one.key}: {name}, {one.rows:,} rows, {_megabytes(one.size)}")
    print(f"removed {_megabytes(removed)}; what is left: {_command(options.root, 'list')}")
    return 0


def _command(root: str | Path, name: str) -> str:
    """Another command on the same cache."""
    place = [] if str(root) == str(default_root()) else ["--root", str(root)]
    return shlex.join(["python", "-m", "dogbreed.features", *place, name])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _when(one: Kept) -> str:
    return "today" if one.unused_days < 1 else f"{one.unused_days:.0f} days ago"


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days, 0 or more")
    return value


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.features",
        description="What frozen backbones saw in pictures, kept by dogbreed.train for the next run.",
    )
    root = default_root()
    parser.add_argument("--root", default=root, metavar="DIR", help=f"the cache (default: {root})")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for run, text in (
        (_list, "what there is, how large, how fast it was computed"),
        (_verify, "read every row and every picture again; 1 if something is not what it was"),
        (_prune, "remove what is named"),
    ):
        command = commands.add_parser(run.__name__[1:], help=text, description=text)
        command.set_defaults(run=run)
        if run is not _list:
            command.add_argument("keys", nargs="*", metavar="KEY", help="the beginning of a key")
        if run is _prune:
            command.add_argument("--unused-days", type=_days, metavar="N", help="what was not read for so long")
            command.add_argument("--all", action="store_true", help="everything")
    return parser


if __name__ == "__main__":
    sys.exit(main())
