"""The plots of how classes and probabilities did on test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dogbreed.reports.evaluation import Counts
from dogbreed.reports.scores import Calibration
from dogbreed.reports.svg import BLUE, INK, LINE, MUTED, ORANGE, RED, SURFACE, Plot, drawing, write
from dogbreed.reports.words import percent
from dogbreed.serving.names import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Classes whose names and counts can still be read in one picture.
LEGIBLE = 24
_LONGEST = 26  # characters of a name on an axis


def draw_heat_map(confusion: Counts, class_names: Sequence[str], chosen: Sequence[int], title: str) -> Plot:
    """Pictures of the chosen classes by true and predicted class, with names and counts.

    Args:
        confusion: (C, C), of all classes.
        class_names: length C.
        chosen: indices, at most LEGIBLE, in the order in which they are shown.
        title: of the plot.
    """
    part = confusion[np.ix_(chosen, chosen)]
    names = [shorten(readable(class_names[index])) for index in chosen]
    size, edge = len(names), 190
    side = edge + max(26 * size, 200)
    whose = "this class" if size == 1 else f"these {size} classes"
    text = f"{part.trace():,} of {part.sum():,} pictures of {whose} lie on the diagonal, which is right."
    with drawing(title, text, width=side, height=side) as canvas:
        axes = canvas.axes
        _cells(axes, part, confusion.sum(axis=1)[list(chosen)], 0.94)
        for (row, column), pictures in np.ndenumerate(part):
            if pictures:
                axes.text(column, row, str(pictures), ha="center", va="center", fontsize=10, color=INK)
        axes.set_xticks(range(size), names, rotation=90, color=INK)
        axes.set_yticks(range(size), names, color=INK)
        _frame(axes, size)
    return canvas.plot


def draw_overview(confusion: Counts) -> Plot:
    """All classes in their order, however many: a mark for each pair that occurs, mistakes in a colour of their own."""
    size = len(confusion)
    mistakes = int(confusion.sum() - confusion.trace())
    text = f"{size} by {size} classes; {mistakes:,} of {confusion.sum():,} pictures lie off the diagonal, as mistakes."
    with drawing(f"All {size} classes", text, width=400, height=380) as canvas:
        _cells(canvas.axes, confusion, confusion.sum(axis=1), max(1.0, size / 110))
        canvas.axes.set_xticks([])
        canvas.axes.set_yticks([])
        _frame(canvas.axes, size)
    return canvas.plot


def draw_recalls(recalls: Sequence[float], overall: float) -> Plot:
    """How many classes are recognised how well: their number by recall, in tenths."""
    edges = np.linspace(0, 1, 11)
    counts, _ = np.histogram(recalls, edges)
    weak = int(counts[:5].sum())
    text = f"{weak} of {len(recalls)} classes have less than half of their pictures right."
    with drawing("Classes by the share that is right", text) as canvas:
        colours = [ORANGE if edge < 0.5 else BLUE for edge in edges[:-1]]
        bars = canvas.axes.bar(edges[:-1] + 0.05, counts, width=0.088, color=colours, linewidth=0)
        canvas.axes.bar_label(bars, [str(number) if number else "" for number in counts], padding=2, color=MUTED)
        canvas.axes.axvline(overall, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        write(canvas.axes, "mean", overall, 0.97)
        canvas.axes.xaxis.set_major_formatter(lambda value, _: percent(value))
        canvas.axes.set(xlim=(0, 1), yticks=[], xlabel="share of a class's pictures that is right")
        canvas.axes.margins(y=0.14)
    return canvas.plot


def draw_reliability(calibration: Calibration) -> Plot:
    """Share that is right against the probability that was given, in bins; the diagonal would be perfect."""
    bins = len(calibration.pictures)
    full = calibration.pictures > 0
    confidence, accuracy = calibration.bin_confidence[full], calibration.bin_accuracy[full]
    text = (
        f"Answers were given {percent(calibration.confidence, 1)} on average,"
        f" and {percent(calibration.accuracy, 1)} of them were right."
    )
    with drawing("Said and true", text, height=290) as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.vlines(confidence, confidence, accuracy, color=ORANGE, alpha=0.5)
        sizes = 34 + 420 * calibration.pictures[full] / calibration.pictures.sum()
        axes.scatter(confidence, accuracy, s=sizes, color=BLUE, edgecolor=SURFACE, linewidth=1, zorder=3)
        axes.annotate("too modest", (0.04, 0.95), color=MUTED, va="top", fontsize=10.5)
        axes.annotate("too sure", (0.98, 0.05), color=MUTED, ha="right", fontsize=10.5)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel=f"probability of the answer, mean of each of {bins} bins")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: percent(value))
    return canvas.plot


def draw_confidence(calibration: Calibration) -> Plot:
    """How many pictures were answered with which probability."""
    from matplotlib.ticker import MaxNLocator

    bins = len(calibration.pictures)
    centres = (np.arange(bins) + 0.5) / bins
    right = np.nan_to_num(calibration.bin_accuracy) * calibration.pictures
    sure = int(calibration.pictures[-1])
    text = f"{sure:,} of {calibration.pictures.sum():,} answers were given more than {percent(1 - 1 / bins)}."
    with drawing("How sure the answers were", text, height=290) as canvas:
        axes = canvas.axes
        axes.bar(centres, right, width=0.88 / bins, color=BLUE, label="right", linewidth=0)
        wrong = calibration.pictures - right
        axes.bar(centres, wrong, bottom=right, width=0.88 / bins, color=RED, alpha=0.75, label="wrong", linewidth=0)
        axes.xaxis.set_major_formatter(lambda value, _: percent(value))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlim=(0, 1), xlabel="probability of the answer", ylabel="pictures")
        canvas.legend()
    return canvas.plot


def draw_balance(counts: Sequence[int]) -> Plot:
    """Training pictures of each class, from the most to the fewest."""
    ordered = np.sort(np.asarray(counts))[::-1]
    text = f"From {ordered[0]:,} to {ordered[-1]:,} pictures a class, {np.median(ordered):g} in the middle."
    with drawing("Training pictures of each class", text, height=180) as canvas:
        canvas.axes.bar(range(len(ordered)), ordered, width=0.86 if len(ordered) < 60 else 1, color=BLUE, linewidth=0)
        canvas.axes.set(xticks=[], xlim=(-0.6, len(ordered) - 0.4), xlabel="classes, the most frequent first")
    return canvas.plot


def shorten(name: str, longest: int = _LONGEST) -> str:
    """A name that fits on an axis.

    >>> shorten("Nova Scotia duck tolling retriever", 20)
    'Nova Scotia duck to…'
    """
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def _cells(axes: Axes, counts: Counts, wholes: Counts, side: float) -> None:
    """A square of `side` for each pair that occurs, the fuller the larger its share of the true class."""
    from matplotlib.collections import PolyCollection

    rows, columns = np.nonzero(counts)
    shares = counts[rows, columns] / np.maximum(1, wholes[rows])
    colours = np.where(rows == columns, BLUE, RED)
    corners = side / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    squares = np.stack([columns, rows], axis=1)[:, None, :] + corners
    # No fuller than that a number in ink can be read on it.
    axes.add_collection(
        PolyCollection(list(squares), facecolors=list(colours), alpha=0.16 + 0.36 * shares, linewidth=0)
    )


def _frame(axes: Axes, size: int) -> None:
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xlabel="predicted", ylabel="true")
    axes.set_aspect("equal")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE)
