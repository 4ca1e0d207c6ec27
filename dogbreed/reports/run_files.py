"""Reads the files of a run: from JSON, CSV and YAML to typed values, whatever is missing or damaged left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogbreed.health.findings import Finding, Outcome, Status
from dogbreed.phases import Phase
from dogbreed.reports.contents import (
    Data,
    Epoch,
    Gallery,
    Health,
    Pair,
    Prediction,
    Profile,
    Run,
    Series,
    Shown,
    Spread,
)
from dogbreed.reports.reading import Folder
from dogbreed.reports.values import (
    entries,
    finite,
    finite_or_none,
    mapping,
    metric,
    share,
    text,
    text_or_none,
    whole,
)
from dogbreed.serving.calibration import Calibration


def read_run(directory: Path) -> Run:
    """The run in `directory`; whatever is missing or cannot be read is left out and remembered."""
    folder = Folder(directory)
    return Run(
        folder=folder,
        config=folder.yaml("config.yaml", _config) or {},
        about=folder.json("run.json", _about) or {},
        metrics=folder.json("metrics.json", _metrics) or {},
        epochs=folder.rows("metrics.csv", _epoch) or (),
        health=folder.json("health.json", _health),
        profile=folder.json("profile.json", _profile),
        predictions=folder.rows("predictions.csv", _prediction) or (),
        data=folder.json("data.json", _data),
        artifact=folder.json("artifact/artifact.json", _artifact) or {},
        per_class=folder.rows("per_class.csv", _class_row) or (),
        confused=folder.rows("confused.csv", _pair) or (),
        skipped=folder.rows("skipped.csv", lambda row: {key: row[key] for key in ("split", "path", "reason")}),
        gallery=folder.json("pictures.json", _gallery) or Gallery(),
    )


def _config(content: Any) -> Mapping[str, Any]:
    for note in entries(mapping(content).get("notes") or []):
        text(note)
    return mapping(content)


def _about(content: Any) -> Mapping[str, Any]:
    for key in ("started", "command", "directory", "git"):
        text_or_none(mapping(content).get(key))
    return mapping(content)


def _artifact(content: Any) -> Mapping[str, Any]:
    for part, key in (("backbone", "name"), ("head", "kind")):
        text_or_none(mapping(mapping(content).get(part, {})).get(key))
    for name in entries(content.get("class_names", [])):
        text(name)
    if content.get("calibration") is not None:
        Calibration.from_dict(content["calibration"])
    return mapping(content)


def _metrics(content: Any) -> dict[str, float]:
    return {key: metric(key, value) for key, value in mapping(content).items()}


def _epoch(row: dict[str, str]) -> Epoch:
    epoch = {key: metric(key, value) for key, value in row.items() if value != ""}
    return {"epoch": finite(epoch.pop("epoch")), **epoch}


def _health(content: Any) -> Health:
    return Health(text(content["preset"]), tuple(_outcome(rule) for rule in content["rules"]))


def _outcome(rule: Mapping[str, Any]) -> Outcome:
    pairs = [line.split(":", 1) for line in rule["RuleParameters"].splitlines()]
    return Outcome(
        rule=text(rule["RuleConfigurationName"]),
        status=Status(rule["RuleEvaluationStatus"]),
        reason=text(rule["reason"]),
        parameters={key: value for key, value in pairs},
        datapoints=whole(rule["Datapoints"]),
        violations=whole(rule["Violations"]),
        finding=None if rule["finding"] is None else _finding(rule["finding"]),
        details=mapping(rule["Details"]),
        consequence_of=text_or_none(rule["consequence_of"]),
    )


def _finding(found: Mapping[str, Any]) -> Finding:
    return Finding(
        clause=text(found["clause"]),
        value=float(found["value"]),
        threshold=float(found["threshold"]),
        meaning=text(found["meaning"]),
        step=None if found["step"] is None else whole(found["step"]),
        mode=text_or_none(found["mode"]),
        tensor=text_or_none(found["tensor"]),
        remedy=tuple(map(text, entries(found["remedy"]))),
        advice=text(found["advice"]),
    )


def _profile(content: Any) -> Profile:
    machine = content["machine"]
    series = {name: _points(values) for name, values in content["series"].items()}
    if len({len(values) for values in series.values() if values is not None}) > 1:
        raise ValueError("its series differ in length")
    found = [("CPU, mean of the cores", "%", machine["cores"]), ("waiting for the disk", "%", machine["io_wait"])]
    found += [("memory of the run", "GiB", machine["memory_gib"])]
    for key, name in (("gpus", "GPU {}"), ("gpu_memory", "memory of GPU {}")):
        found += [(name.format(number), "%", one) for number, one in enumerate(machine[key])]
    return Profile(
        seconds=finite(content["seconds"]),
        phases=_phase(content["phases"]),
        every_s=finite_or_none(machine["every_s"]),
        samples=whole(machine["samples"]),
        spreads=tuple(_spread(name, unit, one) for name, unit, one in found if one),
        series=Series(
            seconds=tuple(map(finite, series["seconds"] or ())),
            cpu=series["cpu"] or (),
            memory_gib=series["memory_gib"] or (),
            io_wait=series["io_wait"],
            gpu=series["gpu"],
        ),
    )


def _points(values: Any) -> tuple[float, ...] | None:
    """A measurement over the run; NaN where a sample had none, which a plot leaves out."""
    return None if values is None else tuple(math.nan if one is None else float(one) for one in entries(values))


def _spread(name: str, unit: str, found: Any) -> Spread:
    return Spread(name, unit, **{key: finite(value) for key, value in mapping(found).items()})


def _phase(content: Mapping[str, Any]) -> Phase:
    parts = [_phase(part) for part in content["parts"]]
    return Phase(text(content["name"]), finite(content["seconds"]), whole(content["count"]), parts)


def _prediction(row: dict[str, str]) -> Prediction:
    shares = {key: share(row[key]) for key in ("probability", "probability_of_true")}
    return Prediction(row["path"], row["true"], row["predicted"], **shares)


def _data(content: Any) -> Data:
    counts = {split: tuple(map(whole, found)) for split, found in content["pictures"].items()}
    return Data(str(content["root"]), tuple(map(text, entries(content["class_names"]))), counts)


def _pair(row: dict[str, str]) -> Pair:
    return Pair(row["true"], row["predicted"], whole(row["pictures"]))


def _class_row(row: dict[str, str]) -> dict[str, Any]:
    shares = {key: share(row[key]) if row[key] else None for key in ("recall", "precision", "f1")}
    return {"class_name": row["class_name"], "pictures": whole(row["pictures"]), **shares}


def _gallery(content: Any) -> Gallery:
    pairs = [
        Pair(
            text(pair["true"]),
            text(pair["predicted"]),
            whole(pair["pictures"]),
            tuple(_shown(shown) for shown in pair["confused"]),
            None if pair["example"] is None else _shown(pair["example"]),
        )
        for pair in content["pairs"]
    ]
    return Gallery(tuple(_shown(shown) for shown in content["mistakes"]), tuple(pairs))


def _shown(found: Mapping[str, Any]) -> Shown:
    names = {key: text(found[key]) for key in ("file", "path", "true")}
    return Shown(**names, predicted=text(found.get("predicted", "")), probability=share(found.get("probability", 0.0)))
