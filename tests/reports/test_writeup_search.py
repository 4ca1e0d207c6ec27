"""What a write-up says of a sweep, held against numbers that are computed here from its trials."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed.files import write_json
from dogbreed.reports.evidence import gather
from dogbreed.reports.figures import Figures
from dogbreed.reports.writeup_search import tell_search
from dogbreed.sweeps.journal import Journal, make_record
from dogbreed.sweeps.leaderboard import rank
from dogbreed.sweeps.settings import Settings
from dogbreed.sweeps.space import parse_space

MONITOR = "val/acc"
RATES = [0.001 * 2**number for number in range(6)]
SEEDS = [0, 1]
#: The accuracy of each rate with each seed.
REACHED = {(rate, seed): 0.9 - 0.04 * number + 0.01 * seed for number, rate in enumerate(RATES) for seed in SEEDS}
PICTURES = {"val": [30, 50], "test": [20, 20]}


@pytest.fixture
def sweep(explained_run: Path, tmp_path: Path) -> Path:
    """A sweep over rates, each with two seeds, whose winner saw other pictures than the run of the write-up."""
    directory = tmp_path / "sweep"
    space, _ = parse_space({"optimizer.lr": "tag(log,interval(0.001,0.1))"}, ["seed=0,1"])
    halving = {"first": 1, "factor": 3}
    settings = Settings(fleet=True, n_trials=12, sampler="sobol", batch=12, seed=0, halving=halving, winner=True)
    plan = {"space": space.describe(), "overrides": [], "monitor": MONITOR, **settings.plan()}
    with Journal(directory, plan, resume=False) as journal:
        for number, ((rate, seed), value) in enumerate(REACHED.items()):
            curve = [{"epoch": 0, MONITOR: value, "val/loss": 1.0}]
            params: dict[str, Any] = {"optimizer.lr": rate, "seed": seed}
            journal.add(make_record(number, params, curve, MONITOR, seconds=1.0))
        journal.write_tables(MONITOR)
        best = rank(journal.last.values(), MONITOR)[0].best(MONITOR)
    about = {"monitor": MONITOR, "trial": best.number, "params": best.params, "sweep": best.metrics}
    ridge, winner = {"val/acc": 0.8, "test/acc": 0.725}, {"val/acc": 0.9, "test/acc": 0.875}
    write_json(directory / "summary.json", {**about, "ridge": ridge, "winner": winner})
    shutil.copytree(explained_run, directory / "winner")
    data = json.loads((directory / "winner" / "data.json").read_text())
    write_json(directory / "winner" / "data.json", {**data, "pictures": {"train": [8, 8], **PICTURES}})
    return directory


@pytest.fixture
def told(explained_run: Path, sweep: Path) -> dict[str, Any]:
    return tell(explained_run, sweep)


def tell(run: Path, sweep: Path) -> dict[str, Any]:
    evidence = gather([run, sweep])
    found = tell_search(evidence, evidence.sweeps[0], Figures())
    found["certainty"] = " ".join(found["certainty"]).replace("\N{NO-BREAK SPACE}", " ")
    for name in ("ridge", "board", "space"):
        found[name] = found[name].replace("\N{NO-BREAK SPACE}", " ")
    return found


def means() -> list[float]:
    """The mean of each rate over its seeds, the best first."""
    return sorted((statistics.mean(REACHED[rate, seed] for seed in SEEDS) for rate in RATES), reverse=True)


def interval(share: float, pictures: int) -> list[float]:
    """Where a share lies that differs from this one by 1.96 of its own standard errors: the roots of a parabola."""
    z = 1.96**2 / pictures
    return sorted(np.roots([1 + z, -2 * share - z, share**2]))


def test_search__tells_the_plan(told: dict[str, Any]) -> None:
    assert "| `optimizer.lr` | `tag(log,interval(0.001,0.1))` |" in told["space"]
    assert "`plan.space.seed`" in told["space"]
    assert told["how"] == (
        "Proposed by the sobol sampler, all heads trained side by side on features that were computed once,"
        " and hopeless trials were stopped early."
    )


def test_search__ranks_by_the_mean_over_seeds(told: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (\d) \| [\d, ]+ \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) \|", told["board"], re.M)
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    for (_, mean, spread, rate), expected, expected_rate in zip(rows, means(), RATES, strict=False):
        assert float(mean) == pytest.approx(100 * expected, abs=0.0501)
        assert float(spread) == pytest.approx(100 * statistics.stdev([0.0, 0.01]), abs=0.0501)
        assert float(rate) == pytest.approx(expected_rate)


def test_search__says_how_far_val_can_tell_the_best_apart(told: dict[str, Any]) -> None:
    pictures = sum(PICTURES["val"])
    low, high = interval(means()[0], pictures)
    inside = sum(value >= low for value in means()[1:])
    assert 0 < inside < len(RATES) - 1
    assert told["certainty"].startswith(
        f"The 6 settings lie between {100 * means()[-1]:.1f} % and {100 * means()[0]:.1f} %."
        f" With {pictures} pictures of val, the 95 % interval of the best is {100 * low:.1f} % to {100 * high:.1f} %."
        f" {inside} other settings lie in it,"
    )


def test_search__counts_what_lies_between_the_winner_and_ridge(told: dict[str, Any]) -> None:
    apart = round((0.875 - 0.725) * sum(PICTURES["test"]))
    assert told["ridge"] == (
        f"On test the winner reaches 87.5 % and it 72.5 %. The difference is that of {apart} pictures of test."
    )


def test_search__of_unknown_pictures_counts_none(explained_run: Path, sweep: Path) -> None:
    shutil.rmtree(sweep / "winner")
    told = tell(explained_run, sweep)
    assert told["certainty"].endswith(" %.")
    assert "interval" not in told["certainty"]
    assert told["ridge"] == "On test the winner reaches 87.5 % and it 72.5 %."
