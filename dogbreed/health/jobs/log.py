"""Reads the log of a SageMaker job: what CloudWatch keeps of the container, and what the SDK prints while it waits."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dogbreed.errors import ConfigError

_TIME = r"\d{4}-\d\d-\d\d[T :]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_FINAL = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
_STATUS = ("Starting", "Downloading", "Training", "Uploading", "Stopping", "Interrupted", "Restarting", *_FINAL)
_HEAD = rf"(?:{_TIME}) (?:{'|'.join(_STATUS)}) - "
_TRANSITION = re.compile(rf"({_TIME}) ({'|'.join(_STATUS)}) - (.*?)(?={_HEAD}|$)")
#: What stands behind a status. The SDK prints dots after it and no line's end, so that anything may follow.
_MESSAGES = re.compile(
    r"Starting the training job|Launching requested ML instances|Preparing the instances for training|"
    r"Downloading input data|Downloading the training image|"
    r"Training image download completed\. Training in progress|Uploading generated training model|"
    r"Training job (?:completed|failed|stopped)|"
    r"Insufficient capacity error from EC2 while launching instances, retrying!|"
    r"Launched instance was unhealthy, replacing it!"
)
_RULE = re.compile(r"^[\s.*]*([A-Za-z][\w-]*): (InProgress|NoIssuesFound|IssuesFound|Error|Stopping|Stopped)\s*$")
_NO_RULE = re.compile(r"(?i)(?:error|exception|warning|status|state)$")
_SECONDS = re.compile(r"(Training|Billable) seconds: (\d+)")
_STAMP = re.compile(rf"(?:^\s*|\[)({_TIME})")
#: Printed by smdebug's hook in the first forward pass.
_HOOK = re.compile(rf"\[({_TIME}) [^\]]*\] Monitoring the collections:")
_EPOCH = re.compile(
    r"(?i)^\s*(?:epoch=\d|train epoch:? *\d|epoch:? *\d|(?:train|training|valid|test|testing) \w+: *\d)"
)
_PAIR = re.compile(r"([A-Za-z][\w/ ]*?) *[:=] *([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan))(?![\w.])")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CLOUDWATCH = re.compile(rf"^({_TIME})[\t ]+(?:\S+/algo-\d+-\d+ )?(.*)$")


@dataclass(frozen=True)
class Transition:
    """The job entered a state.

    Attributes:
        time: seconds since 1970, UTC.
        status: AWS's SecondaryStatus, such as "Downloading".
        message: AWS's sentence beside it.
    """

    time: float
    status: str
    message: str

    @property
    def final(self) -> bool:
        """Whether the job ends here."""
        return self.status in _FINAL


@dataclass(frozen=True)
class FirstStep:
    """When the first training step began.

    Attributes:
        time: seconds since 1970, UTC.
        source: what it was read from.
        exact: False: it began at this time at the latest.
    """

    time: float
    source: str
    exact: bool


@dataclass(frozen=True)
class EpochLine:
    """A line in which the script says how training goes.

    Attributes:
        text: the line.
        time: seconds since 1970, UTC; None where the log does not say.
        values: number by name, as printed.
    """

    text: str
    time: float | None
    values: dict[str, float]


@dataclass
class JobLog:
    """What was found in a log.

    Attributes:
        transitions: in the order of the lines.
        statuses: the last status of each rule that was printed.
        training_s: "Training seconds": from the start to the end of the bill, over all instances.
        billable_s: "Billable seconds": less than those where spot instances were used.
        epochs: in the order of the lines.
        container_start: the earliest time at which the container printed something.
        hook_start: when smdebug's hook saw its first batch.
        last_time: the latest time seen.
    """

    transitions: list[Transition] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    training_s: float | None = None
    billable_s: float | None = None
    epochs: list[EpochLine] = field(default_factory=list)
    container_start: float | None = None
    hook_start: float | None = None
    last_time: float | None = None

    def __bool__(self) -> bool:
        """Whether anything of a job was found."""
        return bool(self.transitions or self.statuses or self.training_s is not None or self.epochs or self.hook_start)

    @property
    def first_step(self) -> FirstStep | None:
        """The best that the log says of it."""
        if self.hook_start is not None:
            return FirstStep(self.hook_start, "the line of smdebug's hook at its first batch", exact=True)
        line = next((line for line in self.epochs if line.time is not None), None)
        if line is None or line.time is None:
            return None
        return FirstStep(line.time, f"the first line about training: {line.text!r}", exact=False)


def moment(text: str) -> float | None:
    """Seconds since 1970 of an ISO time; UTC where it names no zone; None where it is no time.

    >>> moment("2023-01-01 00:00:10") - moment("2022-12-31T23:00:00.500-01:00")
    9.5
    >>> moment("10:00:00") is None
    True
    """
    if not re.fullmatch(_TIME, text):
        return None
    zone = re.search(r"(Z|[+-]\d\d:?\d\d)$", text[19:])
    fraction = re.match(r"[.,](\d+)", text[19:])
    try:
        parsed = datetime(*(int(part) for part in re.split(r"[-T :]", text[:19])), tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    if zone and zone[1] != "Z":
        hours, minutes = int(zone[1][1:3]), int(zone[1][-2:])
        parsed -= timedelta(hours=hours, minutes=minutes) * (-1 if zone[1][0] == "-" else 1)
    return parsed.timestamp() + (float(f"0.{fraction[1]}") if fraction else 0.0)


def read_text(path: Path) -> str:
    """The text of a file of the job; empty for one that is no text. Bytes that are not UTF-8 become a mark.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", "a file of the job that may be read", "look at its permissions"
        ) from error
    return "" if b"\0" in content else content.decode("utf-8-sig", errors="replace")


def read_lines(path: Path) -> list[tuple[float | None, str]]:
    """The lines of a log, each with CloudWatch's time where the file has it; none for a file that is no text.

    Read are plain text, with or without a time before each line (`aws logs tail`), the JSON of `aws logs
    get-log-events` and `filter-log-events`, and the console's CSV.

    Raises:
        ConfigError: it cannot be read.
    """
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return list(_from_events(text))
    if re.match(r"\"?timestamp\"?,", text):
        return list(_from_csv(text))
    return [_split(line) for line in text.splitlines()]


def parse_log(lines: Iterable[tuple[float | None, str]]) -> JobLog:
    """What the lines say of the job; lines that say nothing are passed over."""
    log = JobLog()
    for time, line in lines:
        line = _COLOUR.sub("", line).replace("#011", "\t")
        rest = _transitions(line, log)
        rule = _RULE.match(rest)
        if rule and not _NO_RULE.search(rule[1]):
            log.statuses[rule[1]] = rule[2]
        elif told := _SECONDS.search(rest):
            setattr(log, "training_s" if told[1] == "Training" else "billable_s", float(told[2]))
        elif rest:
            _container(time, rest, log)
    return log


def _transitions(line: str, log: JobLog) -> str:
    """Keeps the transitions of a line; what else stands in it."""
    rest = line
    for found in _TRANSITION.finditer(line):
        known = _MESSAGES.match(found[3])
        message, behind = (known[0], found[3][known.end() :]) if known else (found[3], "")
        rest = rest.replace(found[0], behind.lstrip("."), 1)
        time = moment(found[1])
        if time is not None:
            log.transitions.append(Transition(time, found[2], message.rstrip(". ")))
            log.last_time = max(time, log.last_time or time)
    return rest


def _container(time: float | None, line: str, log: JobLog) -> None:
    stamp = _STAMP.search(line)
    time = moment(stamp[1]) if stamp and time is None else time
    hook = _HOOK.search(line)
    if hook and log.hook_start is None:
        log.hook_start = moment(hook[1])
    if _EPOCH.match(line):
        values = {name.strip(): float(value) for name, value in _PAIR.findall(line)}
        if values:
            log.epochs.append(EpochLine(line.strip(), time, values))
    if time is not None:
        log.container_start = min(time, log.container_start or time)
        log.last_time = max(time, log.last_time or time)


def _split(line: str) -> tuple[float | None, str]:
    """CloudWatch's time and the line; the SDK's own lines, and those the container dated, keep theirs."""
    found = _CLOUDWATCH.match(line)
    return (moment(found[1]), found[2]) if found and "T" in found[1] else (None, line)


def _from_events(text: str) -> Iterator[tuple[float | None, str]]:
    try:
        events = json.loads(text).get("events")
    except ValueError:
        return
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and isinstance(event.get("message"), str):
            time = event.get("timestamp")
            for line in event["message"].splitlines():
                yield (time / 1000 if isinstance(time, int | float) else None), line


def _from_csv(text: str) -> Iterator[tuple[float | None, str]]:
    for row in csv.DictReader(io.StringIO(text)):
        time = row.get("timestamp") or ""
        for line in (row.get("message") or "").splitlines():
            yield (float(time) / 1000 if re.fullmatch(r"\d+", time) else moment(time)), line
