"""The write-up of a run, with the sweeps and jobs behind it: writeup.md, figures beside it, and the model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dogbreed.reports.contents import Run, Shown
from dogbreed.reports.evidence import Evidence
from dogbreed.reports.figures import Figures
from dogbreed.reports.markdown import Markdown, code, link, table, write_markdown
from dogbreed.reports.model_card import write_card
from dogbreed.reports.page import read_jpeg
from dogbreed.reports.run_report import draw_curves, run_title, settings_of, tell_calibration, tell_classes, tell_data
from dogbreed.reports.verdict import judge
from dogbreed.reports.words import count, measure, percent
from dogbreed.reports.writeup_asked import ask, draw_samples, parameters, picture_of_test
from dogbreed.reports.writeup_commands import deploy, job, own_head, predict, python, seeds, serve, sweep
from dogbreed.reports.writeup_health import tell_job, tell_profile, tell_rules
from dogbreed.reports.writeup_search import tell_search
from dogbreed.serving.names import readable

WRITEUP = "writeup.md"
_READ = ("metrics.json", "metrics.csv", "predictions.csv", "health.json", "profile.json")  # by the verdict
_WEAKEST = 5
_PAIRS = 5
_NAMED = 12  # classes that are named where all cannot be
_METRICS = {"acc": "accuracy", "acc_top5": "among the five most probable", "f1_macro": "macro F1", "loss": "loss"}


def write_writeup(evidence: Evidence, named: Sequence[Path]) -> list[Path]:
    """Write writeup.md, its figures and model_card.md into the run's folder, from files alone; the paths of both.

    Args:
        evidence: what it is about.
        named: the folders, as the command named them.

    Raises:
        OutputError: they cannot be written.
    """
    run, home, figures = evidence.run, evidence.home, Figures()
    content = {
        "run": run,
        "title": run_title(run),
        "command": python("dogbreed.report", "--card", *map(str, named)),
        "verdict": judge(run),
        "file": lambda name, text="": link(home / name, home, text),
        "read": [name for name in _READ if run.folder.has(name)],
        "data": _data(run, figures),
        "model": _model(run),
        "searches": [tell_search(evidence, one, figures) for one in evidence.sweeps],
        "curves": figures.plots(draw_curves(run), link(home / "metrics.csv", home)),
        "results": _results(run),
        "others": _others(evidence),
        "classes": _classes(run, figures),
        "calibration": _calibration(run, figures),
        "rules": tell_rules(run),
        "profile": tell_profile(run, figures),
        "jobs": [tell_job(one, run) for one in evidence.jobs],
        "deployment": _deployment(run, figures),
        "commands": {"sweep": sweep(run), "seeds": seeds(run), "job": job(run)},
    }
    figures.write(home)
    return [write_markdown(home / WRITEUP, "writeup.md.j2", **content), write_card(run, content)]


def _data(run: Run, figures: Figures) -> dict[str, Any]:
    told, source = tell_data(run), link(run.folder.path / "data.json", run.folder.path)
    rows = [
        (split, f"{whole:,}", f"{fewest:,}", f"{most:,}", Markdown(f"{source} {code(f'pictures.{split}')}"))
        for split, whole, fewest, most in told["rows"]
    ]
    return {
        **told,
        "table": table(("split", "pictures", "fewest of a class", "most of a class", "from"), rows) if rows else None,
        "balance": figures.plots([told["balance"]], source) if told["balance"] else None,
        "samples": draw_samples(run, figures),
        "names": _listed(run.class_names),
        "drawn": {split: run.setting(f"data.{split}_fraction") for split in ("val", "test")},
        "exclude": run.setting("data.exclude"),
        "audit": python("dogbreed.data", "audit", run.data.root if run.data else "PHOTOS"),
    }


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(readable, names[:_NAMED]))
    return shown + (f" and {count(len(names) - _NAMED, 'other')}" if len(names) > _NAMED else "")


def _model(run: Run) -> dict[str, Any]:
    home, about = run.folder.path, run.artifact
    artifact = link(home / "artifact/artifact.json", home, "artifact.json")
    weights = link(home / "artifact/weights.safetensors", home, "weights.safetensors")
    rows = list[tuple[str, str, str]]()
    sizes = parameters(home / "artifact/weights.safetensors")
    if about:
        rows += [
            ("features of a picture", f"{about['backbone']['num_features']:,}", f"{artifact} `backbone.num_features`")
        ]
        rows += [("pixels a side", str(about["transform"]["size"]), f"{artifact} `transform.size`")]
    rows += [(f"numbers in the {part}", f"{size:,}", f"{weights} `{part}.*`") for part, size in sizes.items()]
    return {
        "settings": table(("setting", ""), [(code(name), code(value)) for name, value in settings_of(run)]),
        "table": table(("", "", "from"), [(one, two, Markdown(three)) for one, two, three in rows]),
        "sizes": sizes,
        "untrained": run.setting("backbone.weights") == "none",
    }


def _results(run: Run) -> Markdown | None:
    source = link(run.folder.path / "metrics.json", run.folder.path)
    rows = []
    for key, name in _METRICS.items():
        keys = [f"{split}/{key}" for split in ("val", "test")]
        if any(one in run.metrics for one in keys):
            cells = [measure(one, run.metrics.get(one)) for one in keys]
            rows.append((name, *cells, Markdown(f"{source} {' '.join(code(k) for k in keys if k in run.metrics)}")))
    return table(("metric", "val", "test", "from"), rows) if rows else None


def _others(evidence: Evidence) -> Markdown | None:
    """Further runs beside this one."""
    if not evidence.others:
        return None
    rows = []
    for run in (evidence.run, *evidence.others):
        source = link(run.folder.path / "metrics.json", evidence.home)
        keys = [key for key in ("val/acc", "test/acc") if key in run.metrics]
        cells = [measure(key, run.metrics.get(key)) for key in ("val/acc", "test/acc")]
        told = link(run.folder.path / "run.json", evidence.home, run.folder.path.resolve().name)
        rows.append((told, *cells, Markdown(f"{source} {' '.join(map(code, keys))}")))
    return table(("run", "val", "test", "from"), rows)


def _classes(run: Run, figures: Figures) -> dict[str, Any]:
    told, home = tell_classes(run), run.folder.path
    per_class = link(home / "per_class.csv", home)
    weakest = [
        (readable(row["class_name"]), *(percent(float(row[key])) if row[key] not in (None, "") else "" for key in
         ("recall", "precision")), str(row["pictures"]))
        for row in told["rows"][:_WEAKEST]
    ]  # fmt: skip
    pairs = [
        (readable(pair.true), readable(pair.predicted), f"{pair.pictures} of {whole}" if whole else str(pair.pictures))
        for pair, whole in told["pairs"][:_PAIRS]
    ]
    shown = [
        (pair, Markdown("\n".join(_photo(run, one, figures) for one in (*pair.confused, pair.example) if one)))
        for pair in run.gallery.pairs
        if pair.confused
    ]
    predictions = link(home / "predictions.csv", home)
    return {
        "weakest": table(("class", "recall", "precision", "pictures of test"), weakest) if weakest else None,
        "per_class": per_class,
        "pairs": table(("picture of", "taken for", "pictures"), pairs) if pairs else None,
        "confused": link(home / "confused.csv", home),
        "shown": shown,
        "maps": figures.plots([plot for plot in (*told["maps"], told["recalls"]) if plot], predictions),
        "mistakes": Counter(one.true != one.predicted for one in run.predictions)[True],
        "answers": count(len(run.predictions), "answer"),
    }


def _photo(run: Run, shown: Shown, figures: Figures) -> str:
    """A thumbnail that the run kept, copied to the figures."""
    content = read_jpeg(run.folder.path / shown.file)
    if content is None:
        run.folder.problems[shown.file] = "it is missing or not whole"
        return ""
    return figures.picture(Path(shown.file).stem, content, readable(shown.true))


def _calibration(run: Run, figures: Figures) -> dict[str, Any] | None:
    told = tell_calibration(run)
    if told is None:
        return None
    return {**told, "plots": figures.plots(told["plots"], link(run.folder.path / "predictions.csv", run.folder.path))}


def _deployment(run: Run, figures: Figures) -> dict[str, Any]:
    artifact, asked = run.folder.path / "artifact", ask(run, figures)
    picture = picture_of_test(run) or "PICTURE.jpg"
    return {
        "own_head": own_head(run),
        "predict": predict(run, artifact, picture),
        "predict_any": predict(run, artifact, "PICTURE.jpg"),  # whoever reads the card has not the picture
        "serve": serve(artifact, picture),
        "deploy": deploy(artifact, picture),
        "there": bool(run.artifact),
        "bytes": sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file()) if run.artifact else 0,
        "asked": asked,
    }
