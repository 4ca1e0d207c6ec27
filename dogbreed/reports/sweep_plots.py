"""The plots of a sweep: what it tried, what that reached, and at what price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dogbreed.reports.class_plots import shorten
from dogbreed.reports.svg import BLUE, INK, LINE, MUTED, ORANGE, SURFACE, Plot, drawing
from dogbreed.reports.words import amount, duration, measure, percent
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.journal import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOGARITHMIC = 30  # times the least value that the largest is: from there on equal steps are factors
_CHOICES = 6  # different numbers that are still shown as choices


def draw_parameter(name: str, trials: Sequence[Record], monitor: str, winner: int) -> Plot | None:
    """The objective of each trial against one parameter; None where all trials share its value.

    Args:
        name: the parameter's key.
        trials: those with a value of the monitor.
        monitor: the objective.
        winner: number of the trial that stands out.
    """
    found = [(trial, trial.params[name]) for trial in trials if name in trial.params]
    values = list(dict.fromkeys(value for _, value in found))
    if len(values) < 2:
        return None
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    with drawing(name, f"{len(found)} trials, {_range(values, numbers)}.") as canvas:
        if len(numbers) == len(values) and len(values) > _CHOICES:
            places = [float(value) for _, value in found if isinstance(value, int | float)]
            if min(places) > 0 and max(places) >= _LOGARITHMIC * min(places):
                canvas.axes.set_xscale("log")
                canvas.axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        else:
            order: list[Value] = [*sorted(numbers)] if len(numbers) == len(values) else values
            places = _spread_out([order.index(value) for _, value in found])
            canvas.axes.set_xticks(range(len(order)), [shorten(_word(value), 14) for value in order])
            canvas.axes.set_xlim(-0.5, len(order) - 0.5)
        _points(canvas.axes, places, [trial for trial, _ in found], winner)
        _objective(canvas.axes, monitor, [trial for trial, _ in found])
    return canvas.plot


def draw_best_so_far(trials: Sequence[Record], monitor: str, best: str) -> Plot:
    """Each trial over the training time spent by its end, and the best so far.

    Args:
        trials: those with a value, in their order.
        monitor: the objective.
        best: "min" or "max".
    """
    spent = np.cumsum([trial.seconds for trial in trials])
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    so_far = np.maximum.accumulate(values) if best == "max" else np.minimum.accumulate(values)
    last = int(np.flatnonzero(so_far == so_far[-1])[0])
    text = f"The best came after {duration(float(spent[last]))} of {duration(float(spent[-1]))} of training."
    with drawing("Best so far", text) as canvas:
        canvas.axes.scatter(spent, values, s=16, color=MUTED, alpha=0.45, linewidth=0, label="trial")
        canvas.axes.step(spent, so_far, where="post", color=BLUE, label="best so far")
        canvas.axes.xaxis.set_major_formatter(lambda value, _: duration(value) if value > 0 else "0")
        canvas.axes.set_xlabel("training time of the trials so far")
        _objective(canvas.axes, monitor, trials)
        canvas.legend()
    return canvas.plot


def draw_curves(trials: Sequence[Record], monitor: str, winner: int) -> Plot:
    """The objective of every trial over its epochs, the winner's standing out; stopped trials end early."""
    from matplotlib.ticker import MaxNLocator

    stopped = sum(trial.state == "stopped" for trial in trials)
    text = f"{len(trials)} trials" + (f", {stopped} of them stopped early as hopeless." if stopped else ".")
    with drawing("Learning curves", text) as canvas:
        for trial in sorted(trials, key=lambda trial: trial.number == winner):
            rows = [row for row in trial.curve if monitor in row]
            first = trial.number == winner
            canvas.axes.plot(
                [row["epoch"] for row in rows],
                [row[monitor] for row in rows],
                color=BLUE if first else MUTED,
                linewidth=2.4 if first else 0.9,
                alpha=1 if first else 0.4,
                label=f"trial {trial.number}, the winner" if first else None,
                marker="o",
                markersize=0 if len(rows) > 1 else 4,
            )
        canvas.axes.set_xlabel("epoch")
        canvas.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _objective(canvas.axes, monitor, trials)
        if canvas.axes.get_legend_handles_labels()[1]:
            canvas.legend()
    return canvas.plot


def draw_trade_off(trials: Sequence[Record], monitor: str, best: str, winner: int) -> Plot:
    """The objective against the time that a trial took; those that none beats in both are joined and numbered."""
    front = trade_off(trials, best)
    text = (
        f"{len(front)} of {len(trials)} trials are beaten by none in both: "
        + ", ".join(
            f"{trial.number} ({measure(monitor, trial.value)} in {duration(trial.seconds)})" for trial in front[:3]
        )
        + ("." if len(front) <= 3 else ", …")
    )
    with drawing(f"{monitor} and time", text) as canvas:
        seconds = [trial.seconds for trial in trials]
        quickest = [(trial.seconds, trial.value or 0.0) for trial in front]
        canvas.axes.plot(*zip(*quickest, strict=True), color=ORANGE, linewidth=1.3, alpha=0.8)
        _points(canvas.axes, seconds, trials, winner)
        for trial in front[-6:]:
            canvas.axes.annotate(
                str(trial.number),
                (trial.seconds, trial.value),
                xytext=(0, 6),
                ha="center",
                textcoords="offset points",
                color=MUTED,
                fontsize=10,
            )
        if min(seconds) > 0 and max(seconds) >= _LOGARITHMIC * min(seconds):
            canvas.axes.set_xscale("log")
        canvas.axes.xaxis.set_major_formatter(lambda value, _: duration(value) if value > 0 else "0")
        canvas.axes.set_xlabel("training time of the trial")
        _objective(canvas.axes, monitor, trials)
    return canvas.plot


def trade_off(trials: Sequence[Record], best: str) -> list[Record]:
    """The trials that no other one beats in time and objective (the Pareto front), the quickest first."""
    sign = -1 if best == "max" else 1
    front: list[Record] = []
    reached = math.inf
    for trial in sorted(trials, key=lambda trial: (trial.seconds, sign * (trial.value or 0.0))):
        if trial.value is not None and sign * trial.value < reached:
            reached = sign * trial.value
            front.append(trial)
    return front


def _points(axes: Axes, places: Sequence[float], trials: Sequence[Record], winner: int) -> None:
    # All of a kind at once: a call for each takes seconds where there are hundreds.
    for first in (False, True):
        chosen = [
            (x, trial.value) for x, trial in zip(places, trials, strict=True) if (trial.number == winner) == first
        ]
        axes.scatter(
            [x for x, _ in chosen],
            [value or 0.0 for _, value in chosen],
            s=80 if first else 26,
            color=BLUE if first else MUTED,
            linewidth=1.2,
            edgecolor=SURFACE,
            alpha=1 if first else 0.55,
            zorder=3 if first else 2,
        )


def _objective(axes: Axes, monitor: str, trials: Sequence[Record]) -> None:
    values = [trial.value for trial in trials if trial.value is not None]
    axes.set_ylabel(monitor)
    if monitor.endswith("/loss"):
        if values and min(values) > 0 and max(values) > _LOGARITHMIC * min(values):
            axes.set_yscale("log")
    else:
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.spines["bottom"].set_color(LINE)
    axes.margins(y=0.14)
    axes.tick_params(axis="x", labelcolor=INK if axes.get_xscale() == "linear" else MUTED)


def _spread_out(places: Sequence[int]) -> list[float]:
    """The places moved a little aside, by the golden ratio, so that points of one choice do not hide each other."""
    return [place + 0.36 * ((number * 0.618034) % 1 - 0.5) for number, place in enumerate(places)]


def _range(values: Sequence[Value], numbers: Sequence[int | float]) -> str:
    if len(numbers) == len(values):
        return f"from {amount(min(numbers))} to {amount(max(numbers))}"
    return f"{len(values)} choices"


def _word(value: Value) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
