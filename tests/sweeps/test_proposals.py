"""What is proposed: replayable, evenly spread, each setting once."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Interval
from dogbreed.sweeps.proposals import SAMPLERS, Proposals, Setting, settings_of
from dogbreed.sweeps.space import SearchSpace, parse_space

MIXED = parse_space(
    {"lr": "tag(log,interval(0.001,0.1))", "momentum": "interval(0,0.99)", "size": "choice(16,32,64,128)"},
    ["epochs=range(2,6)", "width=int(interval(1,9))", "schedule=null,cosine"],
)[0]
SMALL = parse_space({"size": "16,32,64", "schedule": "null,cosine", "width": "int(interval(1,2))"}, [])[0]
LEARNING = [name for name in SAMPLERS if name != "grid"]


def height(setting: Setting) -> float:
    """Best at lr=0.01 with the largest batches."""
    rate, size = setting["lr"], setting["size"]
    assert isinstance(rate, float)
    assert isinstance(size, int)
    return -abs(np.log10(rate) + 2) + size / 1000


def play(space: SearchSpace, sampler: str, waves: int, size: int, seed: int = 0) -> list[Setting]:
    proposals, told = Proposals(space, sampler, seed=seed, direction="max"), []
    for wave in range(waves):
        asked = proposals.ask(size)
        proposals.tell([None if (wave + place) % 5 == 4 else height(entry) for place, entry in enumerate(asked)])
        told += asked
    return told


def within(space: SearchSpace, setting: Setting) -> bool:
    for key, value in setting.items():
        dimension = space.dimensions[key]
        if dimension.values is not None:
            assert any(value == known and type(value) is type(known) for known in dimension.values)
        else:
            assert isinstance(value, float)
            assert dimension.low <= value <= dimension.high
    return list(setting) == list(space.dimensions)


@pytest.mark.parametrize("sampler", LEARNING)
def test_proposals__are_the_same_again(sampler: str) -> None:
    first = play(MIXED, sampler, 4, 8)
    assert play(MIXED, sampler, 4, 8) == first
    assert play(MIXED, sampler, 4, 8, seed=1) != first
    assert all(within(MIXED, setting) for setting in first)


@pytest.mark.parametrize("sampler", LEARNING)
def test_proposals__do_not_depend_on_how_many_follow(sampler: str) -> None:
    assert play(MIXED, sampler, 3, 8)[:16] == play(MIXED, sampler, 2, 8)
    short, long = (Proposals(MIXED, sampler, seed=0, direction="max") for _ in range(2))
    assert long.ask(8)[:5] == short.ask(5), "a last wave may be extended"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals__try_each_setting_once_and_then_end(sampler: str) -> None:
    proposals = Proposals(SMALL, sampler, seed=0, direction="min")
    seen: list[Setting] = []
    while asked := proposals.ask(5):
        proposals.tell([float(len(seen) + place) for place in range(len(asked))])
        seen += asked
    assert len(seen) == SMALL.size == 12
    assert sorted(map(repr, seen)) == sorted(map(repr, settings_of(SMALL)))


def test_grid__goes_in_the_order_of_hydra() -> None:
    proposed = Proposals(SMALL, "grid", seed=0, direction="max").ask(12)
    assert proposed == list(settings_of(SMALL))
    assert [setting["width"] for setting in proposed[:3]] == [1, 2, 1]


def test_grid__refuses_what_cannot_be_counted() -> None:
    with pytest.raises(ConfigError, match=r"lr=tag\(log,interval\(0.001,0.1\)\)"):
        Proposals(MIXED, "grid", seed=0, direction="max")


def test_sobol__fills_choices_and_intervals_evenly() -> None:
    asked = Proposals(MIXED, "sobol", seed=3, direction="max").ask(65)[1:]  # Optuna draws the first at random
    sizes = [setting["size"] for setting in asked]
    assert [sizes.count(size) for size in (16, 32, 64, 128)] == [16, 16, 16, 16]
    schedules = [setting["schedule"] for setting in asked]
    assert schedules.count(None) == 32
    halves = np.histogram([np.log10(setting["lr"]) for setting in asked], bins=8, range=(-3, -1))[0]  # type: ignore[arg-type]
    assert set(halves) == {8}


def test_random__gives_each_decade_its_share() -> None:
    rates = [setting["lr"] for setting in Proposals(MIXED, "random", seed=0, direction="max").ask(400)]
    assert 170 < sum(rate < 0.01 for rate in rates) < 230  # type: ignore[operator]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals__are_silent_where_a_dimension_has_one_value(sampler: str, caplog: pytest.LogCaptureFixture) -> None:
    import optuna

    space = parse_space({"epochs": "range(2,3)", "size": "range(0,30)"}, [])[0]
    optuna.logging.enable_propagation()
    try:
        assert len(Proposals(space, sampler, seed=0, direction="max").ask(8)) == 8
    finally:
        optuna.logging.disable_propagation()
    assert not caplog.records


def test_tpe__learns_of_what_it_would_not_have_tried() -> None:
    space = parse_space({key: "range(0,6)" for key in "abc"}, [])[0]
    proposals, told = Proposals(space, "tpe", seed=0, direction="max"), []
    for _ in range(60):
        (asked,) = proposals.ask(1)
        told.append(-sum(abs(int(value or 0) - 3) for value in asked.values()))
        proposals.tell(told[-1:])
    assert max(told) == 0
    assert sum(trial.value is not None for trial in proposals._study.trials) == 60


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-6, 1e3), st.floats(1.0001, 1e3), st.booleans(), st.sampled_from(LEARNING))
def test_proposals__stay_within_an_interval(low: float, factor: float, log: bool, sampler: str) -> None:
    interval = Interval(low, low * factor, log=log)
    for setting in Proposals(SearchSpace({"x": interval}), sampler, seed=0, direction="max").ask(20):
        value = setting["x"]
        assert isinstance(value, float)
        assert low <= value <= low * factor


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.sampled_from(SAMPLERS))
def test_proposals__reach_every_whole_number(low: int, width: int, log: bool, sampler: str) -> None:
    space = SearchSpace({"x": Interval(low, low + width, log=log, whole=True)})
    asked = Proposals(space, sampler, seed=0, direction="max").ask(100)
    assert sorted(setting["x"] for setting in asked) == list(range(low, low + width + 1))  # type: ignore[type-var]


def test_tpe__learns_where_the_best_is() -> None:
    late = [height(setting) for setting in play(MIXED, "tpe", 10, 8)[40:]]
    blind = [height(setting) for setting in play(MIXED, "random", 10, 8)[40:]]
    assert np.mean(late) > np.mean(blind) + 0.1


@pytest.mark.parametrize("direction", ["min", "max"])
def test_tpe__follows_the_direction(direction: str) -> None:
    space = parse_space({"x": "interval(0,1)"}, [])[0]
    proposals = Proposals(space, "tpe", seed=0, direction=direction)
    for _ in range(8):
        asked = proposals.ask(5)
        proposals.tell([setting["x"] for setting in asked])  # type: ignore[misc]
    late = np.mean([setting["x"] for setting in proposals.ask(10)])
    assert (late > 0.5) == (direction == "max")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals__of_a_space_without_dimensions(sampler: str) -> None:
    assert Proposals(SearchSpace({}), sampler, seed=0, direction="max").ask(3) == [{}]


def test_proposals__suggest_the_sampler_that_was_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean sobol"):
        Proposals(MIXED, "sobel", seed=0, direction="max")


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("missing", ["optuna", "scipy"])
def test_proposals__name_the_extra_that_is_missing(sampler: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"(?s){missing} is not installed.*dogbreed\[sweeps\]"):
        Proposals(SMALL, sampler, seed=0, direction="max")


@pytest.mark.slow
def test_proposals__load_optuna_only_where_it_is_used() -> None:
    code = "import sys, dogbreed.sweeps.sweep; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
