"""The rules on a live run, on its recording, and on what smdebug saved of it, by the real commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dogbreed.train
from dogbreed.health import __main__ as health
from tests.conftest import draw_folder

Command = Callable[..., Any]

#: What the hook does not save: the machine, time, and what the run knows by itself.
ELSEWHERE = {
    "StalledTraining", "LowGPUUtilization", "BatchSize", "CPUBottleneck", "IOBottleneck", "GPUMemoryIncrease",
    "LoadBalancing", "StepOutlier", "Dataloader", "MaxInitializationTime", "OverallSystemUsage",
    "OverallFrameworkMetrics",
}  # fmt: skip


def statuses(lines: str) -> dict[str, str]:
    """Rule -> status, off the table that replay prints."""
    rows = [line.split() for line in lines.splitlines() if line.startswith("  ")]
    known = ("IssuesFound", "NoIssuesFound", "NotEnoughData", "NotApplicable", "Error")
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1] in known and row[0] not in ELSEWHERE}


@pytest.mark.parametrize("preset", ["default", "aws"])
@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.lr=1", "head=mlp", "head.hidden=16"],
        ["optimizer.lr=1000"],
        ["optimizer.lr=0"],
        ["optimizer.lr=1", "features=pixels", "hook.collections.inputs.layers=all"],
    ],
    ids=["healthy", "rate_too_high", "rate_zero", "pixels"],
)
def test_statuses__are_the_same_live_recorded_and_saved(
    command: Command, small_run: list[str], tmp_path: Path, settings: list[str], preset: str
) -> None:
    root, out = draw_folder(tmp_path / "photos", train=30, val=20), tmp_path / "run"
    shared = ["trainer.max_epochs=4", "data.batch_size=8", "report=false", "logger=none", f"health={preset}"]
    often = ["hook=smdebug", "hook.save_interval.train=5", "health.every_n_steps=5"]
    fewer = "health.rules.ClassImbalance.samples=100"  # saved are the labels of 480 steps' pictures
    ended = command(
        dogbreed.train.main, *small_run, f"data.root={root}", f"hydra.run.dir={out}", *shared, *often, *settings, fewer
    )
    assert ended.code == 0, ended.err
    rules = json.loads((out / "health.json").read_text())["rules"]
    live = {
        rule["RuleConfigurationName"]: rule["RuleEvaluationStatus"]
        for rule in rules
        if rule["RuleConfigurationName"] not in ELSEWHERE
    }
    recorded = statuses(command(health.main, "replay", out).out)
    saved = statuses(command(health.main, "replay", out / "smdebug", f"health={preset}", fewer).out)
    assert recorded == live
    pictures = {"CheckInputImages"} if "features=pixels" not in settings else set()  # measured by the feature pass
    assert {rule: status for rule, status in saved.items() if rule not in pictures} == {
        rule: status for rule, status in live.items() if rule not in pictures
    }
