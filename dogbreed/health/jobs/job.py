"""A SageMaker job from what came back of it: its log, its description, AWS's rules, the profiler's samples.

PATH may be a folder as it lies in S3 (rule-output/, profiler-output/, debug-output/), with the log and the output of
`aws sagemaker describe-training-job` beside them, or any one of these files.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.health.jobs.log import EpochLine, FirstStep, JobLog, parse_log, read_lines, read_text
from dogbreed.health.jobs.profile import Machine, Step, read_machine, read_steps, step_samples
from dogbreed.health.jobs.rules import AwsRule, details_of, read_rules
from dogbreed.health.jobs.timeline import TRAINING, Bill, JobPhase, divide, find_bill, find_transitions, when
from dogbreed.health.samples import Event, Facts, MachineSample, Sample

_LOGS = (".log", ".txt", ".csv", ".out", "")


@dataclass(frozen=True)
class Job:
    """All that is known of a job.

    Attributes:
        path: where it was read from.
        status: AWS's last word on the whole job; None where none is known.
        failure: why it failed, by AWS.
        phases: in their order.
        bill: None where nothing tells when the billed time was.
        first_step: None where nothing tells.
        rules: by name.
        epochs: what the script printed.
        machine: the machine's samples and whose they are; their `seconds` are since 1970.
        steps: of the profiler.
        tensors: the folder that smdebug wrote; dogbreed.health.smdebug.saved reads it.
        notes: what could not be read, or is to be taken with care.
    """

    path: Path
    status: str | None = None
    failure: str = ""
    phases: tuple[JobPhase, ...] = ()
    bill: Bill | None = None
    first_step: FirstStep | None = None
    rules: tuple[AwsRule, ...] = ()
    epochs: tuple[EpochLine, ...] = ()
    machine: Machine = field(default_factory=Machine)
    steps: tuple[Step, ...] = ()
    tensors: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def before_first_step(self) -> float | None:
        """Billed seconds before the first training step, see the module; None where that is not known."""
        if self.bill is None or self.first_step is None:
            return None
        return self.bill.within(self.bill.start, self.first_step.time)


def read_job(path: Path) -> Job:
    """The job whose files lie in the folder `path`, or that the single file `path` tells of.

    Raises:
        ConfigError: there is nothing of a job, or it cannot be read.
    """
    found = _Files(path)
    log = parse_log(line for file in found.logs for line in read_lines(file))
    if not (log or found.description or found.reports or found.system or found.traces or found.tensors):
        raise ConfigError(
            got=f"{path} tells nothing of a SageMaker job{''.join(f'; {note}' for note in found.notes)}",
            allowed="a job's log, the JSON of describe-training-job, a rule's report, or a folder with any of them",
            hint="save the log with: aws logs tail /aws/sagemaker/TrainingJobs --log-stream-name-prefix JOB > job.log",
        )
    machine = read_machine(found.system)
    steps, broken = read_steps(found.traces)
    if machine.damaged + broken:
        found.notes.append(f"{machine.damaged + broken} damaged lines of the profiler were left out")
    if machine.others:
        found.notes.append(f"judged are the samples of {machine.node}, not those of {', '.join(machine.others)}")
    first = _first_step(log, found.reports, steps)
    transitions = find_transitions(log, found.description)
    bill = find_bill(log, found.description, transitions)
    phases = tuple(divide(transitions, bill, first.time if first else None))
    if not phases and len(transitions) == 1:
        found.notes.append("all statuses of the log carry one time, so it was printed after the end: phases not known")
    found.notes += [f"times go backwards in {phase.name}" for phase in phases if phase.seconds is None]
    return Job(
        path=path,
        status=found.description.get("TrainingJobStatus") or (transitions[-1].status if transitions else None),
        failure=str(found.description.get("FailureReason", "")),
        phases=phases,
        bill=bill,
        first_step=first,
        rules=tuple(read_rules(log.statuses, found.description, found.reports)),
        epochs=tuple(log.epochs),
        machine=machine,
        steps=tuple(steps),
        tensors=found.tensors,
        notes=tuple(found.notes),
    )


def events(job: Job) -> Iterator[Event]:
    """What our rules can judge of it, in the order of time, `seconds` since the bill or else the first sample began.

    From the profiler the machine's samples and the steps; from the lines of our own training each epoch's losses, as if
    one had been saved at its last step. Saved tensors are not in it.
    """
    known = [sample.seconds for sample in job.machine.samples[:1]] + [step.start for step in job.steps[:1]]
    start = min(known + ([job.bill.start] if job.bill else []), default=0.0)
    begun, ended = _training(job)
    machine = (
        replace(sample, seconds=sample.seconds - start, training=begun <= sample.seconds <= ended)
        for sample in job.machine.samples
    )
    streams: list[Iterator[Sample | MachineSample]] = [machine, step_samples(job.steps, start), _losses(job, start)]
    yield from heapq.merge(*streams, key=lambda event: event.seconds)


def facts(job: Job) -> Facts:
    """What is known of the machine; nothing of the settings, which are somebody's own."""
    samples = job.machine.samples
    if not samples:
        return Facts()
    cores = max(len(sample.cores) for sample in samples)
    return Facts(cores=cores or None, gpus=max(len(sample.gpus) for sample in samples))


def _training(job: Job) -> tuple[float, float]:
    """From when to when the training loop ran, by the steps; else by the phases."""
    if job.steps:
        return job.steps[0].start, max(step.start + step.seconds for step in job.steps)
    phase = next((phase for phase in job.phases if phase.name == TRAINING and phase.seconds is not None), None)
    return (phase.start, phase.start + (phase.seconds or 0.0)) if phase else (float("inf"), float("-inf"))


def _losses(job: Job, start: float) -> Iterator[Sample]:
    seconds = 0.0
    for line in job.epochs:
        values = line.values
        if "epoch" not in values or "step" not in values:
            continue  # a script's own words: which step, and whether the loss is a mean, is not known
        epoch, step = int(values["epoch"]), int(values["step"])
        seconds = max(seconds, line.time - start) if line.time is not None else seconds
        if "train/loss" in values:
            yield Sample(step, "TRAIN", epoch, seconds, losses=((step, values["train/loss"]),), ends_epoch=True)
        if "val/loss" in values:
            yield Sample(step, "EVAL", epoch, seconds, losses=((epoch, values["val/loss"]),), ends_epoch=True)


class _Files:
    """What of a job lies in a folder, or in a file, by kind."""

    def __init__(self, path: Path) -> None:
        self.logs: list[Path] = []
        self.system: list[Path] = []
        self.traces: list[Path] = []
        self.reports: dict[str, Mapping[str, Any]] = {}
        self.description: Mapping[str, Any] = {}
        self.tensors: Path | None = None
        self.notes: list[str] = []
        if not os.access(path, os.R_OK):
            raise ConfigError(
                f"{path} does not exist or may not be read", "a file or folder of a SageMaker job", "check its name"
            )
        for file in [path] if path.is_file() else self._walk(path):
            self._sort(file)

    def _walk(self, path: Path) -> Iterator[Path]:
        for folder, inside, names in os.walk(path):
            inside.sort()
            # Each step of smdebug's output is a folder: thousands, none of them for us.
            if "collections" in inside and {"events", "index"} & set(inside):
                self.tensors = self.tensors or Path(folder)
                inside[:] = []
                continue
            yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))

    def _sort(self, file: Path) -> None:
        parts = file.resolve().parts
        if file.suffix in _LOGS:
            self.logs.append(file)
        elif file.suffix != ".json":
            return
        elif "incremental" in parts:
            self.system.append(file)
        elif "pevents" in parts:
            self.traces.append(file)
        else:
            self._json(file)

    def _json(self, file: Path) -> None:
        try:
            content = json.loads(read_text(file))
        except ValueError:
            self.notes.append(f"{file.name} is no whole JSON, perhaps still being written: not read")
            return
        if not isinstance(content, dict):
            return
        if {"RuleTriggered", "Violations"} & set(content):
            self.reports[file.stem] = content
        elif {"SecondaryStatusTransitions", "TrainingJobName"} & set(content):
            self.description = content
        elif isinstance(content.get("events"), list):
            self.logs.append(file)


def _first_step(log: JobLog, reports: Mapping[str, Mapping[str, Any]], steps: list[Step]) -> FirstStep | None:
    """The best that is known of it: the profiler's steps, then its rule, then the log."""
    if trained := next((step for step in steps if step.mode == "TRAIN"), None):
        return FirstStep(trained.start, "the profiler's first step", exact=True)
    numbers = details_of(reports.get("MaxInitializationTime", {})).get("step_num")
    first = numbers.get("first") if isinstance(numbers, dict) else None
    time = when(first / 1e6) if isinstance(first, int | float) else None
    if time is not None:
        return FirstStep(time, "the report of MaxInitializationTime", exact=True)
    return log.first_step
