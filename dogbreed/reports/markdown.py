"""Markdown that shows what it is given, whatever that holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from dogbreed.errors import legible, legible_lines
from dogbreed.files import write_text
from dogbreed.reports.words import NOTHING, amount, count, duration, percent, sentence
from dogbreed.serving.names import readable

#: Between a number and its unit, so that no line ends there.
_TIE = "\N{NO-BREAK SPACE}"
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$#]|(?<!\w)_|_(?!\w)")
#: A cell that is a number with its unit, or stands for one that is not there.
_NUMBER = re.compile(rf"(\\<\s)?[-+]?\d|{NOTHING}|$")


class Markdown(str):
    """A text that is Markdown already, and is not escaped again."""

    __slots__ = ()


def escape(value: object) -> Markdown:
    r"""The value as a text on one line that Markdown shows as it is.

    >>> print(escape("<b>*loud*</b>\n| val/acc_top5"))
    \<b\>\*loud\*\</b\>\\n\| val/acc_top5
    """
    if isinstance(value, Markdown):
        return value
    shown = _TIE.join(map(legible, str(value).split(_TIE)))
    return Markdown(_SPECIAL.sub(r"\\\g<0>", shown))


def code(value: object) -> Markdown:
    """The value as it is, in the font of programs.

    >>> print(code("val/acc"), code("a`b"))
    `val/acc` `` a`b ``
    """
    text = legible(str(value))
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}")


def fence(text: str, language: str) -> Markdown:
    """A block to copy."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{ticks}{language}\n{legible_lines(text)}\n{ticks}")


def link(path: Path, home: Path, text: str = "") -> Markdown:
    """A link to a file from a page in `home`, by the way from there; its name where there is no other text."""
    way = os.path.relpath(os.path.abspath(path), os.path.abspath(home)).replace(os.sep, "/")
    return Markdown(f"[{escape(text or path.name)}]({quote(os.fsencode(way))})")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    r"""A table; a column of numbers stands at the right.

    >>> print(table(("class", "pictures"), [("a|b", 12)]))
    | class | pictures |
    |---|--:|
    | a\|b | 12 |
    """
    cells = [[re.sub(r"(?<!\\)\|", r"\\|", escape(cell)) for cell in row] for row in rows]
    numeric = [bool(cells) and all(_NUMBER.match(row[place]) for row in cells) for place in range(len(columns))]
    lines: list[list[str]] = [[escape(name) for name in columns], *cells]
    text = [f"| {' | '.join(line)} |" for line in lines]
    text.insert(1, "|" + "|".join("--:" if one else "---" for one in numeric) + "|")
    return Markdown("\n".join(text))


def write_markdown(path: Path, template: str, **content: Any) -> Path:
    """Render a template of templates/ to `path`; every value in it is escaped, but for what is `Markdown`.

    Raises:
        OutputError: it cannot be written.
    """
    text = _environment().get_template(template).render(**content)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    write_text(path, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")
    return path


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dogbreed.reports"),
        autoescape=False,  # of HTML: Markdown has its own
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for make in (amount, code, count, duration, percent, readable, sentence, fence):
        environment.filters[make.__name__] = make
    return environment
