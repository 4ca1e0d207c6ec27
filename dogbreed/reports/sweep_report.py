"""The report of a sweep: report.html from what stands in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dogbreed.reports.page import REPORT, write_page
from dogbreed.reports.reading import Folder, holds_sweep, nothing_there
from dogbreed.reports.svg import Plot
from dogbreed.reports.sweep_plots import draw_best_so_far, draw_curves, draw_parameter, draw_trade_off
from dogbreed.reports.verdict import Sentence
from dogbreed.reports.words import amount, count, duration, measure, percent
from dogbreed.sweeps.journal import Record
from dogbreed.sweeps.leaderboard import Place, rank

_TOP = 15  # places that are shown unfolded


@dataclass(frozen=True)
class Trials:
    """trials.json: what was tried, and by what it is judged."""

    monitor: str
    direction: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder as far as it can be read; what cannot be is None or empty, and `folder` knows why."""

    folder: Folder
    trials: Trials | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    best: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None

    @property
    def measured(self) -> list[Record]:
        """The trials that reached a value, in the order of their numbers."""
        records = self.trials.records if self.trials is not None else ()
        return sorted((one for one in records if one.value is not None), key=lambda one: one.number)


def write_sweep_report(directory: Path) -> Path:
    """Write report.html about the sweep in `directory`, from its files alone; its path.

    Raises:
        ConfigError: there is no sweep.
        OutputError: the report cannot be written.
    """
    if not holds_sweep(directory):
        raise nothing_there(directory)
    sweep = _read(directory)
    places = rank(sweep.trials.records, sweep.trials.monitor) if sweep.trials is not None else []
    content = {
        "sweep": sweep,
        "title": _title(sweep, places),
        "verdict": _judge(sweep, places),
        "plots": _plots(sweep, places),
        "board": _board(sweep, places),
        "winner": _winner(sweep),
        "has_report": sweep.folder.has(f"winner/{REPORT}"),
        "failed": [one for one in (sweep.trials.records if sweep.trials else ()) if one.state == "failed"],
    }
    return write_page(directory / REPORT, "sweep.html.j2", **content, problems=sweep.folder.problems, top=_TOP)


def _read(directory: Path) -> Sweep:
    folder = Folder(directory)
    lines = (folder.text("best.yaml") or "").splitlines()
    return Sweep(
        folder=folder,
        trials=folder.json("trials.json", _trials),
        summary=folder.json("summary.json", lambda found: {**found, "trial": int(found["trial"])}) or {},
        best=folder.yaml("best.yaml", dict) or {},
        command=next((line.lstrip("# ") for line in lines if line.startswith("#   ")), None),
    )


def _trials(content: Any) -> Trials:
    records = tuple(Record(**entry) for entry in content["trials"])
    return Trials(str(content["monitor"]), str(content["direction"]), records)


def _title(sweep: Sweep, places: Sequence[Place]) -> str:
    if sweep.trials is None:
        return f"Sweep {sweep.folder.path.resolve().name}"
    keys = list(dict.fromkeys(key for place in places for key in place.setting))
    swept = ", ".join(key.rsplit(".", 1)[-1] for key in keys)
    return f"{count(len(sweep.trials.records), 'trial')} over {swept}" if swept else count(len(places), "trial")


def _judge(sweep: Sweep, places: Sequence[Place]) -> list[Sentence]:
    if sweep.trials is None:
        why = sweep.folder.why("trials.json", "the sweep was stopped before its first table was written")
        return [Sentence("How good", "plain", "Nothing can be said of the trials.", why)]
    monitor, records = sweep.trials.monitor, sweep.trials.records
    if not places or not places[0].finished:
        return [Sentence("How good", "bad", "No trial was trained to its end.", "The table below says why.")]
    best = places[0].best(monitor)
    tested = (sweep.summary.get("winner") or {}).get("test/acc")
    ridge = sweep.summary.get("ridge") or {}
    strong = f"Trial {best.number} is best, with {monitor} {measure(monitor, best.value)}"
    strong += f"; trained alone it names {percent(tested, 1)} of test right." if tested is not None else "."
    rest, tone = "", "good"
    if "val/acc" in ridge and monitor == "val/acc" and best.value is not None:
        better = best.value > ridge["val/acc"]
        rest = f"Ridge regression, which takes no training, reaches {percent(ridge['val/acc'], 1)} on val" + (
            "." if better else ": the sweep has found nothing better, so look at what is swept."
        )
        tone = "good" if better else "bad"
    failed, stopped = (sum(one.state == state for one in records) for state in ("failed", "stopped"))
    seconds = sum(one.seconds for one in records)
    about = [f"{failed} failed" if failed else "", f"{stopped} were stopped early as hopeless" if stopped else ""]
    listed = " and ".join(filter(None, about))
    return [
        Sentence("How good", tone, strong, rest),
        Sentence("Is anything wrong", *_edges(sweep, best)),
        Sentence(
            "Where the time went",
            "plain",
            f"{count(len(records), 'trial')} took {duration(seconds)} of training in all.",
            f"{listed[0].upper()}{listed[1:]}." if listed else "All ran to their end.",
        ),
    ]


def _edges(sweep: Sweep, best: Record) -> tuple[str, str, str]:
    """Whether the winner stands at the edge of what was tried, where more of the same may be better still."""
    edge = []
    for key, value in best.params.items():
        tried = [one.params.get(key) for one in sweep.measured]
        numbers = sorted({float(one) for one in tried if isinstance(one, int | float) and not isinstance(one, bool)})
        if len(numbers) > 3 and key != "seed" and isinstance(value, int | float) and value in (numbers[0], numbers[-1]):
            edge.append(f"{key}={amount(value)} is the {'least' if value == numbers[0] else 'largest'} that was tried")
    if edge:
        return "bad", "The best lies at the edge:", f"{'; '.join(edge)}. Look further there."
    return "good", "The best does not lie at the edge of what was tried,", "in any parameter that has a range."


def _plots(sweep: Sweep, places: Sequence[Place]) -> dict[str, list[Plot]]:
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


def _board(sweep: Sweep, places: Sequence[Place]) -> dict[str, Any]:
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
        cells += [_cell(place.setting.get(key)) for key in keys]
        cells += [str(len(best.curve)), duration(sum(one.seconds for one in place.trials))]
        rows.append((cells, ", ".join(str(one.number) for one in place.trials), ", ".join(states), states[0]))
    return {"columns": columns, "rows": rows}


def _winner(sweep: Sweep) -> list[tuple[str, list[str]]]:
    """A row for each metric: in the sweep, trained alone, and of ridge regression."""
    sources = [sweep.summary.get(name) or {} for name in ("sweep", "winner", "ridge")]
    names = [name for name in dict.fromkeys(key for source in sources for key in source) if "/" in name]
    return [(name, [measure(name, source.get(name)) for source in sources]) for name in names]


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return amount(value) if isinstance(value, float) else str(value)
