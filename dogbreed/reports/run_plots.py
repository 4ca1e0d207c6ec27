"""The plots of one run over its epochs and its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dogbreed.phases import Phase
from dogbreed.reports.contents import Epoch, Series
from dogbreed.reports.svg import BLUE, GREEN, INK, LINE, MUTED, ORANGE, SURFACE, Plot, drawing, write
from dogbreed.reports.words import count, duration, measure, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAINING = "training"
_INDENT = "\N{NO-BREAK SPACE}" * 3  # others would be folded
#: Phases that belong to no beginning, wherever they are first entered.
_LATER = (TRAINING, "validation", "checkpoints", "test", "report", "other")


def draw_curve(epochs: Sequence[Epoch], metric: str, title: str, best: int | None) -> Plot | None:
    """The metric over the epochs in train and val; None where it was not measured.

    Args:
        epochs: rows of metrics.csv.
        metric: such as "loss".
        title: of the plot.
        best: the epoch whose weights were kept; None if that is not known.
    """
    lines = {split: [row for row in epochs if f"{split}/{metric}" in row] for split in ("train", "val")}
    lines = {split: rows for split, rows in lines.items() if rows}
    if not lines:
        return None
    ends = []
    for split, rows in lines.items():
        first, last = (measure(metric, row[f"{split}/{metric}"]) for row in (rows[0], rows[-1]))
        ends.append(f"{split} from {first} to {last}")
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    with drawing(title, f"Over {count(len(epochs), 'epoch')}: {'; '.join(ends)}.") as canvas:
        axes = canvas.axes
        for (split, rows), colour in zip(lines.items(), (BLUE, ORANGE), strict=False):
            values = [row[f"{split}/{metric}"] for row in rows]
            dot = 5 if len(rows) <= 12 else 0
            axes.plot([row["epoch"] for row in rows], values, "o-", color=colour, label=split, markersize=dot)
        for row in lines.get("val", []):
            if row["epoch"] == best:
                _mark(axes, row["epoch"], row[f"val/{metric}"], height=0.95 if metric == "loss" else 0.03)
        values = [row[f"{split}/{metric}"] for split, rows in lines.items() for row in rows]
        # A first epoch far away would press all others flat.
        if metric == "loss" and min(values) > 0 and max(values) > 20 * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if metric != "loss":
            axes.yaxis.set_major_formatter(lambda value, _: percent(value))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        canvas.legend()
    return canvas.plot


def draw_phases(phases: Phase, seconds: float, width: int) -> Plot:
    """A bar for each part of the run, one after the other; what came before the training stands out."""
    rows = list(_rows(phases, seconds))
    before = initialisation(phases)
    spoken = ", ".join(f"{phase.name} {duration(phase.seconds)}" for phase in entered(phases))
    text = "Orange: before the first step of training. Blue: training."
    with drawing("Where the time went", text, width, 36 + 25 * len(rows), spoken) as canvas:
        axes = canvas.axes
        for place, (phase, start, depth, owner) in enumerate(rows):
            colour = ORANGE if owner in before else BLUE if owner.name == TRAINING else MUTED
            axes.barh(
                place,
                phase.seconds,
                left=start,
                height=0.62 if depth == 0 else 0.3,
                color=colour,
                alpha=1 if depth == 0 else 0.6,
                linewidth=0,
            )
            label, end = f"{duration(phase.seconds)} · {percent(phase.seconds / seconds)}", start + phase.seconds
            left = end > 0.75 * seconds
            axes.annotate(
                label,
                (start if left else end, place),
                xytext=(-6 if left else 6, 0),
                va="center",
                ha="right" if left else "left",
                textcoords="offset points",
                fontsize=10.5,
                color=INK if depth == 0 else MUTED,
            )
        axes.set_yticks(range(len(rows)), [f"{_INDENT * depth}{phase.name}" for phase, _, depth, _ in rows], ha="left")
        # Names begin at one edge, parts a little further in.
        pad = 11 + max(label.get_window_extent().width for label in axes.get_yticklabels())
        axes.tick_params(axis="y", pad=pad, labelcolor=INK)
        axes.set(xlim=(0, seconds), ylim=(len(rows) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.spines["bottom"].set_visible(False)
        _clock(axes, seconds, 8 if width > 500 else 4)
    return canvas.plot


def entered(phase: Phase) -> list[Phase]:
    """The parts that were left at least once: the one in which the profile is written has no time of its own yet."""
    return [part for part in phase.parts if part.count]


def initialisation(phases: Phase) -> list[Phase]:
    """The parts of the run that came before its training."""
    names = [phase.name for phase in phases.parts]
    end = names.index(TRAINING) if TRAINING in names else len(names)
    return [phase for phase in phases.parts[:end] if phase.count and phase.name not in _LATER]


def draw_machine(series: Series) -> Iterator[Plot]:
    """Use of processors and of memory over the run."""
    lines = [("CPU", series.cpu, BLUE), ("waiting for the disk", series.io_wait, MUTED), ("GPU", series.gpu, GREEN)]
    shown = [(name, values, colour) for name, values, colour in lines if values and not np.isnan(values).all()]
    if shown and series.seconds:
        text = "; ".join(f"{name}: {percent(float(np.nanmean(values)) / 100)} on average" for name, values, _ in shown)
        with drawing("Processors", text, height=180) as canvas:
            for name, values, colour in shown:
                canvas.axes.plot(series.seconds, values, color=colour, label=name, linewidth=1.4)
            _over_time(canvas.axes, series.seconds[-1], 102, "{:.0f} %")
            canvas.legend()
        yield canvas.plot
    if series.seconds and not np.isnan(series.memory_gib).all():
        most = float(np.nanmax(series.memory_gib))
        text = f"At most {most:.2f}\N{NO-BREAK SPACE}GiB."
        with drawing("Memory of the run's processes", text, height=180) as canvas:
            canvas.axes.fill_between(series.seconds, series.memory_gib, color=BLUE, alpha=0.16, linewidth=0)
            canvas.axes.plot(series.seconds, series.memory_gib, color=BLUE, linewidth=1.4)
            _over_time(canvas.axes, series.seconds[-1], most * 1.15, "{:.3g} GiB")
        yield canvas.plot


def _mark(axes: Axes, epoch: float, value: float, height: float) -> None:
    """Mark the epoch whose weights were kept; the word stands at `height`, from 0 to 1."""
    axes.plot([epoch], [value], "o", color=SURFACE, markeredgecolor=ORANGE, markeredgewidth=2, markersize=8)
    axes.axvline(epoch, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    write(axes, "best", epoch, height)


def _over_time(axes: Axes, seconds: float, top: float, unit: str) -> None:
    axes.set(xlim=(0, seconds or 1), ylim=(0, top or 1))  # a single sample may stand at 0
    _clock(axes, seconds or 1, 4)
    axes.yaxis.set_major_formatter(lambda value, _: unit.format(value))
    axes.spines["bottom"].set_color(LINE)


def _clock(axes: Axes, seconds: float, ticks: int) -> None:
    """Times on the x axis, at steps that clocks have."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if seconds / step <= ticks), seconds / ticks)
    axes.set_xticks([step * number for number in range(int(seconds / step) + 1)])
    axes.xaxis.set_major_formatter(lambda value, _: duration(value) if value else "0")


def _rows(phases: Phase, seconds: float) -> Iterator[tuple[Phase, float, int, Phase]]:
    """Each part with its start, its depth and the part of the run that it belongs to; slivers of parts are left out."""
    start = 0.0
    for owner in entered(phases):
        yield owner, start, 0, owner
        inside = start
        for part in owner.parts:
            if part.seconds >= 0.005 * seconds:
                yield part, inside, 1, owner
            inside += part.seconds
        start += owner.seconds
