"""From contents to one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dogbreed.files import write_text
from dogbreed.reports.names import legible
from dogbreed.reports.tables import make_tables
from dogbreed.reports.words import amount, count, duration, percent, sentence
from dogbreed.serving.names import readable

REPORT = "report.html"


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Render a template of templates/ to `path`.

    Raises:
        OutputError: it cannot be written.
    """
    page = _environment().get_template(template).render(**content)
    # A file name that is not UTF-8 came as lone surrogates, which no file can hold.
    write_text(path, page.encode("utf-8", "replace").decode())
    return path


def read_jpeg(path: Path) -> bytes | None:
    """A whole JPEG file's content; None where the file is missing or cut short."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError):  # ValueError: what no name of a file can hold
        return None
    return content if content.startswith(b"\xff\xd8") and content.endswith(b"\xff\xd9") else None


def embed_jpeg(path: Path) -> str | None:
    """A data URI of a whole JPEG; None where the file is missing or cut short."""
    content = read_jpeg(path)
    return None if content is None else f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dogbreed.reports"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for make in (amount, count, duration, legible, percent, readable, sentence):
        environment.filters[make.__name__] = make
    environment.filters["tables"] = make_tables
    return environment
