"""What a rule tells beside its finding, as tables: whatever plain values it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dogbreed.reports.words import NOTHING, amount

_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A table of words.

    Attributes:
        title: of the table.
        columns: its header; empty for names and values, which need none.
        rows: of as many cells each.
        more: rows that were left out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def make_tables(details: Mapping[str, Any]) -> list[Table]:
    """The details as tables: single values in one, and one for each list and each group of values.

    >>> make_tables({"steps": 3, "share": 0.25})[0].rows
    (('steps', '3'), ('share', '0.25'))
    >>> make_tables({"pairs": [{"true": "a", "pictures": 2}]})[0]
    Table(title='pairs', columns=('true', 'pictures'), rows=(('a', '2'),), more=0)
    """
    single = [(key, _word(value)) for key, value in details.items() if not _is_nested(value)]
    found = [_cut("", (), single)] if single else []
    return found + [_table(key, value) for key, value in details.items() if _is_nested(value) and value]


def _table(title: str, value: Any) -> Table:
    if isinstance(value, Mapping):
        if not any(isinstance(entry, Mapping) for entry in value.values()):
            return _cut(title, (), [(str(key), _word(entry)) for key, entry in value.items()])
        named = [(key, entry if isinstance(entry, Mapping) else {"value": entry}) for key, entry in value.items()]
        return _of_rows(title, [{"": key, **entry} for key, entry in named])
    if all(isinstance(entry, Mapping) for entry in value):
        return _of_rows(title, value)
    return _cut(title, (), [tuple(_words(entry)) for entry in value])


def _of_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))
    return _cut(title, columns, [tuple(_word(row.get(name, "")) for name in columns) for row in rows])


def _cut(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(title.replace("_", " "), columns, tuple(rows[:_ROWS]), max(0, len(rows) - _ROWS))


def _words(entry: Any) -> Iterator[str]:
    yield from map(_word, entry) if isinstance(entry, Sequence) and not isinstance(entry, str) else [_word(entry)]


def _word(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else amount(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)
