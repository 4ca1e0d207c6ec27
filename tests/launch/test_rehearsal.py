"""The same experiments here and as jobs of the process backend, on real photographs: the same numbers and weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import dogbreed.evaluate
import dogbreed.report
import dogbreed.train
import launch.train
import launch.tune
from dogbreed.sweeps.dimensions import override_line
from tests.conftest import Command

pytestmark = pytest.mark.slow

BREEDS, COUNTS = 20, (("train", 6), ("valid", 3), ("test", 3))
_HERE = ["sagemaker.backend=process", "sagemaker.poll_s=0.5"]


@pytest.fixture(scope="module")
def photographs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few photographs of 20 breeds."""
    root = tmp_path_factory.mktemp("few") / "dogs"
    for split, count in COUNTS:
        for breed in sorted((real_data / "dogs120" / split).iterdir())[:BREEDS]:
            (root / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (root / split / breed.name / photo.name).symlink_to(photo)
    return root


@pytest.fixture(scope="module")
def experiment(real_data: Path, photographs: Path) -> list[str]:
    weights = real_data / "weights/mobilenetv2_100.timm.safetensors"
    chosen = ["data=folder", "backbone=mobilenetv2", f"backbone.weights={weights}", f"data.root={photographs}"]
    return [*chosen, "trainer.max_epochs=3", "trainer.accelerator=cpu", "optimizer.lr=0.02"]


@pytest.fixture(autouse=True)
def jobs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path / "jobs"))


def metrics_of(directory: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((directory / "metrics.json").read_text())
    return found


def assert_same(ours: Path, theirs: Path) -> None:
    """The same metrics to the last digit, and the same weights to the last bit."""
    assert metrics_of(ours) == metrics_of(theirs)
    here, there = (load_file(directory / "artifact/weights.safetensors") for directory in (ours, theirs))
    assert here.keys() == there.keys()
    assert [name for name, entry in here.items() if not torch.equal(entry, there[name])] == []


def test_train__is_the_run_here_and_comes_back_whole(command: Command, experiment: list[str], tmp_path: Path) -> None:
    ended = command(launch.train.main, *experiment, *_HERE, f"hydra.run.dir={tmp_path}/job")
    assert ended.code == 0, ended.err
    direct = command(dogbreed.train.main, *experiment, f"hydra.run.dir={tmp_path}/direct")
    assert direct.code == 0, direct.err
    assert_same(tmp_path / "job", tmp_path / "direct")
    judged = [f"artifact={tmp_path}/job/artifact", *experiment[3:4], f"hydra.run.dir={tmp_path}/judged"]
    assert command(dogbreed.evaluate.main, *judged).code == 0
    assert metrics_of(tmp_path / "judged")["test/acc"] == metrics_of(tmp_path / "direct")["test/acc"]
    assert command(dogbreed.report.main, tmp_path / "job").code == 0
    again = command(launch.train.main, *experiment, *_HERE, f"hydra.run.dir={tmp_path}/job")
    assert "is done" in again.out


def test_tune__trials_are_the_runs_here(command: Command, experiment: list[str], tmp_path: Path) -> None:
    space = ["optimizer.lr=tag(log,interval(0.001,0.1))", "data.batch_size=choice(16,32)"]
    tuner = ["sagemaker/tuner=random", "sagemaker.tuner.n_trials=6", f"hydra.sweep.dir={tmp_path}/search"]
    ended = command(launch.tune.main, *experiment, *_HERE, *space, *tuner)
    assert ended.code == 0, ended.err
    trials = json.loads((tmp_path / "search/trials.json").read_text())["trials"]
    assert len(trials) == 6
    for trial in trials:
        lines = [override_line(key, value) for key, value in trial["params"].items()]
        where = f"hydra.run.dir={tmp_path}/trial{trial['number']}"
        assert command(dogbreed.train.main, *experiment, *lines, where, "report=false").code == 0
        found = metrics_of(tmp_path / f"trial{trial['number']}")
        assert float(f"{found['val/acc']:#.6g}") == trial["value"]
    best = yaml.safe_load((tmp_path / "search/best.yaml").read_text())
    assert isinstance(best["params"]["data.batch_size"], int)
    assert best["params"] == max(trials, key=lambda trial: trial["value"])["params"]
    assert_same(tmp_path / "search/winner", tmp_path / f"trial{best['trial']}")


def test_multirun__jobs_are_the_runs_here(command: Command, experiment: list[str], tmp_path: Path) -> None:
    jobs = ["-m", "hydra/launcher=sagemaker", "hydra.launcher.backend=process", "hydra.launcher.poll_s=0.5"]
    jobs.append("hydra.launcher.module=dogbreed.train")  # what runs here is pytest
    swept = ["seed=0,1", "data.batch_size=16,32", "hydra.launcher.max_parallel=2", f"hydra.sweep.dir={tmp_path}/jobs4"]
    ended = command(dogbreed.train.main, *jobs, *experiment, *swept)
    assert ended.code == 0, ended.err
    for number, (seed, size) in enumerate([(0, 16), (0, 32), (1, 16), (1, 32)]):
        where = f"hydra.run.dir={tmp_path}/direct{number}"
        direct = command(dogbreed.train.main, *experiment, f"seed={seed}", f"data.batch_size={size}", where)
        assert direct.code == 0, direct.err
        assert_same(tmp_path / f"jobs4/{number}", tmp_path / f"direct{number}")


def test_fleet_in_one_job__is_the_sweep_here(command: Command, experiment: list[str], tmp_path: Path) -> None:
    sweep = ["hydra/sweeper=fleet", "search_space=lr_batch", "hydra.sweeper.n_trials=8"]
    ended = command(launch.train.main, *experiment, *sweep, *_HERE, f"hydra.run.dir={tmp_path}/job")
    assert ended.code == 0, ended.err
    direct = command(dogbreed.train.main, "-m", *experiment, *sweep, f"hydra.sweep.dir={tmp_path}/direct")
    assert direct.code == 0, direct.err
    ours, theirs = (json.loads((tmp_path / name / "trials.json").read_text())["trials"] for name in ("job", "direct"))
    assert [{**trial, "seconds": None, "backbone": None} for trial in ours] == [
        {**trial, "seconds": None, "backbone": None} for trial in theirs
    ]
    assert_same(tmp_path / "job/winner", tmp_path / "direct/winner")
