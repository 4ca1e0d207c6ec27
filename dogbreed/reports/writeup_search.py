"""What a write-up says of a sweep: what was searched, how, what won, and how far that can be believed."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogbreed.reports.evidence import Evidence, plan_of
from dogbreed.reports.figures import Figures
from dogbreed.reports.markdown import Markdown, code, link, table
from dogbreed.reports.run_files import read_run
from dogbreed.reports.scores import interval
from dogbreed.reports.sweep_files import Sweep, Trials
from dogbreed.reports.sweep_report import draw_sweep, judge_sweep, parameter, sweep_title
from dogbreed.reports.words import amount, count, measure, percent
from dogbreed.sweeps.leaderboard import Place, rank

_TOP = 5  # places that are listed; trials.csv has all
_NEXT = 10  # places over which the spread is told


def tell_search(evidence: Evidence, sweep: Sweep, figures: Figures) -> dict[str, Any]:
    """The section of one sweep."""
    home, folder = evidence.home, sweep.folder
    found, plan = sweep.trials, plan_of(sweep)
    places = rank(found.records, found.monitor) if found is not None else []
    sources = {name: link(folder.path / name, home) for name in ("trials.csv", "trials.jsonl", "summary.json")}
    plots, sizes = draw_sweep(sweep, places), _sizes(sweep)
    is_ours = (folder.path / "winner").resolve() == home.resolve()
    return {
        "sweep": sweep,
        "title": sweep_title(sweep, places),
        "sources": sources,
        "verdict": judge_sweep(sweep, places),
        "space": _space(plan, sources["trials.jsonl"]),
        "how": _how(plan),
        "board": _board(found, places),
        "certainty": _certainty(found, places, sizes.get("val", 0)),
        "ridge": _ridge(sweep, sizes.get("test", 0)),
        "winner": _winner(sweep, sources["summary.json"]),
        "progress": figures.plots(plots["progress"], sources["trials.jsonl"]),
        "parameters": figures.plots(plots["parameters"], sources["trials.jsonl"]),
        "failed": [one for one in (found.records if found else ()) if one.state == "failed"],
        "is_ours": is_ours,
        "card": shlex.join(["python", "-m", "dogbreed.report", "--card", str(folder.path)]),
        "jobs": _jobs(sweep, home),
    }


def _space(plan: Mapping[str, Any], source: Markdown) -> Markdown | None:
    space = plan.get("space")
    if not isinstance(space, Mapping):
        return None
    rows = [(code(key), code(text), Markdown(f"{source} {code(f'plan.space.{key}')}")) for key, text in space.items()]
    return table(("parameter", "where it was searched", "from"), rows)


def _how(plan: Mapping[str, Any]) -> str:
    """The engine and what proposed the trials, as far as the journal's plan says so."""
    if "tuning job" in plan:
        return f"The SageMaker tuning job {plan['tuning job']} proposed the trials, each of them a training job."
    if not plan.get("sampler"):
        return ""
    side = "all heads trained side by side on features that were computed once" if plan.get("fleet") else "one by one"
    stopping = ", and hopeless trials were stopped early" if plan.get("halving") else ""
    return f"Proposed by the {plan['sampler']} sampler, {side}{stopping}."


def _board(trials: Trials | None, places: Sequence[Place]) -> Markdown | None:
    if trials is None or not places:
        return None
    keys = list(dict.fromkeys(key for place in places for key in place.setting))
    seeds = any(len(place.trials) > 1 for place in places)
    rows = []
    for number, place in enumerate(places[:_TOP], 1):
        best = place.best(trials.monitor)
        row = [str(number), ", ".join(str(one.number) for one in place.trials), measure(trials.monitor, place.mean)]
        row += [measure(trials.monitor, place.spread)] if seeds else []
        row += [parameter(place.setting.get(key)) for key in keys]
        rows.append([*row, "" if best.best_epoch is None else str(best.best_epoch)])
    columns = ["place", "trial", trials.monitor, *(["spread over seeds"] if seeds else []), *keys, "best epoch"]
    return table(columns, rows)


def _sizes(sweep: Sweep) -> dict[str, int]:
    """How many pictures the sweep's winner had in each split; those of another run may be others."""
    data = read_run(sweep.folder.path / "winner").data
    return {} if data is None else {split: sum(found) for split, found in data.counts.items()}


def _certainty(trials: Trials | None, places: Sequence[Place], pictures: int) -> list[str]:
    """How far apart the best lie, and whether val can tell them apart."""
    values = [place.mean for place in places if place.mean is not None]
    if trials is None or len(values) < 2:
        return []
    monitor, top = trials.monitor, values[:_NEXT]
    best = f"The {'best ' * (len(top) < len(values))}{len(top)} settings lie between {measure(monitor, top[-1])} and"
    median, last = (measure(monitor, value) for value in (statistics.median(values), values[-1]))
    rest = f"; the median of all {len(values)} is {median}, the last {last}" if len(top) < len(values) else ""
    told = [f"{best} {measure(monitor, top[0])}{rest}."]
    if monitor == "val/acc" and pictures:
        low, high = interval(values[0], pictures)
        inside = sum(value >= low for value in values) - 1
        told.append(
            f"With {count(pictures, 'picture')} of val, the 95 % interval of the best is {percent(low, 1)} to"
            f" {percent(high, 1)}. {_inside(inside)} The best of many is also the luckiest: its value on val"
            " flatters it, and test is what counts."
        )
    return told


def _inside(others: int) -> str:
    if not others:
        return "No other setting lies in it."
    lie = count(others, "other setting lies", "other settings lie")
    return f"{lie} in it, which val alone cannot tell from the best."


def _winner(sweep: Sweep, source: Markdown) -> Markdown | None:
    """Metric by metric: in the sweep, trained alone, and of ridge regression."""
    sections = [name for name in ("sweep", "winner", "ridge") if sweep.summary.get(name)]
    names = dict.fromkeys(key for section in sections for key in sweep.summary[section] if "/" in key)
    if not names:
        return None
    titles = {"sweep": "in the sweep", "winner": "trained alone", "ridge": "ridge regression"}
    rows = []
    for name in names:
        known = [section for section in sections if sweep.summary[section].get(name) is not None]
        cells = [measure(name, sweep.summary[section].get(name)) for section in sections]
        keys = " ".join(code(f"{section}.{name}") for section in known)
        rows.append([name, *cells, Markdown(f"{source} {keys}")])
    return table(("metric", *(titles[section] for section in sections), "from"), rows)


def _ridge(sweep: Sweep, pictures: int) -> str:
    """How the winner stands beside ridge regression on test; empty where that is not known."""
    winner, ridge = (sweep.summary.get(name, {}).get("test/acc") for name in ("winner", "ridge"))
    if winner is None or ridge is None:
        return ""
    apart = abs(winner - ridge) * pictures
    by = f" The difference is that of {count(round(apart), 'picture')} of test." if apart else ""
    if ridge >= winner:
        return f"On test it reaches {percent(ridge, 1)}, and the winner {percent(winner, 1)}: no better.{by}"
    return f"On test the winner reaches {percent(winner, 1)} and it {percent(ridge, 1)}.{by}"


def _jobs(sweep: Sweep, home: Path) -> Markdown | None:
    """The training job of each trial, where the trials were jobs."""
    rows = sweep.folder.rows(
        "jobs.csv", lambda row: (row["number"], row["job"], row["status"], row["objective"], row["seconds"])
    )
    if not rows:
        return None
    shown = [
        (number, job, status, value and amount(float(value)), seconds and f"{float(seconds):,.0f} s")
        for number, job, status, value, seconds in rows
    ]
    text = table(("trial", "training job", "status", "objective", "time"), shown)
    return Markdown(f"{text}\n\nFrom {link(sweep.folder.path / 'jobs.csv', home)}.")
