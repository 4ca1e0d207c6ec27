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


def read_run(directory: Path) -> Run:
    """The run in `directory`; whatever is missing or cannot be read is left out and remembered."""
    folder = Folder(directory)
    return Run(
        folder=folder,
        config=folder.yaml("config.yaml", _mapping) or {},
        about=folder.json("run.json", _mapping) or {},
        metrics=folder.json("metrics.json", lambda found: {key: float(value) for key, value in found.items()}) or {},
        epochs=folder.rows("metrics.csv", _epoch) or (),
        health=folder.json("health.json", _health),
        profile=folder.json("profile.json", _profile),
        predictions=folder.rows("predictions.csv", _prediction) or (),
        data=folder.json("data.json", _data),
        artifact=folder.json("artifact/artifact.json", _mapping) or {},
        per_class=folder.rows("per_class.csv", _class_row) or (),
        confused=folder.rows("confused.csv", _pair) or (),
        skipped=folder.rows("skipped.csv", lambda row: {key: row[key] for key in ("split", "path", "reason")}),
        gallery=folder.json("pictures.json", _gallery) or Gallery(),
    )


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError(f"it holds {type(content).__name__} where names and values should be")
    return content


def _epoch(row: dict[str, str]) -> Epoch:
    epoch = {key: float(value) for key, value in row.items() if value != ""}
    return {"epoch": epoch.pop("epoch"), **epoch}


def _health(content: Any) -> Health:
    return Health(str(content["preset"]), tuple(_outcome(rule) for rule in content["rules"]))


def _outcome(rule: Mapping[str, Any]) -> Outcome:
    pairs = [line.split(":", 1) for line in rule["RuleParameters"].splitlines()]
    return Outcome(
        rule=rule["RuleConfigurationName"],
        status=Status(rule["RuleEvaluationStatus"]),
        reason=rule["reason"],
        parameters={key: value for key, value in pairs},
        datapoints=int(rule["Datapoints"]),
        violations=int(rule["Violations"]),
        finding=None if rule["finding"] is None else _finding(rule["finding"]),
        details=rule["Details"],
        consequence_of=rule["consequence_of"],
    )


def _finding(found: Mapping[str, Any]) -> Finding:
    numbers = {key: float(found[key]) for key in ("value", "threshold")}
    return Finding(**{**found, **numbers, "remedy": tuple(found["remedy"])})


def _profile(content: Any) -> Profile:
    machine, found_series = content["machine"], content["series"]
    series = {name: None if values is None else tuple(map(float, values)) for name, values in found_series.items()}
    if len({len(values) for values in series.values() if values is not None}) > 1:
        raise ValueError("its series differ in length")
    found = [("CPU, mean of the cores", "%", machine["cores"]), ("waiting for the disk", "%", machine["io_wait"])]
    found += [("memory of the run", "GiB", machine["memory_gib"])]
    for key, name in (("gpus", "GPU {}"), ("gpu_memory", "memory of GPU {}")):
        found += [(name.format(number), "%", one) for number, one in enumerate(machine[key])]
    return Profile(
        seconds=float(content["seconds"]),
        phases=_phase(content["phases"]),
        every_s=float(machine["every_s"]),
        samples=int(machine["samples"]),
        spreads=tuple(Spread(name, unit, **one) for name, unit, one in found if one),
        series=Series(
            seconds=series["seconds"] or (),
            cpu=series["cpu"] or (),
            memory_gib=series["memory_gib"] or (),
            io_wait=series["io_wait"],
            gpu=series["gpu"],
        ),
    )


def _phase(content: Mapping[str, Any]) -> Phase:
    parts = [_phase(part) for part in content["parts"]]
    return Phase(str(content["name"]), float(content["seconds"]), int(content["count"]), parts)


def _prediction(row: dict[str, str]) -> Prediction:
    shares = {key: float(row[key]) for key in ("probability", "probability_of_true")}
    if not all(math.isfinite(share) for share in shares.values()):
        raise ValueError("a probability that is no number")
    return Prediction(row["path"], row["true"], row["predicted"], **shares)


def _data(content: Any) -> Data:
    counts = {split: tuple(int(count) for count in found) for split, found in content["pictures"].items()}
    return Data(str(content["root"]), tuple(content["class_names"]), counts)


def _pair(row: dict[str, str]) -> Pair:
    return Pair(row["true"], row["predicted"], int(row["pictures"]))


def _class_row(row: dict[str, str]) -> dict[str, Any]:
    shares = {key: float(row[key]) if row[key] else None for key in ("recall", "precision", "f1")}
    return {"class_name": row["class_name"], "pictures": int(row["pictures"]), **shares}


def _gallery(content: Any) -> Gallery:
    pairs = [
        Pair(
            pair["true"],
            pair["predicted"],
            int(pair["pictures"]),
            tuple(Shown(**shown) for shown in pair["confused"]),
            None if pair["example"] is None else Shown(**pair["example"]),
        )
        for pair in content["pairs"]
    ]
    return Gallery(tuple(Shown(**shown) for shown in content["mistakes"]), tuple(pairs))
