"""What `python -m dogbreed.data summary` writes and prints."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from dogbreed.data.summary import SMALL_SIDE, Range, SplitSummary, Summary, evenness
from dogbreed.errors import ConfigError
from dogbreed.files import write_bytes, write_csv, write_json
from dogbreed.reports.names import legible
from dogbreed.reports.summary_grid import draw_grid
from dogbreed.reports.words import amount, count
from dogbreed.serving.names import readable
from dogbreed.tables import print_table

JSON, TABLE, GRID = "summary.json", "summary.csv", "samples.jpg"

_MOST_CLASSES, _MOST_PICTURES = 200, 24  # of a grid: 30,000 x 3,600 pixels, which every program still opens
_QUALITY = 88
_NOTHING = "-"  # a terminal may know no dash
_LISTED = 5  # classes with the fewest pictures, and with the most


def write_summary(out: Path, summary: Summary, *, classes: int, pictures: int, seed: int) -> None:
    """Write summary.json, summary.csv (pictures of each class and split) and samples.jpg to the folder `out`.

    Args:
        out: the folder; it is made.
        summary: what to write.
        classes: rows of the picture grid.
        pictures: in a row of it.
        seed: of the samples.

    Raises:
        ConfigError: the grid would have no row, or too many.
        OutputError: a file cannot be written.
    """
    for key, value, most in (("classes", classes, _MOST_CLASSES), ("pictures", pictures, _MOST_PICTURES)):
        if not (isinstance(value, int) and 1 <= value <= most):
            raise ConfigError(f"grid.{key}={value}", f"1 to {most}", f"set grid.{key} to one of them")
    write_json(out / JSON, _to_json(summary))
    columns = ("class_name", *(split.name for split in summary.splits), "all")
    write_csv(out / TABLE, [dict(zip(columns, row, strict=True)) for row in _class_rows(summary)], columns)
    grid = draw_grid(summary.files["train"], summary.class_names, classes=classes, pictures=pictures, seed=seed)
    content = io.BytesIO()
    grid.save(content, "JPEG", quality=_QUALITY, optimize=True)
    write_bytes(out / GRID, content.getvalue())


def tell_summary(summary: Summary, out: Path) -> None:
    """Print a column for each split, the smallest and the largest classes, and where the rest stands.

    Args:
        summary: what to tell.
        out: the folder that it was written to.
    """
    table = Table("", *(split.name for split in summary.splits), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    columns = [dict(_facts(split)) for split in summary.splits]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    print_table(table)
    for name, reason in summary.missing.items():
        print(f"{name} cannot be used: {legible(reason)}")
    print()
    print_table(_extremes(summary))
    print(f"wrote {out}/: {GRID}, {JSON}, {TABLE}")
    print(f"look for faults, duplicates and leaks:\n  python -m dogbreed.data audit {shlex.quote(str(summary.root))}")


def _facts(split: SplitSummary) -> Iterator[tuple[str, str]]:
    """The rows of a split's column; the same ones for every split."""
    balance = evenness(split.counts)
    fewest, most = min(split.counts, default=0), max(split.counts, default=0)
    yield "pictures", f"{split.pictures:,}"
    yield "classes with pictures", f"{sum(map(bool, split.counts)):,} of {len(split.counts):,}"
    yield "pictures a class", f"{fewest:,} to {most:,}"
    yield "largest class by the smallest", amount(most / fewest) if fewest else _NOTHING
    yield "evenness (1 is balanced)", f"{balance:.3f}" if balance is not None else _NOTHING
    yield "size", f"{split.size_bytes / 1e6:,.1f} MB"
    yield "kB a picture (min/median/max)", _words(split.bytes_a_picture, 1000)
    yield "width (min/median/max)", _words(split.width)
    yield "height (min/median/max)", _words(split.height)
    yield f"a side below {SMALL_SIDE}", f"{split.small:,} ({split.small / max(1, split.pictures):.0%})"
    yield "formats", _tally(split.formats)
    yield "modes", _tally(split.modes)
    yield "no header that can be read", f"{split.unreadable:,}"
    yield "files that are not used", _tally(split.skipped) if split.skipped else "0"


def _words(found: Range | None, unit: int = 1) -> str:
    return "/".join(f"{value / unit:,.0f}" for value in (found.min, found.median, found.max)) if found else _NOTHING


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items()) or _NOTHING


def _extremes(summary: Summary) -> Table:
    rows = sorted(_class_rows(summary), key=lambda row: (row[1], row[0]))
    table = Table("class", *(split.name for split in summary.splits), "all", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    shown = rows if len(rows) <= 2 * _LISTED + 1 else [*rows[:_LISTED], None, *rows[-_LISTED:]]
    for row in shown:
        if row is None:
            table.add_row(f"... {count(len(rows) - 2 * _LISTED, 'class', 'classes')} between")
        else:
            table.add_row(legible(readable(row[0])), *(f"{number:,}" for number in row[1:]))
    return table


def _class_rows(summary: Summary) -> list[tuple[Any, ...]]:
    """By class: its name, its pictures in each split, and in all of them."""
    found = zip(summary.class_names, *(split.counts for split in summary.splits), strict=True)
    return [(name, *numbers, sum(numbers)) for name, *numbers in found]


def _to_json(summary: Summary) -> dict[str, Any]:
    splits = {}
    for split in summary.splits:
        about = {key: value for key, value in asdict(split).items() if key not in ("name", "counts")}
        balance = {"largest": max(split.counts), "smallest": min(split.counts), "evenness": evenness(split.counts)}
        splits[split.name] = {"pictures": split.pictures, "classes": balance, **about}
    return {
        "root": str(summary.root),
        "pictures": sum(split.pictures for split in summary.splits),
        "size_bytes": sum(split.size_bytes for split in summary.splits),
        "small_side": SMALL_SIDE,
        "class_names": list(summary.class_names),
        "splits": splits,
        "missing": dict(summary.missing),
    }
