"""The end of a tuning job: its files are those of a sweep here, and its best is chosen as there."""

from __future__ import annotations

import csv
import itertools
import json
import random
import shlex
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

import dogbreed.report
from dogbreed.errors import ConfigError
from dogbreed.reports.sweep_files import read_sweep
from dogbreed.sweeps.journal import best_row
from dogbreed.sweeps.leaderboard import rank
from dogbreed.sweeps.space import parse_space
from dogbreed.training.epoch_line import epoch_line
from launch.backends import LogLine
from launch.errors import JobFailed, LaunchError
from launch.search_space import to_ranges
from launch.sending.tuning import Best, finish_tuning
from tests.launch.process.conftest import make_bench
from tests.launch.scripted import Scene, ScriptedBackend, at, printed

NAME = "dogs-261121-203005-a1b2"
SPACE, _ = parse_space({}, ["optimizer.lr=tag(log,interval(0.001,0.1))", "data.batch_size='16',16", "seed=0,1"])
LAST = "best epoch: val/loss=0.5 val/acc=0.5 test/acc=0.5"

#: A job that prints as a run does, and at its end what it was told.
PROGRAM = """
values = {key: json.loads(told[key]) for key in ("optimizer.lr", "head", "trainer.max_epochs")}
for epoch in range(values["trainer.max_epochs"]):
    reached = epoch / 10 + values["optimizer.lr"]
    say(f"epoch={epoch} step={epoch} val/loss=0.5 val/acc={reached:.6f}")
say(f"best epoch: val/acc={reached:.6f}")
say("told " + json.dumps(values))
"""


class Unreadable(ScriptedBackend):
    """A backend whose logs may not be read."""

    def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
        raise LaunchError("reading the log: access denied", "logs:GetLogEvents", "ask for it")


class TuningJob:
    """A tuning job in a script, trial by trial.

    Args:
        backend: that plays it.
    """

    def __init__(self, backend: ScriptedBackend, name: str = NAME) -> None:
        self.backend, self.name = backend, name
        self.trials: list[dict[str, Any]] = []

    def add(
        self,
        accuracies: Sequence[float] = (),
        status: str = "Completed",
        *,
        lr: str = "0.01",
        batch: str = "16",
        seed: str = "0",
        reason: str | None = None,
        last: str = LAST,
        lines: Sequence[str] = (),
    ) -> None:
        """A trial that printed these val/acc; its objective is the best of them."""
        job = f"{self.name}-{len(self.trials) + 1:03d}-0a1b2c3d"
        rows = [
            {"epoch": epoch, "step": 4 * epoch + 4, "train/loss": 1.5, "val/loss": 1 - value, "val/acc": value}
            for epoch, value in enumerate(accuracies)
        ]
        texts = ["reading 32 photographs", *lines, *map(epoch_line, rows), last]
        self.backend.play(job, Scene(lines=[printed(number, text) for number, text in enumerate(texts)]))
        self.backend.describe_training_job(job)  # the scene in which it says all that
        trial: dict[str, Any] = {
            "TrainingJobName": job,
            "TrainingJobStatus": status,
            "CreationTime": at(len(self.trials)),
            "TrainingStartTime": at(10),
            "TrainingEndTime": at(10) + timedelta(seconds=90),
            "TunedHyperParameters": {"optimizer.lr": lr, "data.batch_size": batch, "seed": seed},
        }
        if accuracies:
            metric = {"MetricName": "val/acc", "Value": max(accuracies)}
            trial["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        self.trials.append(trial | ({} if reason is None else {"FailureReason": reason}))

    def finish(
        self, directory: Path, monitor: str = "val/acc", fixed: Sequence[str] = ("seed=1",), **more: Any
    ) -> Best:
        scene = Scene({"HyperParameterTuningJobName": self.name, "HyperParameterTuningJobStatus": "Completed"} | more)
        self.backend.play_tuning(self.name, (scene, self.trials))
        return finish_tuning(self.backend, self.name, SPACE, fixed, monitor, directory)


@pytest.fixture
def job(tmp_path: Path) -> TuningJob:
    return TuningJob(ScriptedBackend(tmp_path / "store"))


def test_finish__the_best_is_typed(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.25, 0.5], lr="0.02", batch="16")
    job.add([0.5, 0.75], lr="1.0E-2", batch='"16"', seed="1")
    best = job.finish(tmp_path / "out", fixed=["experiment=quickstart", "trainer.max_epochs=2"])
    params = {"optimizer.lr": 0.01, "data.batch_size": "16", "seed": 1}
    assert best.job == job.trials[1]["TrainingJobName"]
    assert best.record.params == params
    assert (best.record.value, best.record.best_epoch) == (0.75, 1)
    read = [OverridesParser.create().parse_override(line) for line in best.overrides]
    assert [override.value() for override in read] == ["quickstart", 2, 0.01, "16", 1]
    assert shlex.split(best.command) == ["python", "-m", "dogbreed.train", *best.overrides]

    text = (tmp_path / "out" / "best.yaml").read_text()
    content = yaml.safe_load(text)
    assert content == {"trial": 1, "fixed": ["experiment=quickstart", "trainer.max_epochs=2"], "params": params}
    assert type(content["params"]["data.batch_size"]) is str
    assert f"#   {best.command}\n" in text


def test_finish__leaves_what_a_sweep_leaves(job: TuningJob, tmp_path: Path) -> None:
    draw = random.Random(0)
    for number in range(6):
        job.add([round(draw.random(), 4) for _ in range(4)], lr=f"{0.001 * (number + 1)}", batch='"16"')
    job.add(status="Failed", reason="AlgorithmError: out of memory")
    best = job.finish(tmp_path)
    sweep = read_sweep(tmp_path)
    assert not sweep.folder.problems
    assert sweep.trials is not None
    assert sweep.trials.monitor == "val/acc"
    assert sweep.ended
    records = sweep.trials.records
    assert len(records) == 7
    for record in records[:6]:
        row = best_row(record.curve, "val/acc")
        assert row is not None
        assert len(record.curve) == 4
        assert (record.value, record.best_epoch) == (row["val/acc"], row["epoch"])
        assert record.metrics == {"val/loss": row["val/loss"], "val/acc": row["val/acc"]}
        assert record.seconds == 90
    assert (records[6].state, records[6].error, records[6].value) == ("failed", "AlgorithmError: out of memory", None)
    assert rank(records, "val/acc")[0].best("val/acc") == best.record
    assert sweep.best == best.record.params
    assert sweep.command == best.command
    assert dogbreed.report.main([str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert f"Trial {best.record.number} is best" in page
    assert "out of memory" in page


def test_finish__names_the_job_of_each_trial(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.5])
    job.add(status="InProgress")
    job.add(status="Failed", reason="no disk")
    best = job.finish(tmp_path)
    with open(tmp_path / "jobs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == [trial["TrainingJobName"] for trial in job.trials]
    assert [row["status"] for row in rows] == ["Completed", "InProgress", "Failed"]
    assert [row["reason"] for row in rows] == ["", "", "no disk"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["tuning_job"], summary["job"]) == (NAME, best.job)


def test_finish__by_a_metric_that_is_best_when_least(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.1, 0.9, 0.8], lr="0.01")
    job.add([0.5, 0.6], lr="0.02")
    best = job.finish(tmp_path, "val/loss")
    assert (best.record.number, best.record.best_epoch) == (0, 1)
    assert best.record.value == pytest.approx(0.1)


def test_finish__takes_the_seeds_of_a_setting_together(job: TuningJob, tmp_path: Path) -> None:
    for lr, seed, value in (("0.01", "0", 0.9), ("0.01", "1", 0.1), ("0.02", "0", 0.7), ("0.02", "1", 0.6)):
        job.add([value], lr=lr, seed=seed)
    assert job.finish(tmp_path).record.number == 2


def test_finish__a_stopped_trial_is_no_winner_unless_it_was_done(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.9], "Stopped", lr="0.01", last="")
    job.add([0.5, 0.6], lr="0.02")
    assert job.finish(tmp_path / "first").record.number == 1
    job.add([0.7, 0.8], "Stopped", lr="0.03")
    best = job.finish(tmp_path / "second")
    assert (best.record.number, best.record.state) == (2, "finished")


def test_finish__where_all_were_stopped_the_best_of_them(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.5], "Stopped", lr="0.01", last="")
    job.add([0.6], "Stopped", lr="0.02", last="")
    best = job.finish(tmp_path)
    assert (best.record.number, best.record.state) == (1, "stopped")


def test_finish__an_interrupted_run_counts_each_epoch_once(job: TuningJob, tmp_path: Path) -> None:
    again = epoch_line({"epoch": 1, "step": 8, "val/loss": 0.1, "val/acc": 0.99})
    job.add([0.5, 0.6, 0.7], lines=["epoch=0 step=4 val/loss=0.5", again])
    curve = job.finish(tmp_path).record.curve
    assert [(row["epoch"], row["val/acc"]) for row in curve] == [(0, 0.5), (1, 0.6), (2, 0.7)]


def test_finish__leaves_out_what_is_the_launchers_own(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.5])
    given = ["seed=1", "sagemaker.tuner.n_trials=6", "train_best=true", "hydra.sweep.dir=x", "head=mlp"]
    assert job.finish(tmp_path, fixed=given).overrides[:2] == ["seed=1", "head=mlp"]
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["fixed"] == ["seed=1", "head=mlp"]


def test_finish__without_logs_by_what_sagemaker_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = TuningJob(Unreadable(tmp_path / "store"))
    job.add([0.5], lr="0.01")
    job.add([0.25, 0.75], lr="0.02")
    best = job.finish(tmp_path)
    assert (best.record.number, best.record.value, best.record.metrics) == (1, 0.75, {"val/acc": 0.75})
    assert capsys.readouterr().out.count("access denied") == 1


def test_finish__repeated_keeps_one_record_a_trial(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.5])
    job.add(status="InProgress")
    job.finish(tmp_path)
    first = (tmp_path / "trials.jsonl").read_bytes()
    job.finish(tmp_path)
    assert (tmp_path / "trials.jsonl").read_bytes() == first
    job.trials.pop()
    job.add([0.75], lr="0.02")
    assert job.finish(tmp_path).record.number == 1
    assert [record.value for record in read_sweep(tmp_path).measured] == [0.5, 0.75]


def test_finish__does_not_mix_tuning_jobs(job: TuningJob, tmp_path: Path) -> None:
    job.add([0.5])
    job.finish(tmp_path)
    other = TuningJob(job.backend, "cats-261121-203005-a1b2")
    other.add([0.5])
    with pytest.raises(ConfigError, match="another tuning job"):
        other.finish(tmp_path)


def test_finish__without_a_result_says_the_commonest_reason(job: TuningJob, tmp_path: Path) -> None:
    for reason in ("no disk", "out of memory", "out of memory"):
        job.add(status="Failed", reason=reason)
    with pytest.raises(JobFailed) as caught:
        job.finish(tmp_path)
    assert "2 of 3: out of memory" in caught.value.got
    assert job.trials[1]["TrainingJobName"] in caught.value.hint
    assert (tmp_path / "trials.csv").exists(), "what is known is kept"
    assert not (tmp_path / "best.yaml").exists()


def test_finish__a_trial_that_printed_nothing_has_no_result(job: TuningJob, tmp_path: Path) -> None:
    job.add()
    with pytest.raises(JobFailed, match="without the objective in its log"):
        job.finish(tmp_path)


def test_finish__before_a_trial_has_ended(job: TuningJob, tmp_path: Path) -> None:
    job.add(status="InProgress")
    with pytest.raises(JobFailed, match=r"no job of .* has ended: no capacity"):
        job.finish(tmp_path, FailureReason="no capacity")


def test_finish__a_tuning_job_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="there is no tuning job"):
        finish_tuning(ScriptedBackend(tmp_path), "none", SPACE, [], "val/acc", tmp_path)


def typed(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((key, repr(value)) for key, value in params.items())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["Bayesian", "Grid"])
def test_finish__reads_the_values_that_the_jobs_had(strategy: str, tmp_path: Path) -> None:
    lr = "optimizer.lr=0.001,0.01" if strategy == "Grid" else "optimizer.lr=tag(log,interval(0.001,0.1))"
    space, _ = parse_space({}, [lr, "head='16',16", "trainer.max_epochs=range(2,4)"])
    with contextmanager(make_bench)(tmp_path / "jobs") as bench:
        bench.tune(PROGRAM, to_ranges(space, strategy), tuner={"strategy": strategy})
        trials = bench.backend.list_trials("tuning")
        best = finish_tuning(bench.backend, "tuning", space, [], "val/acc", tmp_path / "out")
        told = [next(line for line in bench.log(one["TrainingJobName"]) if line.startswith("told ")) for one in trials]
    swept = read_sweep(tmp_path / "out").trials
    assert swept is not None
    records = swept.records
    assert [typed(record.params) for record in records] == [typed(json.loads(text[5:])) for text in told]
    assert [len(record.curve) for record in records] == [record.params["trainer.max_epochs"] for record in records]
    assert best.record.value == max(record.value or 0 for record in records)
    if strategy == "Grid":
        grid = itertools.product(*(dimension.values or () for dimension in space.dimensions.values()))
        every = [typed(dict(zip(space.dimensions, values, strict=True))) for values in grid]
        assert sorted(typed(record.params) for record in records) == sorted(every)
