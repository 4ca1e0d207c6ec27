"""Plots as inline SVG whose colours are the page's own, so that they follow it into the dark and onto paper."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What to draw in -> the page's CSS variable. Colours that no theme uses, each easy to find again in the SVG.
INK, MUTED, LINE, SURFACE = "#010101", "#020202", "#030303", "#040404"
BLUE, ORANGE, GREEN, RED = "#050505", "#060606", "#070707", "#080808"
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", SURFACE: "--surface",
    BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", RED: "--red",
}  # fmt: skip

_FONT = "DejaVu Sans"  # for the layout, and always there with matplotlib; the page shows its own
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dogbreed",  # the same ids each time
    "font.family": _FONT,
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # a class name may hold $
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.prop_cycle": "cycler('color', ['#050505', '#060606', '#070707', '#080808'])",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 11,
    "legend.handlelength": 1.2,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
}


@dataclass(frozen=True)
class Plot:
    """A picture for the page.

    Attributes:
        title: short, above it.
        text: what it shows, below the title.
        svg: the inline SVG.
        width: in CSS pixels, at which its letters have their own size.
    """

    title: str
    text: str
    svg: str
    width: int


class Canvas:
    """Axes to draw on; afterwards `plot` is what became of them."""

    def __init__(self, figure: Figure, axes: Axes) -> None:
        self.figure = figure
        self.axes = axes
        self.plot = Plot("", "", "", 0)

    def legend(self, columns: int = 3) -> None:
        """Name the lines above the axes, each in its own colour."""
        legend = self.axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.05), ncols=columns, labelcolor="linecolor", columnspacing=1.4
        )
        for text in legend.get_texts():
            text.set_alpha(1)  # a faint line has a name that can be read


@contextmanager
def drawing(title: str, text: str, width: int = 380, height: int = 220, spoken: str = "") -> Iterator[Canvas]:
    """Axes to draw on; the canvas has its plot when the block is left.

    Args:
        title: of the plot.
        text: what it shows, in a sentence.
        width: in CSS pixels.
        height: in CSS pixels.
        spoken: what it shows for those who cannot see it, where `text` does not say it.

    Raises:
        ImportError: there is no matplotlib.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure  # without pyplot: no window system, no state to clean up
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names in a script that this font lacks: the page shows them in its own.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        canvas = Canvas(figure, figure.add_subplot())
        yield canvas
        # Once, and not again while saving, which would take as long as the drawing.
        ConstrainedLayoutEngine(w_pad=2 / 72, h_pad=2 / 72).execute(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    canvas.plot = Plot(title, text, _inline(file.getvalue(), f"{title}. {spoken or text}"), width)


def write(axes: Axes, text: str, x: float, height: float) -> None:
    """Write a word right of `x`, in the axes' unit, at a height from 0 (bottom) to 1."""
    place = (x, height), (4, 0), axes.get_xaxis_transform(), "offset points"
    axes.annotate(text, *place, color=MUTED, fontsize=10.5, va="top" if height > 0.5 else "bottom")


def _inline(svg: str, label: str) -> str:
    """The SVG for the inside of a page: no prologue, no fixed size, no ids that nothing refers to, our colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    used = set(re.findall(r"""(?:href="#|url\(#)([^")]+)""", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    opening = f'<svg role="img" aria-label="{escape(label)}" viewBox="'
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', lambda found: f'{opening}{found[1]}">', svg)
    svg = re.sub(r"(?<=: )#0[1-8]0[1-8]0[1-8](?=[;\"])", lambda found: f"var({_VARIABLES[found[0]]})", svg)
    svg = re.sub(rf"(font(?:-family)?:[^;\"]*?)'{_FONT}'[^;\"]*", r"\1var(--sans)", svg)
    # What says nothing: a style for all elements of the page, turns by no angle, empty groups, line ends.
    for pattern in (r"<style.*?</style>", r' transform="rotate\(-0 [^"]*"', r"<g/>", r"<defs>\s*</defs>"):
        svg = re.sub(pattern, "", svg, flags=re.S)
    return re.sub(r"\s*\n\s*", "\n", svg.replace("xlink:href", "href"))
