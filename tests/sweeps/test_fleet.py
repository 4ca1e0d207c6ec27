"""A fleet: the same results on any number of workers, halved or not, and a clean end whatever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW

from dogbreed.errors import ConfigError, WorkerError
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import LinearHead, MLPHead
from dogbreed.models.schedules import cosine_with_warmup
from dogbreed.sweeps.fleet import Fleet, Outcome
from dogbreed.sweeps.halving import Halving
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.workers import Workers
from tests.sweeps.alone import train_alone

CLASSES, FEATURES = 6, 10


def draw_views(seed: int, pictures: int, views: int = 1) -> FeatureViews:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, CLASSES, (pictures,), generator=generator)
    centres = torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(0))
    return FeatureViews.of(centres[targets] + torch.randn(views, pictures, FEATURES, generator=generator), targets)


def make_recipe(number: int, **changes: Any) -> Recipe:
    """Trials of several kinds, with a rate, an order and a length of their own."""
    heads: list[Any] = [LinearHead, LinearHead, partial(MLPHead, hidden=5, dropout=0.3)]
    optimizers: list[Any] = [partial(SGD, momentum=0.9), partial(AdamW, weight_decay=0.1)]
    settings: dict[str, Any] = {
        "make_head": heads[number % 3],
        "make_optimizer": partial(optimizers[number % 2], lr=0.002 * (1 + number)),
        "make_scheduler": partial(cosine_with_warmup, warmup=0.1),
        "batch_size": 16,
        "epochs": 4 + number % 2,
        "label_smoothing": 0.1 * (number % 3),
        "seed": number,
        "order_seed": 0,
    }
    return Recipe(**{**settings, **changes})


TRAIN, VAL = draw_views(1, 90, views=3), draw_views(2, 40)
RECIPES = {number: make_recipe(number) for number in range(12)}


def worker_pids() -> set[int]:
    """The worker processes of this process."""
    children = multiprocessing.active_children()
    return {child.pid for child in children if child.pid and child.name.startswith("dogbreed-fleet")}


def train_fleet(workers: int, recipes: dict[int, Recipe] = RECIPES, **settings: Any) -> dict[int, Outcome]:
    with Fleet(TRAIN, VAL, CLASSES, workers=workers) as fleet:
        return fleet.train(recipes, **settings)


@pytest.mark.parametrize("halving", [None, Halving(1, 2)])
def test_fleet__results_do_not_depend_on_the_workers(halving: Halving | None) -> None:
    expected = train_fleet(1, halving=halving)
    for workers in (2, 3):
        outcomes = train_fleet(workers, halving=halving)
        assert list(outcomes) == list(expected)
        for number, outcome in outcomes.items():
            assert (outcome.curve, outcome.stopped) == (expected[number].curve, expected[number].stopped)


def test_fleet__trains_every_trial_to_its_end() -> None:
    told: list[tuple[int, float]] = []
    ended: dict[int, Outcome] = {}
    outcomes = train_fleet(
        2,
        on_epoch=lambda number, row: told.append((number, row["epoch"])),
        on_end=lambda number, outcome: ended.update({number: outcome}),
    )
    assert ended == outcomes
    assert sorted(told) == [(n, float(epoch)) for n, recipe in RECIPES.items() for epoch in range(recipe.epochs)]
    assert all(outcome.seconds > 0 and not outcome.stopped for outcome in outcomes.values())


@pytest.mark.parametrize("workers", [1, 2])
def test_fleet__halved_trials_equal_the_same_ones_alone_up_to_their_stop(workers: int) -> None:
    with Fleet(TRAIN, VAL, CLASSES, workers=workers, dtype=torch.float64) as fleet:
        outcomes = fleet.train(RECIPES, monitor="val/loss", halving=Halving(1, 2))
    lengths = sorted(len(outcome.curve) for outcome in outcomes.values())
    assert lengths == [1] * 6 + [2] * 3 + [4] * lengths.count(4) + [5] * lengths.count(5)
    for number, outcome in outcomes.items():
        expected = train_alone(RECIPES[number], TRAIN, VAL, CLASSES).curve
        assert outcome.stopped is (len(outcome.curve) < RECIPES[number].epochs)
        for row, other in zip(outcome.curve, expected, strict=False):
            assert row == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_fleet__halving_keeps_the_best() -> None:
    ended: list[int] = []
    outcomes = train_fleet(2, halving=Halving(2, 3), on_end=lambda number, outcome: ended.append(number))
    best = {number: max(row["val/acc"] for row in outcome.curve[:2]) for number, outcome in outcomes.items()}
    going_on = {number for number, outcome in outcomes.items() if len(outcome.curve) > 2}
    assert going_on == set(sorted(best, key=lambda number: (-best[number], number))[:4])
    assert sorted(ended) == list(RECIPES)


def test_fleet__trains_again_with_the_same_workers() -> None:
    with Fleet(TRAIN, VAL, CLASSES, workers=2) as fleet:
        first = fleet.train(RECIPES)
        workers = worker_pids()
        assert [o.curve for o in fleet.train(RECIPES).values()] == [o.curve for o in first.values()]
        assert worker_pids() == workers
        assert len(workers) == 2
    assert not worker_pids()


def test_fleet__of_no_trials_has_no_outcomes() -> None:
    assert train_fleet(2, {}) == {}


def test_fleet__refuses_by_name_what_it_cannot_train() -> None:
    recipe = make_recipe(0, make_optimizer=partial(SGD, lr=0.1, momentum=0.9, nesterov=True))
    with pytest.raises(ConfigError, match="trial 3 has optimizer nesterov=True"):
        train_fleet(1, {3: recipe})


def test_fleet__trial_that_diverges_harms_no_other() -> None:
    alone = train_fleet(1, {1: make_recipe(0)})
    outcomes = train_fleet(
        1, {0: make_recipe(0, make_optimizer=partial(SGD, lr=1e38, momentum=0.9)), 1: make_recipe(0)}
    )
    assert outcomes[0].curve[-1]["val/loss"] != outcomes[0].curve[-1]["val/loss"]
    assert outcomes[1].curve[-1] == pytest.approx(alone[1].curve[-1], rel=1e-4)


def test_fleet__leaves_random_numbers_and_threads_as_they_were() -> None:
    before = torch.random.get_rng_state(), torch.get_num_threads()
    train_fleet(1)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    assert sys.float_info.min / 2 > 0  # denormal numbers, too


def _break(optimizer: torch.optim.Optimizer, *, total_steps: int) -> Any:
    if total_steps != 100:
        raise ValueError("a schedule that breaks")


def test_fleet__shows_where_a_worker_failed() -> None:
    with pytest.raises(RuntimeError, match="a schedule that breaks"):
        train_fleet(2, {0: make_recipe(0, make_scheduler=_break)})


def test_fleet__ends_its_workers_where_a_callback_fails() -> None:
    def fail(number: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with Fleet(TRAIN, VAL, CLASSES, workers=2) as fleet:
        with pytest.raises(KeyboardInterrupt):
            fleet.train(RECIPES, on_epoch=fail)
        assert not worker_pids()


def test_fleet__killed_worker_is_one_clear_error() -> None:
    def kill(number: int, row: dict[str, float]) -> None:
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

    recipes = {number: make_recipe(number, epochs=500) for number in range(12)}
    with pytest.raises(WorkerError, match="ended by SIGKILL"):
        train_fleet(2, recipes, on_epoch=kill)


def test_workers__that_died_before_their_first_task_are_one_clear_error() -> None:
    workers = Workers(lambda task: [task], 2)
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(WorkerError, match="ended by SIGKILL"):
            list(workers.run([b"x" * 10_000_000]))
    finally:
        workers.close()


_PARENT = """
import multiprocessing, torch
from functools import partial
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import LinearHead
from dogbreed.sweeps.fleet import Fleet
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.workers import Workers

def tell(number, row):
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)

views = FeatureViews.of(torch.randn(1, 2000, 64), torch.arange(2000) % 5)
recipe = Recipe(LinearHead, partial(torch.optim.SGD, lr=0.01), None, 4, 10_000, 0.0, 0, 0)
with Fleet(views, views, 5, workers=3) as fleet:
    fleet.train({n: recipe for n in range(6)}, on_epoch=tell)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_fleet__workers_end_with_their_parent(how: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 3
        assert all(lives(pid) for pid in workers)
        parent.send_signal(how)
        parent.wait(60)
        parent.stdout.close()
    deadline = time.monotonic() + 60
    while any(lives(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(lives(pid) for pid in workers)


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_fleet__needs_a_worker() -> None:
    with pytest.raises(ConfigError, match="workers=0"):
        Fleet(TRAIN, VAL, CLASSES, workers=0)


def test_fleet__takes_no_longer_to_close_than_its_workers_to_die() -> None:
    fleet = Fleet(TRAIN, VAL, CLASSES, workers=2)
    fleet.train({0: make_recipe(0)})
    start = time.perf_counter()
    fleet.close()
    fleet.close()
    assert time.perf_counter() - start < 5
