"""The report of a sweep: report.html from what stands in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dogbreed.reports.page import REPORT, write_page
from dogbreed.reports.reading import holds_sweep, nothing_there
from dogbreed.reports.svg import Plot
from dogbreed.reports.sweep_files import Sweep, read_sweep
from dogbreed.reports.sweep_plots import draw_best_so_far, draw_curves, draw_parameter, draw_trade_off
from dogbreed.reports.verdict import Sentence
from dogbreed.reports.words import amount, count, duration, measure, percent, sentence
from dogbreed.sweeps.dimensions import Value, override_line
from dogbreed.sweeps.journal import Record
from dogbreed.sweeps.leaderboard import Place, rank

_TOP = 15  # places that are shown unfolded
_RANGE = 4  # different numbers of a parameter, from which on its least and its largest are edges


def write_sweep_report(directory: Path) -> Path:
    """Write report.html about the sweep in `directory`, from its files alone; its path.

    Raises:
        ConfigError: there is no sweep.
        OutputError: the report cannot be written.
    """
    if not holds_sweep(directory):
        raise nothing_there(directory)
    sweep = read_sweep(directory)
    places = rank(sweep.trials.records, sweep.trials.monitor) if sweep.trials is not None else []
    content = {
        "sweep": sweep,
        "title": sweep_title(sweep, places),
        "verdict": judge_sweep(sweep, places),
        "plots": draw_sweep(sweep, places),
        "board": _leaderboard(sweep, places),
        "winner": _winner_beside(sweep),
        "settings": shlex.join(override_line(key, value) for key, value in sweep.best.items()),
        "has_report": sweep.folder.has(f"winner/{REPORT}"),
        "failed": [one for one in (sweep.trials.records if sweep.trials else ()) if one.state == "failed"],
    }
    return write_page(directory / REPORT, "sweep.html.j2", **content, problems=sweep.folder.problems, top=_TOP)


def sweep_title(sweep: Sweep, places: Sequence[Place]) -> str:
    """What was tried, in a line."""
    if sweep.trials is None:
        return f"Sweep {sweep.folder.path.resolve().name}"
    keys = list(dict.fromkeys(key for place in places for key in place.setting))
    swept = ", ".join(key.rsplit(".", 1)[-1] for key in keys)
    tried = count(len(sweep.trials.records), "trial") + ("" if sweep.ended else " so far")
    return f"{tried} over {swept}" if swept else tried


def judge_sweep(sweep: Sweep, places: Sequence[Place]) -> list[Sentence]:
    """How good, whether anything is wrong, and where the time went."""
    if sweep.trials is None:
        why = sweep.folder.why("trials.json", "the sweep was stopped before its first table was written")
        return [Sentence("How good", "plain", "Nothing can be said of the trials.", why)]
    monitor, records = sweep.trials.monitor, sweep.trials.records
    so_far = "" if sweep.ended else " so far"
    if not records and not sweep.ended:
        return [Sentence("How good", "plain", "No trial has come to its end so far.", "It is too early to judge.")]
    if not places or not places[0].finished:
        return [Sentence("How good", "bad", f"No trial was trained to its end{so_far}.", "The table below says why.")]
    best = places[0].best(monitor)
    tested, ridge = sweep.summary.get("winner", {}).get("test/acc"), sweep.summary.get("ridge", {})
    strong = f"Trial {best.number} is best, with {monitor} {measure(monitor, best.value)}"
    strong += f"; trained alone it names {percent(tested, 1)} of test right." if tested is not None else "."
    rest, tone = "", "good"
    reached = ridge.get("val/acc")
    if reached is not None and monitor == "val/acc" and best.value is not None:
        better = best.value > reached
        rest = f"Ridge regression, which takes no training, reaches {percent(reached, 1)} on val" + (
            "." if better else ": the sweep has found nothing better, so look at what is swept."
        )
        tone = "good" if better else "bad"
    failed, stopped = (sum(one.state == state for one in records) for state in ("failed", "stopped"))
    seconds = sum(one.seconds for one in records)
    whole = "All ran to their end." if sweep.ended else "The sweep has not come to its end, or was stopped."
    about = [f"{failed} failed" if failed else "", f"{stopped} were stopped early as hopeless" if stopped else ""]
    listed = " and ".join(filter(None, about))
    return [
        Sentence("How good", tone, strong, rest),
        Sentence("Is anything wrong", *_edges(sweep, best)),
        Sentence(
            "Where the time went",
            "plain",
            f"{count(len(records), 'trial')}{so_far} took {duration(seconds)} of training in all.",
            " ".join(filter(None, [sentence(listed), "" if listed and sweep.ended else whole])),
        ),
    ]


def _edges(sweep: Sweep, best: Record) -> tuple[str, str, str]:
    """Whether the winner stands at the edge of what was tried, where more of the same may be better still."""
    edge, inside = list[str](), list[str]()
    for key, value in best.params.items():
        tried = [one.params.get(key) for one in sweep.measured]
        numbers = sorted({float(one) for one in tried if isinstance(one, int | float) and not isinstance(one, bool)})
        # Of three values two are edges: that would say nothing.
        if len(numbers) < _RANGE or key == "seed" or not isinstance(value, int | float):
            continue
        if value in (numbers[0], numbers[-1]):
            edge.append(f"{key}={amount(value)} is the {'least' if value == numbers[0] else 'largest'} that was tried")
        else:
            inside.append(key)
    if edge:
        return "bad", "The best lies at the edge:", f"{'; '.join(edge)}. Look further there."
    if inside:
        return "good", "The best does not lie at the edge of what was tried", f"in {', '.join(inside)}."
    strong = f"No parameter has {_RANGE} numbers that were tried,"
    return "plain", strong, "so whether the best lies at an edge was not looked at."


def draw_sweep(sweep: Sweep, places: Sequence[Place]) -> dict[str, list[Plot]]:
    """The plots of its "progress" and of its "parameters"; none where no trial reached a value."""
    trials, measured = sweep.trials, sweep.measured
    if trials is None or not measured:
        return {"progress": [], "parameters": []}
    winner = places[0].best(trials.monitor).number
    keys = dict.fromkeys(key for one in measured for key in one.params)
    parameters = [draw_parameter(key, measured, trials.monitor, winner) for key in keys]
    return {
        "progress": [
            draw_best_so_far(measured, trials.monitor, trials.direction),
            draw_curves(measured, trials.monitor, winner),
            draw_trade_off(measured, trials.monitor, trials.direction, winner),
        ],
        "parameters": [plot for plot in parameters if plot is not None],
    }


def _leaderboard(sweep: Sweep, places: Sequence[Place]) -> dict[str, Any]:
    """The leaderboard: columns, and a row of cells for each place."""
    if sweep.trials is None:
        return {"columns": [], "rows": []}
    monitor = sweep.trials.monitor
    keys = list(dict.fromkeys(key for place in places for key in place.setting))
    seeds = any(len(place.trials) > 1 for place in places)
    others = [name for name in ("val/acc", "val/loss") if name != monitor and not seeds]
    columns = [monitor, *(["spread", "seeds"] if seeds else []), *others, *keys, "epochs", "time", "trial", "state"]
    rows = []
    for place in places:
        best = place.best(monitor)
        states = sorted({one.state for one in place.trials})
        cells = [measure(monitor, place.mean)]
        cells += [measure(monitor, place.spread), str(len(place.trials))] if seeds else []
        cells += [measure(name, best.metrics.get(name)) for name in others]
        cells += [parameter(place.setting.get(key)) for key in keys]
        cells += [str(len(best.curve)), duration(sum(one.seconds for one in place.trials))]
        rows.append((cells, ", ".join(str(one.number) for one in place.trials), ", ".join(states), states[0]))
    return {"columns": columns, "rows": rows}


def _winner_beside(sweep: Sweep) -> list[tuple[str, list[str]]]:
    """A row for each metric: in the sweep, trained alone, and of ridge regression."""
    sources = [sweep.summary.get(name, {}) for name in ("sweep", "winner", "ridge")]
    names = [name for name in dict.fromkeys(key for source in sources for key in source) if "/" in name]
    return [(name, [measure(name, source.get(name)) for source in sources]) for name in names]


def parameter(value: Value) -> str:
    """What a trial had of a parameter, for a table."""
    return "null" if value is None else amount(value) if isinstance(value, float) else str(value)
