"""The figures of a write-up: the report's plots as files of their own, and pictures, in one folder beside it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from PIL import Image

from dogbreed.files import new_folder
from dogbreed.reports.markdown import Markdown, escape
from dogbreed.reports.svg import Plot
from dogbreed.reports.words import sentence

FOLDER = "figures"


class Figures:
    """Collects figures, and says the Markdown that shows them."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def plots(self, plots: Sequence[Plot], source: Markdown) -> Markdown:
        """The plots side by side where there is room, and below them what they show and where that was read."""
        shown = [self._show(plot.title, plot.title, "svg", stand_alone(plot).encode()) for plot in plots]
        told = [f"**{escape(plot.title)}.** {escape(sentence(plot.text))}" for plot in plots if plot.text]
        return Markdown("\n".join(shown) + f"\n\n{' '.join(told)} (From {source}.)") if plots else Markdown()

    def picture(self, name: str, content: Image.Image | bytes, title: str) -> Markdown:
        """A photograph, or several in one picture, as a JPEG; `content` may be one already."""
        if not isinstance(content, bytes):
            file = io.BytesIO()
            content.save(file, "JPEG", quality=82, optimize=True)
            content = file.getvalue()
        return self._show(title, name, "jpg", content)

    def write(self, home: Path) -> None:
        """Write them beside the page in `home`, all of them or none; they replace those of before.

        Raises:
            OutputError: they cannot be written.
        """
        with new_folder(home / FOLDER) as folder:
            for name, content in self._files.items():
                (folder / name).write_bytes(content)

    def _show(self, title: str, file: str, ending: str, content: bytes) -> Markdown:
        stem = re.sub(r"[^a-z0-9]+", "_", file.lower()).strip("_") or "plot"
        number = 1
        while (name := f"{stem}{'' if number == 1 else f'_{number}'}.{ending}") in self._files:
            number += 1
        self._files[name] = content
        return Markdown(f"![{escape(title)}]({FOLDER}/{name})")


def stand_alone(plot: Plot) -> str:
    """The plot as a file of its own: it brings the colours of the page that it was drawn for, light and dark."""
    box = re.search(r'viewBox="([^"]*)"', plot.svg)
    assert box is not None
    left, top, width, height = map(float, box[1].split())
    place = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"'
    opening, rest = plot.svg.split(">", 1)
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
    return f'{opening} {size}>\n<style>{_colours()}</style>\n<rect {place} rx="8" fill="var(--surface)"/>{rest}\n'


@lru_cache(maxsize=1)
def _colours() -> str:
    style = files("dogbreed.reports").joinpath("templates/style.css").read_text(encoding="utf-8")
    light, dark, *_ = re.findall(r":root \{.*?\}", style, re.S)  # what follows is for print
    return re.sub(r"\s+", " ", f"{light} @media (prefers-color-scheme: dark) {{ {dark} }}")
