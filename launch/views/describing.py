"""A job's description as a person wants it: what it does, what came of it, what it cost, how the same is run here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import override_line
from launch.container import SWEEPER, TRAIN
from launch.files.fetching import ENDED
from launch.names import CHANNEL_KEYS, CODE, COMMAND, output_uri
from launch.overrides import FOREIGN, to_overrides
from launch.pricing.bill import Bill, bill_of, tell
from launch.pricing.table import Price, Prices
from launch.views.finding import tuning_job_of
from launch.views.telling import age, duration, saved, usd

Description = Mapping[str, Any]

#: The tag by which the jobs of an experiment are found, see launch.requests.tags.
EXPERIMENT_TAG = "dogbreed:experiment"
#: This machine's files, on the process backend.
_HERE = "s3://local"
#: The region of its jobs, where AWS has none.
_REHEARSED = "local"
_FOLDER = "FOLDER"
_LONGEST = 100


@dataclass(frozen=True)
class Summary:
    """A job in a line.

    Attributes:
        name: of the job.
        status: AWS's TrainingJobStatus; what it does where it runs.
        age: seconds since it was asked for.
        bill: what it was billed.
        instances: how many of which type; "this machine" on the process backend.
        tuning_job: that it is a trial of; empty for none.
        objective: what it is judged by and what it has reached; empty where nobody knows.
        experiment: that it belongs to; empty where nobody says.
    """

    name: str
    status: str
    age: float
    bill: Bill
    instances: str
    tuning_job: str
    objective: str
    experiment: str

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table; see COLUMNS."""
        cost = "" if self.bill.usd is None else usd(self.bill.usd)
        spent = duration(self.bill.seconds) if self.bill.seconds else ""
        shown = self.instances, self.tuning_job, self.objective, cost
        return self.name, self.status, duration(self.age), spent, *shown

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "age_s": round(self.age),
            "instances": self.instances,
            "tuning_job": self.tuning_job,
            "objective": self.objective,
            "experiment": self.experiment,
            "billed_s": self.bill.seconds,
            "charged_s": self.bill.charged,
            "spent_s": self.bill.parts,
            "usd": self.bill.usd,
        }


COLUMNS = ("job", "status", "age", "billed", "instances", "tuning job", "objective", "cost")


def summarize(description: Description, price: Price | None) -> Summary:
    """The job in a line; `price` is that of its instances, None where it is not known."""
    status = description["TrainingJobStatus"]
    return Summary(
        name=description["TrainingJobName"],
        status=status if status in ENDED else description["SecondaryStatus"],
        age=age(description),
        bill=bill_of(description, price, now=datetime.now(timezone.utc)),
        instances=machines_of(description),
        tuning_job=tuning_job_of(description),
        objective=objective(description),
        experiment=tags_of(description).get(EXPERIMENT_TAG, ""),
    )


def tags_of(description: Description) -> dict[str, str]:
    """The tags by name."""
    return {tag["Key"]: tag["Value"] for tag in description.get("Tags", [])}


def region_of(description: Description) -> str:
    """Where the job runs.

    >>> region_of({"TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/a"})
    'eu-west-1'
    """
    return str(description["TrainingJobArn"]).split(":")[3]


def instance_of(description: Description) -> str:
    """The type of its instances; "?" where there are several or none, as in jobs of others."""
    return str(description.get("ResourceConfig", {}).get("InstanceType", "?"))


def machines_of(description: Description) -> str:
    """What the job runs on: how many instances of which type, or this machine.

    >>> machines_of({"TrainingJobArn": "arn:aws:sagemaker:local:000000000000:training-job/a"})
    'this machine'
    """
    if region_of(description) == _REHEARSED:
        return "this machine"
    return f"{description.get('ResourceConfig', {}).get('InstanceCount', 1)} {instance_of(description)}"


def price_for(description: Description, prices: Prices, given: float | None) -> Price | None:
    """What an instance of the job costs: what was given, else by the table; None where nobody knows."""
    instance = instance_of(description)
    if given is not None:
        return Price.given(instance, region_of(description), given)
    return prices.price_of(instance, region_of(description))


def objective(description: Description) -> str:
    """What the job is judged by, and its last value: the tuning job's objective, its own monitor, or accuracy.

    >>> objective({"FinalMetricDataList": [{"MetricName": "val/acc", "Value": 0.8125}]})
    'val/acc=0.8125'
    """
    values = {metric["MetricName"]: metric["Value"] for metric in description.get("FinalMetricDataList", [])}
    told = description.get("HyperParameters", {})
    named = [told.get("_tuning_objective_metric"), told.get("monitor", "").strip('"'), "val/acc"]
    return next((f"{name}={values[name]:.4f}" for name in named if name in values), "")


def local_command(description: Description) -> str:
    """The line that runs the same here; FOLDER stands for what the job reads from S3.

    >>> local_command({"HyperParameters": {"backbone": '"resnet18"', "seed": "1"}})
    'python -m dogbreed.train backbone=resnet18 seed=1'

    Raises:
        ConfigError: its hyperparameters are not ours.
    """
    told, environment = description.get("HyperParameters", {}), description.get("Environment", {})
    command = json.loads(environment[COMMAND]) if COMMAND in environment else TRAIN
    sweep = ["-m"] if SWEEPER in told else []
    read = [
        override_line(CHANNEL_KEYS[name], _here(uri)) for name, uri in _channels(description) if name in CHANNEL_KEYS
    ]
    return shlex.join(["python", *command, *sweep, *to_overrides(told), *read])


def tell_bill(bill: Bill, *, is_paid: bool) -> str:
    """The bill in two lines; what is rehearsed on this machine has no price."""
    spent, cost = tell(bill)
    return f"{spent}\n  {cost if is_paid else 'a rehearsal on this machine: nothing of this is paid'}"


def story(description: Description, price: Price | None, *, is_paid: bool) -> Iterator[str]:
    """What a person wants to know of a job, paragraph by paragraph."""
    summary = summarize(description, price)
    of = f", of the experiment {summary.experiment}" if summary.experiment else ""
    yield f"{summary.name}: {summary.status} on {summary.instances}, asked for {duration(summary.age)} ago{of}"
    if description.get("FailureReason"):
        yield f"it failed: {description['FailureReason']}"
    yield from _statuses(description)
    yield "\n  ".join([tell_bill(summary.bill, is_paid=is_paid), *saved(description)])
    metrics = [f"{one['MetricName']}={one['Value']:.6g}" for one in description.get("FinalMetricDataList", [])]
    if metrics:
        yield "the last it printed: " + " ".join(metrics)
    yield _rules(description)
    yield _how_to_repeat(description)
    if description["TrainingJobStatus"] in ENDED:
        yield f"its results are in {output_uri(description, '')}; to bring them here:"


def _statuses(description: Description) -> Iterator[str]:
    lines = []
    for entry in description.get("SecondaryStatusTransitions", []):
        start = entry["StartTime"].astimezone()
        took = (
            f"{duration((entry['EndTime'] - entry['StartTime']).total_seconds()):>8}" if "EndTime" in entry else " " * 8
        )
        lines.append(
            f"  {start:%Y-%m-%d %H:%M:%S}  {took}  {entry['Status']:12} {entry.get('StatusMessage', '')}".rstrip()
        )
    if lines:
        yield "\n".join(["its statuses:", *lines])


def _rules(description: Description) -> str:
    found = [
        f"  {rule['RuleConfigurationName']}: {rule['RuleEvaluationStatus']}"
        for kind in ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")
        for rule in description.get(kind, [])
    ]
    return "\n".join(["AWS's rules:", *found]) if found else ""


def _how_to_repeat(description: Description) -> str:
    read = "".join(f"\n  {name}: {uri}" for name, uri in _channels(description))
    try:
        return f"the same run here:\n  {local_command(description)}" + (f"\nit reads\n{read[1:]}" if read else "")
    except ConfigError:  # a job of somebody else's
        told = {key: text for key, text in description["HyperParameters"].items() if not key.startswith(FOREIGN)}
        return "\n".join(["its hyperparameters:", *(f"  {key}={text[:_LONGEST]}" for key, text in told.items())])


def _channels(description: Description) -> list[tuple[str, str]]:
    """What the job reads, but for its code."""
    found = (
        (channel["ChannelName"], channel["DataSource"].get("S3DataSource", {}).get("S3Uri", ""))
        for channel in description.get("InputDataConfig", [])
    )
    return [(name, uri) for name, uri in found if name != CODE]


def _here(uri: str) -> str:
    return uri.removeprefix(_HERE) if uri.startswith(f"{_HERE}/") else _FOLDER
