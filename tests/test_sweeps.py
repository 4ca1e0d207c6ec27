"""Sweeps by the real command."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import dogbreed.train
from dogbreed.sweeps.sweep import interruptible

Command = Callable[..., Any]
Sweep = Callable[..., Any]

SPACE = ["optimizer.lr=tag(log,interval(0.01,10))", "data.batch_size=4,8"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


@pytest.fixture
def shared(small_run: list[str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What all sweeps here have in common: the data, and one cache."""
    cache = tmp_path_factory.getbasetemp() / "features"
    return [
        *small_run, f"data.root={shared_folder}", f"features.root={cache}", "logger=none", "trainer.max_epochs=3",
    ]  # fmt: skip


@pytest.fixture
def sweep(command: Command, shared: list[str], out: Path) -> Sweep:
    """Runs a sweep in this process: sweep(*overrides)."""

    def run(*overrides: object, engine: str = "fleet") -> Any:
        chosen = [f"hydra/sweeper={engine}", f"hydra.sweep.dir={out}"]
        chosen += ["hydra.sweeper.n_trials=6"] if engine != "basic" else []
        return command(dogbreed.train.main, "-m", *shared, *chosen, *overrides)

    return run


def trials(directory: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads((directory / "trials.json").read_text())["trials"]
    return content


def without_seconds(directory: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials(directory)]


def test_fleet__leaves_everything_and_the_winner_again_alone(sweep: Sweep, out: Path, command: Command) -> None:
    ended = sweep(*SPACE)
    assert ended.code == 0, ended.err
    made = trials(out)
    assert [trial["number"] for trial in made] == list(range(6))
    assert {trial["state"] for trial in made} == {"finished"}
    best = max(made, key=lambda trial: trial["value"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["trial"] == best["number"]
    assert summary["winner"]["val/acc"] == pytest.approx(best["value"], abs=1e-6)
    assert summary["winner"]["val/loss"] == pytest.approx(best["metrics"]["val/loss"], rel=1e-3)
    assert 0 <= summary["ridge"]["test/acc"] <= 1
    assert (out / "winner" / "artifact").is_dir()
    with open(out / "trials.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    assert f"winner: trial {best['number']}, val/acc=" in ended.out
    assert ended.out.count("test/acc=") == 3, "the winner is tested once, and the baseline"

    content = yaml.safe_load((out / "best.yaml").read_text())
    assert content["params"] == best["params"]
    offered = next(line for line in (out / "best.yaml").read_text().splitlines() if "python -m" in line)
    again = out / "again"
    assert command(dogbreed.train.main, *shlex.split(offered.lstrip("# "))[3:], f"hydra.run.dir={again}").code == 0
    assert json.loads((again / "metrics.json").read_text()) == summary["winner"]


@pytest.mark.slow
def test_fleet__gives_what_separate_runs_give(sweep: Sweep, out: Path, tmp_path: Path) -> None:
    space = [*SPACE, "head=linear,mlp", "seed=0,1", "trainer.precision=64-true", "hydra.sweeper.winner=false"]
    assert sweep(*space, "hydra.sweeper.n_trials=8").code == 0
    fleet = trials(out)
    out.rename(tmp_path / "side_by_side")
    assert sweep(*space, "hydra.sweeper.n_trials=8", "hydra.sweeper.sampler=sobol", engine="optuna").code == 0
    for one, other in zip(fleet, trials(out), strict=True):
        assert one["params"] == other["params"]
        assert one["best_epoch"] == other["best_epoch"]
        for ours, theirs in zip(one["curve"], other["curve"], strict=True):
            assert {key: theirs[key] for key in ours} == pytest.approx(ours, rel=1e-5)


def test_sweep__goes_on_with_a_winner_that_was_killed_after_its_metrics(sweep: Sweep, out: Path) -> None:
    assert sweep(*SPACE).code == 0
    summary = (out / "summary.json").read_text()
    shutil.rmtree(out / "winner" / "artifact")  # it is written after metrics.json
    assert sweep(*SPACE, "resume=true").code == 0
    assert (out / "winner" / "artifact" / "artifact.json").exists()
    assert (out / "summary.json").read_text() == summary


@pytest.mark.parametrize("content", ["trial: [", "trial: .inf", "trial: true", "trial: ../..", "[]", ""])
def test_sweep__a_best_that_does_not_say_which(content: str, sweep: Sweep, out: Path) -> None:
    (out / "winner").mkdir(parents=True)
    (out / "best.yaml").write_text(content)
    ended = sweep(*SPACE, "hydra.sweeper.n_trials=2", "hydra.sweeper.winner=false")
    assert ended.code == 1
    assert "best.yaml does not say which trial" in ended.err
    assert (out / "winner").is_dir()


def test_sweep__goes_on_with_the_command_it_offers(sweep: Sweep, out: Path, command: Command) -> None:
    assert sweep(*SPACE, "seed=1,2", "hydra.sweeper.batch=4", "hydra.sweeper.sampler=tpe").code == 0
    whole = without_seconds(out)
    journal = (out / "trials.jsonl").read_text().splitlines(keepends=True)
    (out / "trials.jsonl").write_text("".join([*journal[:4], journal[4][:30]]))  # three trials, and half of one
    ended = sweep(*SPACE, "seed=1,2", "hydra.sweeper.batch=4", "hydra.sweeper.sampler=tpe")
    assert ended.code == 1
    assert "holds a sweep already" in ended.err
    ended = sweep(*SPACE, "seed=1,2", "hydra.sweeper.batch=4", "hydra.sweeper.sampler=tpe", "resume=true")
    assert ended.code == 0, ended.err
    assert without_seconds(out) == whole
    offered = ended.out.split("goes on with:\n")[1].splitlines()[0]
    ended = command(dogbreed.train.main, *shlex.split(offered)[3:])
    assert ended.code == 0, ended.err
    assert without_seconds(out) == whole
    assert "epoch=0" not in ended.out, "nothing was trained again"


def test_sweep__refuses_to_go_on_as_another(sweep: Sweep, out: Path) -> None:
    assert sweep(*SPACE, "hydra.sweeper.n_trials=2", "hydra.sweeper.winner=false").code == 0
    ended = sweep("optimizer.lr=1,2", "data.batch_size=4", "resume=true")
    assert ended.code == 1
    assert "optimizer.lr was tag(log,interval(0.01,10.0)), is choice(1,2)" in ended.err


def test_sweep__may_go_on_for_longer(sweep: Sweep, out: Path) -> None:
    plain = [*SPACE, "hydra.sweeper.sampler=tpe", "hydra.sweeper.batch=2", "hydra.sweeper.winner=false"]
    assert sweep(*plain, "hydra.sweeper.n_trials=3").code == 0
    short = without_seconds(out)
    assert sweep(*plain, "hydra.sweeper.n_trials=7", "resume=true").code == 0
    assert without_seconds(out)[:3] == short
    assert len(trials(out)) == 7


@pytest.mark.slow
def test_fleet__runs_alone_what_it_cannot_do(sweep: Sweep, out: Path) -> None:
    ended = sweep("trainer.gradient_clip_val=choice(0,0.5)", "optimizer.lr=1,2", "hydra.sweeper.winner=false")
    assert ended.code == 0, ended.err
    clipped = [trial["number"] for trial in trials(out) if trial["params"]["trainer.gradient_clip_val"] == 0.5]
    listed = ", ".join(map(str, clipped))
    assert f"trained alone, for a fleet cannot do trainer.gradient_clip_val=0.5: trial {listed}\n" in ended.out
    assert sorted(int(path.name) for path in out.iterdir() if path.is_dir()) == clipped
    assert {len(trial["curve"]) for trial in trials(out)} == {3}


def test_fleet__runs_alone_what_needs_pixels(sweep: Sweep, out: Path) -> None:
    ended = sweep("augmentation=crop_flip", "optimizer.lr=1,2", "trainer.max_epochs=1", "hydra.sweeper.winner=false")
    assert ended.code == 0, ended.err
    assert "a fleet cannot do augmentation draws a fresh view" in ended.out
    assert "no ridge baseline" in ended.out
    assert len(trials(out)) == 2


def test_fleet__computes_features_once_for_each_backbone(sweep: Sweep, out: Path) -> None:
    sizes = ["backbone.image_size=32,64", "optimizer.lr=1,2,3", "hydra.sweeper.winner=false"]
    ended = sweep(*sizes, "hydra.sweeper.sampler=grid")
    assert ended.code == 0, ended.err
    assert ended.out.count("training on features") <= 3, "two groups, and the winner's baseline"
    assert "pictures/s" in ended.out
    assert {trial["backbone"]["parameters"] for trial in trials(out)} == {trials(out)[0]["backbone"]["parameters"]}


def test_fleet__stops_the_hopeless(sweep: Sweep, out: Path) -> None:
    ended = sweep(*SPACE, "hydra.sweeper.halving={first:1,factor:2}", "hydra.sweeper.winner=false")
    assert ended.code == 0, ended.err
    lengths = sorted(len(trial["curve"]) for trial in trials(out))
    assert lengths == [1, 1, 1, 2, 3, 3]
    assert {trial["state"] for trial in trials(out)} == {"finished", "stopped"}


def test_sweep__groups_the_seeds_of_a_setting(sweep: Sweep, out: Path) -> None:
    ended = sweep("optimizer.lr=0.1,1,5", "seed=range(2)", "hydra.sweeper.winner=false")
    assert ended.code == 0, ended.err
    assert "6 trials (3 settings x 2 seeds)" in ended.out
    header, first = re.search(r"^( +val/acc .*)\n(.*)$", ended.out, re.M).groups()  # type: ignore[union-attr]
    assert header.split()[:3] == ["val/acc", "spread", "seeds"]
    assert first.split()[3] == "2"


def test_sweep__goes_on_past_a_trial_that_fails(sweep: Sweep, out: Path) -> None:
    ended = sweep("optimizer.lr=1,-1", "hydra.sweeper.winner=false")
    assert ended.code == 0, ended.err
    assert [trial["state"] for trial in trials(out)].count("failed") == 1
    assert re.search(r"failed, trial \d: optimizer cannot be made: Invalid learning rate: -1", ended.out)


def test_fleet__goes_on_past_a_schedule_that_fails(sweep: Sweep, out: Path, shared_folder: Path) -> None:
    steps = 3 * -(-len(list((shared_folder / "train").rglob("*.jpg"))) // 8)
    ended = sweep(
        "scheduler=onecycle", f"scheduler.pct_start=0.3,{1 / steps}", "data.batch_size=8", "hydra.sweeper.winner=false"
    )
    assert ended.code == 0, ended.err
    assert sorted(trial["state"] for trial in trials(out)) == ["failed", "finished"]
    assert f"a schedule that fails over {steps} steps: ZeroDivisionError" in ended.out


@pytest.mark.parametrize("engine", ["fleet", "optuna", "basic"])
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimiser.lr=1,2"], "did you mean optimizer.lr"),
        (["optimizer.lr=-1,-2"], "Invalid learning rate"),
        (["backbone=resnet18,resnet81"], "resnet81"),
        (["optimizer.lr=1,2", "monitor=val/ac"], "did you mean val/acc"),
        (["optimizer.lr=1,2", "data.root=/nowhere/at/all"], "no data set at /nowhere/at/all"),
    ],
)
def test_sweep__a_mistake_is_one_clear_error(engine: str, overrides: list[str], said: str, sweep: Sweep) -> None:
    ended = sweep(*overrides, engine=engine)
    assert ended.code == 1
    message = ended.err[ended.err.index("error: ") :]
    assert re.fullmatch(r"error: .+\n  allowed: .+\n  what to do: .+\n", message), ended.err
    assert said in message
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "nothing varies"),
        (["optimizer.lr=interval(2,1)"], "not below"),
        (["optimizer.lr=1,2", "hydra.sweeper.sampler=tpee"], "did you mean tpe"),
        (["optimizer.lr=1,2", "hydra.sweeper.n_trials=0"], "n_trials=0"),
        (["optimizer.lr=1,2,3", "hydra.sweeper.sampler=grid", "hydra.sweeper.n_trials=2"], "a grid of 3"),
        (["optimizer.lr=1,2", "seed=range(9)"], "n_trials=6 for 9 seeds"),
        (["optimizer.lr=1,2", "hydra.sweeper.halving={first:1}"], "halving="),
        (["optimizer.lr=1,2", "hydra.sweeper.halving={first:0,factor:3}"], "first=0"),
        (["monitor=val/acc,val/loss"], "a sweep over monitor"),
        (["optimizer.lr=1,2", "resume=maybe"], "resume=maybe"),
        (["optimizer.lr=1,2", "+hydra.sweeper.n_trails=3"], "did you mean n_trials"),
        (["optimizer.lr=1,2", "hydra.sweeper.winner=perhaps"], "winner=perhaps"),
    ],
)
def test_sweeper__refuses(overrides: list[str], said: str, sweep: Sweep, out: Path) -> None:
    ended = sweep(*overrides)
    assert ended.code == 1
    assert re.fullmatch(r"error: .+\n  allowed: .+\n  what to do: .+\n", ended.err), ended.err
    assert said in ended.err
    assert not (out / "trials.jsonl").exists()


@pytest.mark.parametrize("engine", ["basic", "fleet"])
def test_a_space_of_choices__serves_every_engine(engine: str, sweep: Sweep, out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "search_space").mkdir(parents=True)
    space = "# @package hydra.sweeper.params\ndata.batch_size: choice(4,8)\nhead: choice(linear,mlp)\n"
    (tmp_path / "mine" / "search_space" / "small.yaml").write_text(space)
    ended = sweep(f"hydra.searchpath=[file://{tmp_path / 'mine'}]", "search_space=small", engine=engine)
    assert ended.code == 0, ended.err
    runs = [path.name for path in out.iterdir() if path.is_dir()]
    assert sorted(runs) == (["winner"] if engine == "fleet" else ["0", "1", "2", "3"])


# --- in processes of their own


def run(arguments: list[str], stop_after: float | None = None, by: int = signal.SIGKILL) -> tuple[int, str, float]:
    """Its code, what it said, and the seconds that it lived once it held its journal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dogbreed.train", "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    said = ""
    assert process.stdout is not None
    while "it goes on with" not in said:
        said += process.stdout.readline() or pytest.fail(said)
    began = time.monotonic()
    if stop_after is not None:
        time.sleep(stop_after)
        process.send_signal(by)
    output, _ = process.communicate(timeout=300)
    return process.returncode, said + output, time.monotonic() - began


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def kill_space(shared: list[str], directory: Path) -> list[str]:
    mixed = ["trainer.gradient_clip_val=choice(0,0.5)", "hydra.sweeper.sampler=tpe", "hydra.sweeper.batch=5"]
    length = ["hydra.sweeper.n_trials=15", "trainer.max_epochs=8", f"hydra.sweep.dir={directory}"]
    return [*shared, "hydra/sweeper=fleet", *SPACE, *mixed, *length]


@pytest.mark.slow
def test_sigkill__at_any_moment_then_resumed_ends_the_same(shared: list[str], tmp_path: Path) -> None:
    code, output, took = run(kill_space(shared, tmp_path / "whole"))
    assert code == 0, output
    whole = without_seconds(tmp_path / "whole")
    rng = np.random.default_rng(0)
    left = int(os.environ.get("DOGBREED_KILLS", "4"))
    while left:
        directory, kept, code = tmp_path / f"killed{left}", 0, -signal.SIGKILL
        while code:
            stop_after = rng.uniform(0, took) if left else None
            code, output, _ = run([*kill_space(shared, directory), "resume=true"], stop_after=stop_after)
            assert code in (0, -signal.SIGKILL), output
            left -= code != 0
            lines = (directory / "trials.jsonl").read_text().count("\n")
            assert lines >= kept, "a finished trial was lost"
            kept = lines
        assert without_seconds(directory) == whole
        there, here = (folder / "winner" / "metrics.json" for folder in (tmp_path / "whole", directory))
        assert here.read_text() == there.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_signal__says_how_to_go_on(by: signal.Signals, shared: list[str], tmp_path: Path) -> None:
    code, output, _ = run(kill_space(shared, tmp_path / "sweep"), stop_after=0.5, by=by)
    assert code == 128 + by, output
    assert "Traceback" not in output
    offered = output.split("every trial that finished is kept. Go on with:\n")[1].splitlines()[0]
    ended = subprocess.run([sys.executable, *shlex.split(offered)[1:]], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(trials(tmp_path / "sweep")) == 15


@pytest.fixture
def heeding_sigint() -> Iterator[None]:
    """Behind a script's & SIGINT is ignored, which interruptible respects."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def cut_short(by: int, left: BaseException | None) -> None:
    """Is interrupted, and then raises something else as it is put away, or nothing."""
    with suppress(KeyboardInterrupt, SystemExit):
        os.kill(os.getpid(), by)
        time.sleep(10)
    if left is not None:
        raise left


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("left", [AttributeError("half built"), SystemExit(1), None])
def test_interruptible__signal_is_the_reason_whatever_it_leaves(
    left: BaseException | None, by: signal.Signals, heeding_sigint: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as ended, interruptible("this command"):
        cut_short(by, left)
    assert ended.value.code == 128 + by
    told = capsys.readouterr()
    assert "Go on with:\n  this command" in told.out
    assert ("AttributeError: half built" in told.err) is isinstance(left, AttributeError)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.slow
def test_optuna__keeps_each_trial_as_soon_as_it_has_ended(shared: list[str], tmp_path: Path) -> None:
    settings = ["hydra/sweeper=optuna", "hydra.sweeper.sampler=sobol", "hydra.sweeper.n_trials=4", *SPACE]
    process = subprocess.Popen(
        [sys.executable, "-m", "dogbreed.train", "-m", *shared, *settings, f"hydra.sweep.dir={tmp_path}"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    journal = tmp_path / "trials.jsonl"
    wait_for(lambda: journal.exists() and '"number": 0' in journal.read_text())
    process.kill()
    process.wait()
    assert not (tmp_path / "3").exists(), "all of the wave had begun before the first was kept"


@pytest.mark.slow
def test_plugin__is_found_and_costs_a_plain_run_nothing() -> None:
    code = """
import sys
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
assert "DogbreedSweeper" in [found.__name__ for found in Plugins.instance().discover(Sweeper)]
heavy = {"torch", "optuna", "dogbreed", "pytorch_lightning"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.slow
def test_train__works_without_optuna(shared: list[str], tmp_path: Path) -> None:
    code = """
import runpy, sys
sys.modules["optuna"] = None
sys.argv = ["dogbreed.train", *sys.argv[1:]]
runpy.run_module("dogbreed.train", run_name="__main__")
"""
    plain = [*shared, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"]
    assert subprocess.run([sys.executable, "-c", code, *plain]).returncode == 0
    several = ["-m", *shared, "optimizer.lr=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *several, "hydra/sweeper=fleet"], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "error: a sweep, but optuna is not installed" in ended.stderr
    assert "dogbreed[sweeps]" in ended.stderr


def test_sweep__goes_on_where_one_group_cannot_be_had(sweep: Sweep, out: Path) -> None:
    one = ["hydra.sweeper.sampler=grid", "hydra.sweeper.winner=false", "backbone.weights=none,nowhere.safetensors"]
    ended = sweep(*one)
    assert ended.code == 0, ended.err
    found = {trial["params"]["backbone.weights"]: trial for trial in trials(out)}
    assert found["none"]["state"] == "finished"
    assert found["nowhere.safetensors"]["state"] == "failed"
    assert "nowhere.safetensors" in found["nowhere.safetensors"]["error"]
