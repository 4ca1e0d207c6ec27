"""The end of a sweep: who won on val, the free baseline beside it, and the winner trained alone and tested once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dogbreed.checking import needs_pixels
from dogbreed.errors import ConfigError, DataError
from dogbreed.files import from_here, write_json, writing
from dogbreed.prepare import say
from dogbreed.reports.sweep_report import write_sweep_report
from dogbreed.runs import command
from dogbreed.streams import BOLD
from dogbreed.sweeps.engines import Features, JobEngine
from dogbreed.sweeps.journal import Record
from dogbreed.sweeps.leaderboard import rank, show, write_best
from dogbreed.sweeps.ridge import fit_ridge
from dogbreed.sweeps.trials import Configs, Trial

_FOLDER = "winner"
_WHOLE = ("metrics.json", "artifact", "profile.json", "report.html")  # what its run leaves, in this order


def crown(
    records: Sequence[Record], jobs: JobEngine, configs: Configs, features: Features, module: str, *, train: bool
) -> None:
    """Show the leaderboard, write best.yaml and summary.json, fit the baseline, train and test the winner.

    Args:
        records: of all trials.
        jobs: trains the winner.
        configs: the config of each trial.
        features: what the baseline is fitted on: the winner's.
        module: the command that is swept.
        train: false leaves the winner untrained and test untouched.

    Raises:
        ConfigError: no trial was trained to its end.
        Exception: what the winner's own run died of.
    """
    directory, monitor = jobs.directory, jobs.monitor
    places = rank(records, monitor)
    say(show(places, monitor))
    failed = [record for record in records if record.state == "failed"]
    for reason in dict.fromkeys(record.error for record in failed):
        numbers = ", ".join(str(record.number) for record in failed if record.error == reason)
        say(f"failed, trial {numbers}: {reason}")
    if not places[0].finished:
        why = f": {failed[0].error}" if failed else ""
        raise ConfigError(
            f"no trial was trained to its end{why}", "one at least", f"look at {from_here(directory)}/trials.csv"
        )
    best = places[0].best(monitor)
    trial = Trial(best.number, best.params)
    _move_aside(directory, best.number)
    write_best(directory / "best.yaml", best, monitor, jobs.fixed, command(module, [*jobs.fixed, *trial.overrides]))
    summary: dict[str, Any] = {"monitor": monitor, "trial": best.number, "params": best.params, "sweep": best.metrics}
    summary["ridge"] = _baseline(configs, trial, features, tested=train)
    summary["winner"] = _train_alone(jobs, trial, configs.of(trial.params).report) if train else None
    write_json(directory / "summary.json", summary)
    _tell(summary, directory)
    say(f"the whole story, in a browser: {from_here(write_sweep_report(directory))}")


def _baseline(configs: Configs, trial: Trial, features: Features, *, tested: bool) -> dict[str, float] | None:
    """Ridge on the winner's features: val, and test where the winner is tested too; None where there are none."""
    config = configs.of(trial.params)
    if reason := needs_pixels(config):
        say(f"no ridge baseline: {reason}")
        return None
    prepared = features.of(config)
    assert prepared.features is not None
    views = prepared.features.views
    ridge = fit_ridge(views["train"], views["val"], prepared.pictures.num_classes)
    metrics = {"penalty": ridge.penalty, "val/acc": ridge.accuracy_on_val}
    return {**metrics, "test/acc": ridge.accuracy(views["test"])} if tested else metrics


def _train_alone(jobs: JobEngine, trial: Trial, report: bool) -> dict[str, float]:
    """The winner's metrics from a run of its own, which tests it once; read again where that was done before.

    A run that was killed after its metrics lacks its artifact, and goes on.
    """
    folder = jobs.directory / _FOLDER
    metrics = folder / "metrics.json"
    if not all((folder / name).exists() for name in _WHOLE if name != "report.html" or report):
        say(f"trial {trial.number} won, and is trained once more, alone, and tested:")
        value = jobs.run_once(trial, _FOLDER)
        if not metrics.exists():  # it ran elsewhere
            return {jobs.monitor: value}
    content: dict[str, float] = json.loads(metrics.read_text())
    return content


def _move_aside(directory: Path, number: int) -> None:
    """Keep the winner of before under another name, if it was another trial.

    Raises:
        DataError: nothing says any more which trial it was.
    """
    best, folder = directory / "best.yaml", directory / _FOLDER
    if not best.exists() or not folder.exists():
        return
    try:
        before = yaml.safe_load(best.read_text(encoding="utf-8"))["trial"]
        if type(before) is not int:  # it names a folder
            raise ValueError(before)
    except (ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise DataError(
            got=f"{best} does not say which trial {folder} is",
            allowed="what the sweep wrote",
            hint="move both away, and run the same command again: they are made anew",
        ) from error
    if before != number:
        with writing(folder):
            folder.rename(directory / f"{_FOLDER}_was_{before}")


def _tell(summary: Mapping[str, Any], directory: Path) -> None:
    monitor, alone, ridge = summary["monitor"], summary["winner"], summary["ridge"]
    say(f"winner: trial {summary['trial']}, {monitor}={summary['sweep'][monitor]:.4f} in the sweep", BOLD)
    if alone is not None:
        say(f"  trained alone: {_listed(alone, monitor, 'test/acc')}")
    if ridge is not None:
        say(f"  ridge, without training: {_listed(ridge, 'val/acc', 'test/acc')}")
    shown, winner = from_here(directory), ", winner/" if alone is not None else ""
    say(f"wrote {shown}/: trials.csv, trials.json, best.yaml, summary.json{winner}")
    if alone is None:
        say(f"train it: the command stands in {shown}/best.yaml")


def _listed(metrics: Mapping[str, float], *names: str) -> str:
    return " ".join(f"{name}={metrics[name]:.4f}" for name in dict.fromkeys(names) if name in metrics)
