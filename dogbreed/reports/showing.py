"""A report, or some of it, inside a notebook."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.reports.page import REPORT

_SECTIONS = re.compile(r'(?=<(?:header|section) id="([a-z]+)")')
# Without it the report's links to its own sections lead to the page around the frame.
_BASE = '<base href="about:srcdoc">'
_ALONE = """<style>
body { background: transparent; }
.layout { display: block; max-width: none; padding: 0.25rem; }
main > :first-child { margin-top: 0; }
section:first-child { padding-top: 0; border-top: 0; }
</style>"""
# As high as what it shows: also once that is unfolded, or the window is turned.
_GROW = (
    "const page = this.contentDocument.documentElement;"
    " new ResizeObserver(() => { this.style.height = page.getBoundingClientRect().height + 'px'; }).observe(page)"
)


@dataclass(frozen=True)
class Frame:
    """A page within a page: it keeps its own style and links, and a notebook shows it.

    Attributes:
        page: the HTML of the whole page inside.
        height: in CSS pixels, of a page that scrolls inside; None for one that is as high as what it shows.
    """

    page: str = field(repr=False)  # beside what is shown, notebooks keep the repr, too
    height: int | None = None

    def _repr_html_(self) -> str:
        """One line: what makes pages of notebooks would take an empty one for the end of the frame."""
        inside = escape(self.page).replace("\n", "&#10;")
        size = "height: 30rem" if self.height is None else f"height: {self.height}px; border: 1px solid #8886"
        grow = f' onload="{_GROW}"' if self.height is None else ""
        return f'<iframe srcdoc="{inside}" style="display: block; width: 100%; border: 0; {size}"{grow}></iframe>'


def show_report(directory: str | Path, *sections: str, height: int | None = None) -> Frame:
    """The report of a run or a sweep, to be shown by a notebook: all of it, or some sections.

    Args:
        directory: of the run or the sweep, where report.html stands; or that file.
        sections: their ids, as behind the # in the report's own links: "verdict", "curves", "confusion", "board", ...
        height: of the frame, in CSS pixels, if what it shows shall scroll inside; None for as high as the sections are,
            and for 640 where all is shown.

    Raises:
        ConfigError: there is no report, or it has no such section.
    """
    path = Path(directory)
    path = path if path.name == REPORT else path / REPORT
    try:
        page = path.read_text(encoding="utf-8").replace("<head>", f"<head>{_BASE}", 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"write it: {shlex.join(['python', '-m', 'dogbreed.report', str(path.parent)])}"
        raise ConfigError(f"there is no {path}", "the folder of a run or a sweep with its report", hint) from error
    if not sections:
        return Frame(page, height or 640)
    start, _, rest = page.partition("<main>")
    main, _, _ = rest.partition("<footer>")
    _, *parts = _SECTIONS.split(main)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    for name in sections:
        if name not in found:
            near = did_you_mean(name, found)
            raise ConfigError(f"{path} has no section {name!r}{near}", ", ".join(found), "name one of those")
    head, _, _ = start.partition("<body>")
    chosen = "".join(found[name] for name in sections)
    return Frame(f'{head}{_ALONE}<body><div class="layout"><main>{chosen}</main></div></body></html>', height)
