"""What a run took here, read from its directory: what an estimate for another machine starts from."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dogbreed.errors import ConfigError

_LOOPS = ("sanity check", "training", "validation", "test", "checkpoints")


@dataclass(frozen=True)
class Measured:
    """What a run took on this machine, in seconds.

    Attributes:
        directory: of the run.
        set_up: what is neither of the following: imports where the run was a command, data checks, weights, the report.
        backbone: when the backbone saw pictures: the feature pass, or the whole training of a run on pixels; None
            where the features came from the cache, so that nothing tells.
        heads: training and evaluating a head on features; 0 for a run on pixels.
        pictures: that the backbone saw in that time, each view of a picture counted.
        cores: of the machine.
        gpu: that the run had; None for none.
        on_features: False for a run on pixels.
    """

    directory: Path
    set_up: float
    backbone: float | None
    heads: float
    pictures: int
    cores: int
    gpu: str | None
    on_features: bool


def read_measured(directory: Path) -> Measured:
    """What the run in `directory` took.

    Raises:
        ConfigError: it holds no whole run with a profile.
    """
    try:
        profile, about, data = (_json(directory / name) for name in ("profile.json", "run.json", "data.json"))
        views = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))["features"]["views"] or 1
        with open(directory / "metrics.csv", encoding="utf-8", newline="") as file:
            epochs = sum(1 for _ in csv.DictReader(file))
        phases = {phase["name"]: phase for phase in profile["phases"]["parts"]}
        if "training" not in phases:
            raise ValueError("the run trained nothing")
        counts = {split: sum(found) for split, found in data["pictures"].items()}
        return _measured(directory, float(profile["seconds"]), phases, about["machine"], counts, views, epochs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            got=f"sagemaker.measured_run={directory}: {reason}",
            allowed="the directory of a run that ended, with profile.json, run.json, data.json and metrics.csv",
            hint="python -m dogbreed.train with the same config makes one, or give sagemaker.expected_minutes",
        ) from error


def _measured(
    directory: Path,
    seconds: float,
    phases: Mapping[str, Mapping[str, Any]],
    machine: Mapping[str, Any],
    counts: Mapping[str, int],
    views: int,
    epochs: int,
) -> Measured:
    loops = sum(float(phases[name]["seconds"]) for name in _LOOPS if name in phases)
    on_features, devices = "features" in phases, machine["devices"]
    backbone: float | None = loops
    pictures = epochs * (counts["train"] + counts.get("val", 0)) + counts.get("test", 0)
    if on_features:
        passes = [part for part in phases["features"]["parts"] if part["name"] == "feature pass"]
        backbone = float(passes[0]["seconds"]) if passes else None
        pictures = sum(counts.values()) + (views - 1) * counts["train"]
    heads = loops if on_features else 0.0
    return Measured(
        directory=directory,
        set_up=max(0.0, seconds - heads - (backbone or 0.0)),
        backbone=backbone,
        heads=heads,
        pictures=pictures,
        cores=int(machine["cores"]),
        gpu=str(devices[0]) if devices else None,
        on_features=on_features,
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
