"""What a training job does, told as it happens."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from operator import itemgetter
from typing import Any

from dogbreed.health.jobs.log import parse_log
from launch.backends import Backend
from launch.errors import JobFailed
from launch.files.fetching import ENDED, is_sweep
from launch.pricing.bill import Bill, bill_of
from launch.views.describing import machines_of
from launch.views.polling import Polling
from launch.views.screen import Screen
from launch.views.telling import age, clock, duration, saved, unknown, usd

#: With a failure is told what the job said last.
_LAST_LINES = 20
#: Read at once, of a job that prints faster than it is read.
_MOST_PAGES = 20
#: A metric as dogbreed.training.epoch_line prints it. Those of test, which is read once, come last.
_METRIC = re.compile(r"(?:^|\s)(train|val|test)/\w+=")
_RULES = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")

#: What ends a job that has had its time -> the setting of that time.
_TIMES = {"MaxRuntimeExceeded": "sagemaker.max_run_s", "MaxWaitTimeExceeded": "sagemaker.max_wait_s"}

_News = Iterator[tuple[float, str]]


class TrainingView:
    """A training job: its statuses, its metrics by epoch, AWS's rules and its cost so far.

    Args:
        backend: where it runs.
        name: of the job.
        price_per_hour: of an instance, in USD; None where it is not known or nothing is paid.
        polling: asks.
        screen: shows.
    """

    def __init__(
        self, backend: Backend, name: str, price_per_hour: float | None, polling: Polling, screen: Screen
    ) -> None:
        self._backend, self._name, self._price = backend, name, price_per_hour
        self._polling, self._screen = polling, screen
        self._description: dict[str, Any] = {}
        self._statuses: list[tuple[str, str]] = []
        self._rules: dict[str, str] = {}
        self._position: str | None = None
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._metrics: Mapping[str, float] = {}
        self._has_said_all = False

    def look(self) -> bool:
        """Tell what is new, in the order of its times; whether there was anything.

        Raises:
            LaunchError: there is no such job.
        """
        description = self._polling.ask(lambda: self._backend.describe_training_job(self._name))
        if description is None:
            raise unknown("training job", self._name)
        self._description = description
        news = [*self._new_statuses(), *self._new_lines(), *self._new_rules()]
        if self._log_lags():
            self._polling.pause()
            news += self._new_lines()
        for moment, text in sorted(news, key=itemgetter(0)):
            self._screen.line(f"{clock(moment)}  {text}")
        return bool(news)

    def block(self) -> list[str]:
        """One line: how far it is."""
        description = self._description
        parts = [f"{description['SecondaryStatus']}, {duration(age(description))}"]
        shown = [f"{key}={value:.4g}" for key, value in self._metrics.items() if key == "epoch" or "val/" in key]
        cost = "" if self._price is None else f"{self._usd(self._bill())} so far"
        return ["; ".join(filter(None, [*parts, " ".join(shown), cost]))]

    def end(self) -> dict[str, Any] | None:
        """The last description of a job that has completed; None while it goes on.

        Raises:
            JobFailed: it has failed, or was stopped; with what it said last.
        """
        description = self._description
        status = description["TrainingJobStatus"]
        if status not in ENDED:
            return None
        self._screen.line(self._summary(status))
        if status == "Completed":
            return description
        said = "".join(f"\n    {line}" for line in self._last)
        why = description.get("FailureReason") or self._statuses[-1][1] or description["SecondaryStatus"]
        raise JobFailed(
            got=f"{self._name} {'failed' if status == 'Failed' else 'was stopped'}: {why}"
            + (f"\n  what it said last:{said}" if said else ""),
            allowed="a job that trains to its end",
            hint=_how_to_go_on(description),
        )

    def stop(self) -> None:
        """Ask it to stop."""
        self._polling.ask(lambda: self._backend.stop_training_job(self._name))

    def _new_statuses(self) -> _News:
        entries = self._description.get("SecondaryStatusTransitions", [])
        for i, entry in enumerate(entries):
            told = entry["Status"], entry.get("StatusMessage", "").rstrip(".")
            if self._statuses[i : i + 1] == [told]:
                continue
            moment = entry["StartTime"].timestamp()
            if i < len(self._statuses):  # the same status, another message: AWS dates statuses only
                moment = self._description.get("LastModifiedTime", entry["StartTime"]).timestamp()
                took = ""
            else:
                before = entries[i - 1] if i else None
                took = f" ({before['Status']} took {moment - before['StartTime'].timestamp():,.0f} s)" if before else ""
            self._statuses[i : i + 1] = [told]
            yield moment, f"{told[0]:12} {told[1]}{took}".rstrip()

    def _new_lines(self) -> _News:
        """What the job says of its training; all that a sweep says, which tells of its trials in words of its own."""
        for _ in range(_MOST_PAGES):
            lines, position = self._polling.ask(lambda: self._backend.log_lines(self._name, self._position))
            self._position = position
            if not lines:
                return
            for line in lines:
                self._last.append(line.text)
                epochs = parse_log([(None, line.text)]).epochs
                measured = _METRIC.findall(line.text)
                self._has_said_all |= "test" in measured
                if epochs:
                    self._metrics = epochs[-1].values
                if measured or epochs or is_sweep(self._description):
                    yield line.time, line.text

    def _log_lags(self) -> bool:
        """Whether the job has ended and more of its log, which may reach us later, is to be expected."""
        status = self._description["TrainingJobStatus"]
        return status in ENDED and not (self._has_said_all if status == "Completed" else self._last)

    def _new_rules(self) -> _News:
        for kind in _RULES:
            for rule in self._description.get(kind, []):
                name, status = rule["RuleConfigurationName"], rule["RuleEvaluationStatus"]
                if self._rules.get(name) != status:
                    self._rules[name] = status
                    details = f": {rule['StatusDetails'].splitlines()[0]}" if rule.get("StatusDetails") else ""
                    moment = rule.get("LastModifiedTime", self._description["LastModifiedTime"])
                    yield moment.timestamp(), f"rule {name}: {status}{details}"

    def _summary(self, status: str) -> str:
        description, bill = self._description, self._bill()
        billed = f"{bill.seconds / 60:.1f} min billed on {machines_of(description)}"
        cost = [] if self._price is None else [f"{self._usd(bill)} at {self._price:g} an hour"]
        return ", ".join([f"{self._name}: {status}, {billed}", *saved(description), *cost])

    def _bill(self) -> Bill:
        return bill_of(self._description, None, now=datetime.now(timezone.utc))

    def _usd(self, bill: Bill) -> str:
        return usd(bill.charged / 3600 * (self._price or 0))


def _how_to_go_on(description: Mapping[str, Any]) -> str:
    setting = _TIMES.get(description["SecondaryStatus"])
    again = "the same command starts it again"
    if setting:
        return f"{again}; with more time: {setting}"
    return f"correct what it died of; {again}" if description["TrainingJobStatus"] == "Failed" else again
