"""`python -m benchmarks.cost` beside the plan of the same search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import launch.plan
from benchmarks import cost
from tests.conftest import Command

ROLE = "arn:aws:iam::123456789012:role/jobs"


@pytest.mark.slow
def test_cost__prints_the_table_of_the_plan(trained_run: Path, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    asked = [trained_run, "--trials", "4", "--region", "us-east-1", "--json", file]
    ended = command(lambda: cost.main([str(word) for word in asked]) and None)
    table = ended.out.splitlines()[1:]

    account = ["sagemaker.image=mine:1", "sagemaker.region=us-east-1", f"sagemaker.role={ROLE}"]
    jobs = ["sagemaker.tuner.n_trials=4", f"sagemaker.measured_run={trained_run}"]
    instance = "sagemaker.instance_type=ml.g5.xlarge"
    search = ["experiment=quickstart", "search_space=lr_batch"]
    plan = command(launch.plan.main, *search, *account, *jobs, instance, f"hydra.sweep.dir={tmp_path / 'plan'}")
    lines = [line.removeprefix("  ") for line in plan.out.splitlines()]
    assert len(table) > 4
    assert set(table) <= set(lines), plan.out

    found = json.loads(file.read_text())
    assert (found["instance_type"], found["region"], found["run"]) == ("ml.g5.xlarge", "us-east-1", str(trained_run))
    for name, way in found["ways"].items():
        assert "{:.2f} to {:.2f}".format(*way["usd"]) in next(row for row in table if row.startswith(f"{name}  "))
