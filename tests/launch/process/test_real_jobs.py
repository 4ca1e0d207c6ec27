"""The library itself, sent to this machine: the same as when it is run directly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from launch.files.fetching import fetch_run
from launch.files.packaging import pack_code
from launch.names import ARCHIVE
from launch.overrides import to_hyperparameters
from launch.requests import Work, build_training_job, build_tuning_job
from launch.sending.experiment import metric_definitions

pytestmark = pytest.mark.slow

EPOCHS = ["trainer.max_epochs=2", "data.batch_size=8", "optimizer.lr=3"]


@pytest.fixture(scope="module")
def work_of(shared_bench, small_run: list[str], shared_folder: Path):
    """What does the run that `trained_run` is, but for the overrides that a test adds."""
    code = "s3://dogbreed/library/"
    shared_bench.backend.store.put_bytes(f"{code}{ARCHIVE}", pack_code().content)

    def build(*overrides: str) -> Work:
        told = to_hyperparameters([*small_run, "trainer.max_epochs=2", "data.batch_size=8", *overrides])
        return Work(told, code, {"data": f"s3://local{shared_folder}"}, metric_definitions(), launch="one")

    return build


def assert_same_run(ours: Path, theirs: Path) -> None:
    one, other = (torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (ours, theirs))
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert metrics_of(ours) == metrics_of(theirs)


def metrics_of(run: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return metrics


def test_job__is_the_run_itself(shared_bench, work_of, trained_run: Path, tmp_path: Path) -> None:
    request = build_training_job("whole", shared_bench.settings, shared_bench.place, work_of("optimizer.lr=3"))
    shared_bench.backend.create_training_job(request)
    done = shared_bench.wait("whole")
    assert done["TrainingJobStatus"] == "Completed", shared_bench.log("whole")
    run = fetch_run(shared_bench.backend, "whole", tmp_path / "run")
    assert_same_run(run, trained_run)
    assert (run / "artifact").is_dir()
    final = {metric["MetricName"]: metric["Value"] for metric in done["FinalMetricDataList"]}
    assert final["test/acc"] == pytest.approx(metrics_of(run)["test/acc"], rel=1e-5)


def test_trial__is_the_run_itself(shared_bench, work_of, trained_run: Path, tmp_path: Path) -> None:
    request = build_tuning_job(
        "tuning",
        shared_bench.settings,
        shared_bench.tuner(strategy="Grid"),
        shared_bench.place,
        work_of(),
        ranges={"CategoricalParameterRanges": [{"Name": "optimizer.lr", "Values": ["3"]}]},
        objective="val/acc",
        direction="max",
        epochs=2,
    )
    shared_bench.backend.create_tuning_job(request)
    best = shared_bench.wait_for_tuning()["BestTrainingJob"]
    run = fetch_run(shared_bench.backend, best["TrainingJobName"], tmp_path / "run")
    assert_same_run(run, trained_run)
    reached = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert reached == pytest.approx(metrics_of(run)["val/acc"], rel=1e-5), "that of the best epoch"


def test_job__that_is_interrupted_ends_the_same(shared_bench, work_of, tmp_path: Path) -> None:
    chance = ["head=mlp", "head.dropout=0.3", "augmentation=crop_flip", "optimizer.lr=0.5", "trainer.max_epochs=8"]
    spot = replace(shared_bench.settings, spot=True, max_wait_s=172800)
    for name in ("undisturbed", "disturbed"):
        work = work_of(*chance)
        shared_bench.backend.create_training_job(build_training_job(name, spot, shared_bench.place, work))
        if name == "disturbed":
            shared_bench.wait_for_line("epoch=1 ", name)
            shared_bench.backend.interrupt(name)
        done = shared_bench.wait(name)
        assert done["TrainingJobStatus"] == "Completed", shared_bench.log(name)
    assert "Interrupted" in [step["Status"] for step in done["SecondaryStatusTransitions"]]
    runs = [fetch_run(shared_bench.backend, name, tmp_path / name) for name in ("undisturbed", "disturbed")]
    assert_same_run(*runs)
    assert len((runs[1] / "metrics.csv").read_text().splitlines()) == 1 + 8


def test_job__with_a_mistake_fails_with_the_librarys_own_words(shared_bench, work_of) -> None:
    request = build_training_job("mistake", shared_bench.settings, shared_bench.place, work_of("optimizer.lr=abc"))
    shared_bench.backend.create_training_job(request)
    done = shared_bench.wait("mistake")
    assert done["TrainingJobStatus"] == "Failed"
    assert "optimizer" in done["FailureReason"]
    assert "Traceback" not in done["FailureReason"]
