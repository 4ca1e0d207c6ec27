"""The report of a run: report.html from what stands in its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dogbreed.health.findings import Status
from dogbreed.phases import Phase
from dogbreed.reports.class_plots import (
    LEGIBLE,
    draw_balance,
    draw_confidence,
    draw_heat_map,
    draw_overview,
    draw_recalls,
    draw_reliability,
)
from dogbreed.reports.contents import Gallery, Health, Pair, Run, Shown
from dogbreed.reports.evaluation import confused, per_class
from dogbreed.reports.page import REPORT, embed_jpeg, write_page
from dogbreed.reports.reading import holds_run, nothing_there
from dogbreed.reports.run_files import read_run
from dogbreed.reports.run_plots import draw_curve, draw_machine, draw_phases, entered, initialisation
from dogbreed.reports.scores import calibrate, count_confusion, most_confused
from dogbreed.reports.svg import Plot
from dogbreed.reports.verdict import class_sizes, consequences, findings, judge
from dogbreed.reports.words import count
from dogbreed.serving.calibration import Calibration

_NO_TEST = "the run did not get to its test, or is older than this file"
_LISTED = 200  # skipped files; the file itself has them all


def write_report(directory: Path) -> Path:
    """Write report.html about the run in `directory`, from its files alone; its path.

    Whatever file is missing or cannot be read leaves its section empty, which then says why.

    Raises:
        ConfigError: there is no run.
        OutputError: the report cannot be written.
    """
    if not holds_run(directory):
        raise nothing_there(directory)
    run = read_run(directory)
    content = {
        "run": run,
        "title": run_title(run),
        "verdict": judge(run),
        "tiles": list(_tiles(run)),
        "curves": draw_curves(run),
        "health": _health(run.health),
        "time": _tell_time(run),
        "classes": tell_classes(run),
        "calibration": tell_calibration(run),
        "data": tell_data(run),
        "settings": settings_of(run),
        "config_text": run.folder.text("config.yaml"),
    }
    return write_page(directory / REPORT, "run.html.j2", **content, problems=run.folder.problems, no_test=_NO_TEST)


def run_title(run: Run) -> str:
    """The backbone, the head and how many classes; the folder's name where they are not known."""
    backbone = run.artifact.get("backbone", {}).get("name") or run.setting("backbone.name")
    kind = run.artifact.get("head", {}).get("kind")
    classes = len(run.class_names)
    if not backbone:
        return run.folder.path.resolve().name
    head = f"{kind} head" if kind else "head"
    return f"{backbone}, {head}" + (f", {count(classes, 'class', 'classes')}" if classes else "")


def _tiles(run: Run) -> Iterator[tuple[str, float]]:
    names = {"acc": "test accuracy", "acc_top5": "in the top 5", "f1_macro": "macro F1"}
    for key, name in names.items():
        value = run.metrics.get(f"test/{key}", math.nan)
        if not math.isnan(value):
            yield name, value


def draw_curves(run: Run) -> list[Plot]:
    """Loss and accuracy over the epochs, as far as they were measured."""
    best = None
    mode, monitor = run.setting("callbacks.checkpoint.mode"), run.setting("monitor")
    rows = [row for row in run.epochs if not math.isnan(row.get(str(monitor), math.nan))]
    if mode in ("min", "max") and rows:
        choose = max if mode == "max" else min
        best = int(choose(rows, key=lambda row: row[str(monitor)])["epoch"])
    drawn = [draw_curve(run.epochs, key, title, best) for key, title in (("loss", "Loss"), ("acc", "Accuracy"))]
    return [plot for plot in drawn if plot is not None]


def _health(health: Health | None) -> dict[str, Any] | None:
    if health is None:
        return None
    found = [(outcome, consequences(outcome, health)) for outcome in findings(health)]
    order = [Status.ERROR, Status.NO_ISSUES, Status.NOT_ENOUGH, Status.NOT_APPLICABLE]
    quiet = [one for one in health.outcomes if one.status is not Status.ISSUES]
    quiet.sort(key=lambda one: order.index(one.status))
    return {"preset": health.preset, "found": found, "quiet": quiet}


def _tell_time(run: Run) -> dict[str, Any] | None:
    """Where the time went, with plots; None where that is not known."""
    if run.profile is None:
        return None
    profile = run.profile
    whole = profile.seconds or 1.0
    before = initialisation(profile.phases)
    spent = sum(phase.seconds for phase in before)
    return {
        "profile": profile,
        "bars": [draw_phases(profile.phases, whole, width) for width in (760, 380) if entered(profile.phases)],
        "rows": list(_flat(profile.phases, 0, [phase.name for phase in before])),
        "before": sorted(before, key=lambda phase: -phase.seconds),
        "spent": spent,
        "machine": list(draw_machine(profile.series)),
    }


def _flat(phase: Phase, depth: int, before: Sequence[str], early: bool = False) -> Iterator[tuple[Phase, int, bool]]:
    for part in entered(phase):
        first = early or (depth == 0 and part.name in before)
        yield part, depth, first
        yield from _flat(part, depth + 1, before, first)


def tell_classes(run: Run) -> dict[str, Any]:
    """What is known of the classes: all of it from predictions.csv, else the tables that an older run left."""
    names, pairs, maps = run.class_names, list(run.confused), list[Plot]()
    rows: list[Mapping[str, Any]] = list(run.per_class)
    if run.predictions:
        confusion = count_confusion(run.predictions, names)
        rows = [*per_class(confusion, names)]
        pairs = [Pair(pair["true"], pair["predicted"], pair["pictures"]) for pair in confused(confusion, names)]
        if len(names) <= LEGIBLE:
            maps = [
                draw_heat_map(
                    confusion,
                    names,
                    range(len(names)),
                    "The one class" if len(names) == 1 else f"All {len(names)} classes",
                )
            ]
        else:
            chosen = most_confused(confusion, LEGIBLE)
            maps = [draw_overview(confusion)]
            if chosen:
                maps += [draw_heat_map(confusion, names, chosen, f"The {len(chosen)} classes most often mixed up")]
    recalls = [float(row["recall"]) for row in rows if row["recall"] not in (None, "")]
    sizes = Counter({row["class_name"]: row["pictures"] for row in rows})
    return {
        "maps": maps,
        "pairs": [(pair, sizes[pair.true]) for pair in pairs],
        "shown": _gallery(run),
        "rows": sorted(rows, key=lambda row: (row["recall"] in (None, ""), row["recall"] or 0, row["class_name"])),
        "recalls": draw_recalls(recalls, float(np.mean(recalls))) if len(recalls) > LEGIBLE else None,
    }


def _gallery(run: Run) -> Gallery:
    """The kept pictures with their files turned into data URIs; what is missing or damaged is left out."""

    def embedded(shown: Shown | None) -> Shown | None:
        if shown is None:
            return None
        # By its name alone: an index that was tampered with shall not read elsewhere.
        uri = embed_jpeg(run.folder.path / "pictures" / Path(shown.file).name)
        if uri is None:
            run.folder.problems[f"pictures/{Path(shown.file).name}"] = "it is missing or not whole"
        return None if uri is None else Shown(uri, shown.path, shown.true, shown.predicted, shown.probability)

    pairs = []
    for pair in run.gallery.pairs:
        wrong = tuple(filter(None, map(embedded, pair.confused)))
        pairs.append(Pair(pair.true, pair.predicted, pair.pictures, wrong, embedded(pair.example)))
    return Gallery(tuple(filter(None, map(embedded, run.gallery.mistakes))), tuple(pairs))


def tell_calibration(run: Run) -> dict[str, Any] | None:
    """How far test's probabilities can be trusted, with plots; None where no answers are known."""
    if not run.predictions:
        return None
    right = [answer.true == answer.predicted for answer in run.predictions]
    found = calibrate([answer.probability for answer in run.predictions], right)
    plots = [draw_reliability(found), draw_confidence(found)]
    if run.artifact.get("calibration") is None:
        return {"found": found, "plots": plots, "fitted": None}
    fitted = Calibration.from_dict(run.artifact["calibration"])
    sure = [hit for hit, answer in zip(right, run.predictions, strict=True) if fitted.is_sure(answer.probability)]
    precision = sum(sure) / len(sure) if sure else None
    return {"found": found, "plots": plots, "fitted": fitted, "sure": len(sure) / len(right), "precision": precision}


def tell_data(run: Run) -> dict[str, Any]:
    """How many pictures there are of what, and what was left out."""
    counts = run.data.counts if run.data is not None else {}
    rows = [(split, sum(found), min(found), max(found)) for split, found in counts.items() if found]
    train = class_sizes(run, "train")
    fewest = min(train, default=0)
    return {
        "rows": rows,
        "balance": draw_balance(train) if len(set(train)) > 1 else None,
        "ratio": max(train) / fewest if fewest else None,
        "empty": [name for name, size in zip(run.class_names, train, strict=False) if not size],
        "skipped": list(run.skipped or [])[:_LISTED],
        "reasons": Counter(row["reason"].split(":")[0] for row in run.skipped or []).most_common(),
    }


def settings_of(run: Run) -> list[tuple[str, str]]:
    """The settings that people ask for first."""
    keys = (
        "backbone.library",
        "backbone.name",
        "backbone.tag",
        "backbone.weights",
        "features.path",
        "features.views",
        "head._target_",
        "optimizer._target_",
        "optimizer.lr",
        "data.batch_size",
        "trainer.max_epochs",
        "trainer.precision",
        "monitor",
        "seed",
    )
    found = [(key, run.setting(key)) for key in keys]
    return [
        (key.removesuffix("._target_"), str(value).rsplit(".", 1)[-1] if key.endswith("_target_") else str(value))
        for key, value in found
        if value is not None
    ]
