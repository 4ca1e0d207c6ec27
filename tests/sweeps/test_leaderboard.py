"""Who did best: on val alone, seeds together."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from dogbreed.sweeps.journal import Record
from dogbreed.sweeps.leaderboard import rank, show, write_best


def trial(number: int, value: float | None, state: str = "finished", backbone: Any = None, **params: Any) -> Record:
    metrics = {} if value is None else {"val/acc": value, "val/loss": 1 - value}
    return Record(number, params, state, value, 0, metrics, backbone=backbone or {})


def test_rank__puts_the_best_first() -> None:
    records = [trial(number, number / 10, lr=number) for number in range(5)]
    random.Random(0).shuffle(records)
    assert [place.setting["lr"] for place in rank(records, "val/acc")] == [4, 3, 2, 1, 0]
    assert [place.setting["lr"] for place in rank(records, "val/loss")] == [0, 1, 2, 3, 4], "less is better"


def test_rank__takes_the_seeds_of_a_setting_together() -> None:
    values = {(1, 0): 0.9, (1, 1): 0.1, (2, 0): 0.6, (2, 1): 0.7, (2, 2): 0.62}
    records = [trial(number, value, lr=lr, seed=seed) for number, ((lr, seed), value) in enumerate(values.items())]
    first, second = rank(records, "val/acc")
    assert (first.setting, len(first.trials)) == ({"lr": 2}, 3)
    assert first.mean == pytest.approx(statistics.mean([0.6, 0.7, 0.62]))
    assert first.spread == pytest.approx(statistics.stdev([0.6, 0.7, 0.62]))
    assert first.best("val/acc").params["seed"] == 1
    assert second.mean == pytest.approx(0.5)


def test_rank__puts_last_what_was_stopped_or_failed() -> None:
    records = [
        trial(0, 0.9, "stopped", lr=0),
        trial(1, None, "failed", lr=1),
        trial(2, 0.1, lr=2),
        trial(3, 0.95, lr=3, seed=0),
        trial(4, None, "failed", lr=3, seed=1),
        trial(5, float("nan"), lr=4),
    ]
    places = rank(records, "val/acc")
    assert [place.setting["lr"] for place in places][:3] == [2, 4, 0]
    assert [place.finished for place in places] == [True, True, False, False, False]


def test_rank__a_seed_that_was_stopped_is_not_the_winner() -> None:
    records = [trial(0, 0.9, "stopped", lr=1, seed=0), trial(1, 0.8, lr=1, seed=1)]
    (place,) = rank(records, "val/acc")
    assert place.finished
    assert place.best("val/acc").number == 1


def test_rank__tells_settings_apart_by_type() -> None:
    assert len(rank([trial(0, 0.1, a=1), trial(1, 0.1, a=True), trial(2, 0.1, a="1")], "val/acc")) == 3


def test_show__columns_stand_under_each_other() -> None:
    text = show(rank([trial(0, 0.5, lr=0.001), trial(1, 0.25, lr=0.1)], "val/acc"), "val/acc")
    header, first, _ = text.splitlines()
    assert first.split()[:2] == ["1", "0.5000"]
    assert header.index("val/acc") + len("val/acc") == first.index("0.5000") + len("0.5000")
    assert "spread" not in header
    assert "test" not in text


def test_show__says_how_many_more_there_are() -> None:
    text = show(rank([trial(number, 0.1, lr=number) for number in range(12)], "val/acc"), "val/acc", rows=10)
    assert text.endswith("... and 2 more")


def test_show__compares_backbones_where_there_are_several() -> None:
    small, large = {"parameters": 11_000_000, "pictures/s": 80.5}, {"parameters": 23_000_000, "pictures/s": 30.0}
    one = [trial(0, 0.5, backbone=small, lr=1), trial(1, 0.6, backbone=small, lr=2), trial(2, 0.1, lr=3)]
    assert "parameters" not in show(rank(one, "val/acc"), "val/acc")
    text = show(rank([*one, trial(3, 0.7, backbone=large, lr=1, backbones="x")], "val/acc"), "val/acc")
    assert "23,000,000" in text
    assert "80.5" in text


def test_write_best__is_typed(tmp_path: Path) -> None:
    params: dict[str, Any] = {
        "optimizer.lr": 1e-05,
        "data.batch_size": 16,
        "head": "mlp",
        "name": "16",
        "on": True,
        "none": None,
    }
    path = tmp_path / "best.yaml"
    write_best(path, trial(7, 0.5, **params), "val/acc", ["experiment=quickstart"], "python -m dogbreed.train a=1")
    for content in (yaml.safe_load(path.read_text()), OmegaConf.to_container(OmegaConf.load(path))):
        assert content == {"trial": 7, "fixed": ["experiment=quickstart"], "params": params}
        assert [type(value) for value in content["params"].values()] == [type(value) for value in params.values()]
    assert "#   python -m dogbreed.train a=1\n" in path.read_text()
