"""Judges a finished run again: one of ours, what smdebug saved of anybody's, or a SageMaker job's files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dogbreed.app import compose
from dogbreed.checking import make_rules
from dogbreed.errors import ConfigError
from dogbreed.health.findings import Outcome, Status
from dogbreed.health.jobs import story
from dogbreed.health.jobs.job import Job, events, facts, read_job
from dogbreed.health.judging import Panel
from dogbreed.health.replay import health_overrides, is_run, judge, read_run
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Sample
from dogbreed.health.smdebug.trial import holds_trial
from dogbreed.health.telling import tell_all

_OVERRIDES = ("health=", "health.")


def replay(path: str, overrides: Sequence[str]) -> list[str]:
    """Lines: what the rules say of what `path` holds, and of a job also how its billed seconds were spent.

    Args:
        path: the directory of a run; a folder or s3://bucket/prefix that smdebug wrote; a SageMaker job's log, or a
            folder of its files.
        overrides: of the rules: health=aws, health.rules.Overfit.patience=3. A run of ours begins with its own.

    Raises:
        DogbreedError: there is nothing to judge, or an override cannot be.
    """
    for line in overrides:
        if not line.lstrip("+~").startswith(_OVERRIDES):
            raise ConfigError(
                f"the override {line}",
                "overrides of the rules: health=aws, health.rules.NAME.PARAMETER=VALUE",
                "drop it",
            )
    folder = Path(path)
    if is_run(folder):
        recording = read_run(folder)
        lines = tell_all(judge(recording, _rules(health_overrides(folder, overrides))))
        lost = f"{recording.damaged:,} lines of its recording are damaged and were left out"
        return [*lines, *([lost] if recording.damaged else [])]
    if (folder / "trials.json").is_file():
        hint = shlex.join(["python", "-m", "dogbreed.health", "replay", str(folder / "winner")])
        raise ConfigError(f"{path} is the directory of a sweep", "that of a run", f"judge its winner: {hint}")
    rules = _rules(overrides)
    if path.startswith("s3://") or (folder.is_dir() and holds_trial(path)):
        from dogbreed.health.smdebug.saved import read_trial, trial_facts  # here: it loads torch

        panel = Panel(rules)
        panel.see(*read_trial(path, panel.measure))
        return tell_all(panel.outcomes(trial_facts(path)))
    job = read_job(folder)
    outcomes = _judge_job(job, rules)
    if all(outcome.status in (Status.NOT_ENOUGH, Status.NOT_APPLICABLE) for outcome in outcomes):
        return [story.tell(job), "", "Our own rules have nothing to judge by here: no tensors, losses or samples."]
    return [story.tell(job), "", *tell_all(outcomes)]


def _judge_job(job: Job, rules: Sequence[Rule]) -> list[Outcome]:
    """What our rules say of a job: by its profiler and its tensors, or where none were saved by its log's losses."""
    panel, known = Panel(rules), facts(job)
    if job.tensors is None:
        panel.see(*events(job))
        return panel.outcomes(known)
    from dogbreed.health.smdebug.saved import read_trial, trial_facts  # as above

    panel.see(*(event for event in events(job) if not (isinstance(event, Sample) and event.losses)))
    panel.see(*read_trial(job.tensors, panel.measure))
    return panel.outcomes(replace(trial_facts(job.tensors), cores=known.cores, gpus=known.gpus))


def _rules(overrides: Sequence[str]) -> list[Rule]:
    return make_rules(compose("train", overrides))
