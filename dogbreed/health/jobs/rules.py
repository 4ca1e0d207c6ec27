"""What AWS says of a rule, and what that means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dogbreed.health import rules
from dogbreed.health.jobs.timeline import entries


class _Hint(NamedTuple):
    """What AWS's rule needs, and what to make of its finding.

    Attributes:
        reads: what it judges by; it is in Error where that is missing.
        unless: when its finding is none.
        change: what to change where it is one, in settings of ours.
    """

    reads: str
    unless: str = ""
    change: str = ""


_ANY, _LOSSES, _MACHINE = "any saved tensor", "losses of TRAIN and of EVAL", "samples of the machine"
_HINTS = {
    "VanishingGradient": _Hint("gradients", change="optimizer.lr ten times as high"),
    "ExplodingTensor": _Hint(_ANY, change="optimizer.lr ten times as low, or trainer.gradient_clip_val=1.0"),
    "AllZero": _Hint(_ANY),
    "UnchangedTensor": _Hint(_ANY, unless="on a frozen backbone that is the wanted state"),
    "LossNotDecreasing": _Hint("losses", change="optimizer.lr ten times as low"),
    "Overfit": _Hint(
        _LOSSES,
        unless="its margin of 10 % is so narrow that healthy heads pass it in their first epochs",
        change="optimizer.weight_decay=0.0005 label_smoothing=0.1 callbacks=early_stopping",
    ),
    "Overtraining": _Hint(_LOSSES, change="callbacks=early_stopping"),
    "PoorWeightInitialization": _Hint(
        "inputs of activations, gradients and losses",
        unless="pretrained weights fire it at the first steps by their spread alone, since they were loaded and not "
        "initialised; if the loss falls in the first epoch there is nothing to mend",
    ),
    "DeadRelu": _Hint("outputs of ReLUs", change="optimizer.lr ten times as low"),
    "SaturatedActivation": _Hint("inputs of tanh and sigmoid layers"),
    "WeightUpdateRatio": _Hint("weights"),
    "ClassImbalance": _Hint(
        "labels and predictions",
        unless="it is meant for about 10 classes; of 133 its 500 samples hold too few pictures of each",
        change="class_weights=balanced",
    ),
    "Confusion": _Hint("labels and predictions"),
    "CheckInputImages": _Hint("the pictures as the network reads them"),
    "StalledTraining": _Hint(_ANY),
    "LowGPUUtilization": _Hint(_MACHINE, change="features=cached, or a smaller instance"),
    "BatchSize": _Hint(_MACHINE, change="data.batch_size=128"),
    "CPUBottleneck": _Hint(_MACHINE, change="features=cached"),
    "IOBottleneck": _Hint(_MACHINE, change="features=cached"),
    "GPUMemoryIncrease": _Hint(
        _MACHINE, unless="its two windows overlap, so that the ordinary allocation at the start fires it too"
    ),
    "LoadBalancing": _Hint(_MACHINE),
    "StepOutlier": _Hint("durations of steps"),
    "Dataloader": _Hint(
        "durations of data loading", change="data.num_workers=null, which takes what suits the machine"
    ),
    "MaxInitializationTime": _Hint("durations of steps"),
}
#: Those that AWS calls rules and that never fire themselves.
_TABLES = {
    "OverallSystemUsage": "tabulates the machine's use",
    "OverallFrameworkMetrics": "tabulates where the time went",
    "ProfilerReport": "runs the profiler's rules and writes their report",
}
_SAMPLE_S = 0.5  # between two samples of AWS's profiler

_STATUSES = {
    "IssuesFound": "a finding. The rule saw what it looks for; AWS ends a rule on tensors at its first hit.",
    "Error": "not a finding. AWS could not evaluate the rule, nearly always since the data it reads is missing: "
    "nothing is said about the model, good or bad.",
    "InProgress": "no answer yet. The rule was still at work when this was printed, and the SDK stops asking when the "
    "job ends; its last word is in `aws sagemaker describe-training-job --training-job-name JOB`.",
    "Stopping": "no answer. The rule is being ended from outside before its verdict.",
    "Stopped": "no answer. The rule was ended from outside before its verdict, by a person or with the job.",
    "NoIssuesFound": "no finding, in the steps that were saved.",
}
_WHY = (
    "Why the data is missing, usually: the loss was a function (torch.nn.functional.cross_entropy) and no module, so "
    "that `losses` stayed empty; the hook was never registered, or never told of EVAL; the save interval, 500 steps if "
    "nothing else is said, is longer than the run; no layer of the kind the rule reads has the name it expects."
)
_ANSWER = (
    "To get an answer: train with health=aws, which judges the same rules with AWS's thresholds during the run, "
    "without a hook; or with hook=smdebug, which registers the loss as a module, keeps TRAIN and EVAL apart and saves "
    "in short intervals."
)


@dataclass(frozen=True)
class AwsRule:
    """What AWS says of a rule.

    Attributes:
        name: without the number that AWS appends.
        status: AWS's word; None where only the rule's report is there.
        details: AWS's sentence beside the status.
        violations, datapoints: of its report; None without one.
        parameters: of its report, name -> value as text.
        report: its own tables.
    """

    name: str
    status: str | None = None
    details: str = ""
    violations: int | None = None
    datapoints: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Its status; where there is only a report, the one that follows from it."""
        return self.status or ("IssuesFound" if self.violations else "NoIssuesFound")


def read_rules(
    statuses: Mapping[str, str], description: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]
) -> Iterator[AwsRule]:
    """Each rule that is named, by its name.

    Args:
        statuses: by name, as the log printed them last.
        description: of describe-training-job; it knows a rule's last status better than the log.
        reports: by name, as the profiler's rules wrote them.
    """
    told = {_plain(name): (status, "") for name, status in statuses.items()}
    for kind in ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses"):
        for entry in entries(description, kind):
            details = " ".join(str(entry.get("StatusDetails") or "").split("Traceback")[0].split())
            told[_plain(str(entry.get("RuleConfigurationName")))] = str(entry.get("RuleEvaluationStatus")), details
    for name in sorted(told.keys() | reports.keys()):
        status, details = told.get(name, (None, ""))
        report = reports.get(name, {})
        yield AwsRule(
            name,
            status,
            details,
            violations=_count(report.get("Violations")),
            datapoints=_count(report.get("Datapoints")),
            parameters=parse_parameters(str(report.get("RuleParameters", ""))),
            report=details_of(report),
        )


def details_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of a rule's report; empty where it has none."""
    found = report.get("Details")
    return found if isinstance(found, dict) else {}


def parse_parameters(text: str) -> dict[str, str]:
    r"""The parameters of a rule's report by name.

    >>> parse_parameters("threshold:0.2\npatience:1000")
    {'threshold': '0.2', 'patience': '1000'}
    """
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def explain(told: Iterable[AwsRule], steps: int | None = None) -> Iterator[tuple[str, list[str]]]:
    """For each status its meaning, and a paragraph for each rule that has it; `steps` of the run, if known."""
    by_status: dict[str, list[AwsRule]] = {}
    for rule in told:
        by_status.setdefault(rule.verdict, []).append(rule)
    for status in sorted(by_status, key=[*_STATUSES, *by_status].index):
        paragraphs = [" ".join(_sentences(rule)) for rule in by_status[status]]
        if status == "Error":
            seen = f" This run had {steps:,} steps." if steps is not None else ""
            paragraphs += [_WHY + seen, _ANSWER]
        yield f"{status}: {_STATUSES.get(status, 'a status that is not among the documented ones.')}", paragraphs


def _sentences(rule: AwsRule) -> Iterator[str]:
    yield f"{rule.name} {_purpose(rule.name)}."
    hint = _HINTS.get(rule.name)
    if hint is not None:
        yield f"It reads {hint.reads}."
    if rule.details:
        yield f'AWS says: "{rule.details}"'
    if rule.datapoints is not None and rule.name not in _TABLES:
        yield _counted(rule)
    if rule.verdict == "IssuesFound" and hint is not None:
        if hint.unless:
            yield f"Before you act on it: {hint.unless}."
        if hint.change:
            yield f"What to change: {hint.change}."


def _purpose(name: str) -> str:
    """What a rule is for; our rule of the same name says it in its first line."""
    if name in _TABLES:
        return _TABLES[name]
    ours = getattr(rules, name, None)
    if ours is None or not ours.__doc__:
        return "is not one of the rules that we know" if name not in _HINTS else "is a rule of AWS"
    line = ours.__doc__.splitlines()[0].rstrip(".")
    return f"fires when this holds: {line[0].lower()}{line[1:]}"


def _counted(rule: AwsRule) -> str:
    used = ", ".join(f"{name}={value}" for name, value in rule.parameters.items())
    used = f" ({used})" if used else ""
    if not rule.datapoints:
        return f"It counted no datapoint{used}, so it looked at nothing: its silence is no good news."
    patience = rule.parameters.get("patience", "")
    if not rule.violations and patience.isdigit() and rule.datapoints < int(patience):
        minutes = int(patience) * _SAMPLE_S / 60
        return (
            f"It could not fire: it waits for {patience} datapoints, {minutes:.1f} minutes of samples, and had "
            f"{rule.datapoints:,}{used}."
        )
    return f"{rule.violations or 0:,} violations in {rule.datapoints:,} datapoints{used}."


def _plain(name: str) -> str:
    """AWS appends the time of the request: ProfilerReport-1672567200."""
    return re.sub(r"-\d{6,}$", "", name)


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None
