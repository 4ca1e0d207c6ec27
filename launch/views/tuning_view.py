"""What a tuning job does, told as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from launch.backends import Backend
from launch.errors import JobFailed
from launch.files.fetching import ENDED
from launch.views.leaderboard import leaderboard, objective_of
from launch.views.polling import Polling
from launch.views.screen import Screen
from launch.views.telling import age, clock, duration, unknown, usd

#: What AWS counts trials by -> what a person is told.
COUNTERS = {
    "Completed": "completed",
    "InProgress": "running",
    "RetryableError": "tried again",
    "NonRetryableError": "failed",
    "Stopped": "stopped",
}


class TuningView:
    """A tuning job: its counters, its trials as they end, the best so far and the cost.

    Args:
        backend: where it runs.
        name: of the tuning job.
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
        self._trials: list[dict[str, Any]] = []
        self._told: set[str] = set()
        self._counters = ""
        self._best: float | None = None

    def look(self) -> bool:
        """Tell what is new; whether there was anything.

        Raises:
            LaunchError: there is no such tuning job.
        """
        description = self._polling.ask(lambda: self._backend.describe_tuning_job(self._name))
        if description is None:
            raise unknown("tuning job", self._name)
        self._description = description
        self._trials = self._polling.ask(lambda: self._backend.list_trials(self._name))
        news = [*self._new_trials(), *self._new_counters()]
        for text in news:
            self._screen.line(text)
        return bool(news)

    def block(self) -> list[str]:
        """The leaderboard, and a line: how far it is."""
        status = self._description["HyperParameterTuningJobStatus"]
        parts = [f"{status}, {duration(age(self._description))}", self._counters]
        return [*self._leaderboard(), "; ".join([*parts, *self._cost(" so far")])]

    def end(self) -> dict[str, Any] | None:
        """The last description of one that has completed or was stopped; None while it goes on.

        Raises:
            JobFailed: it has failed.
        """
        status = self._description["HyperParameterTuningJobStatus"]
        if status not in ENDED:
            return None
        for line in self._leaderboard():
            self._screen.line(line)
        self._screen.line(", ".join([f"{self._name}: {status}", self._counters, *self._cost("")]))
        if status == "Failed":
            raise JobFailed(
                f"{self._name} failed: {self._description.get('FailureReason', 'no reason is given')}",
                "a tuning job with a trial that trains to its end",
                "look at the log of a trial: python -m launch.jobs logs TRIAL",
            )
        return self._description

    def stop(self) -> None:
        """Ask it and its trials to stop."""
        self._polling.ask(lambda: self._backend.stop_tuning_job(self._name))

    def _new_trials(self) -> Iterator[str]:
        """Those that have ended, once it is known what they reached."""
        over = self._description["HyperParameterTuningJobStatus"] in ENDED
        for number, trial in enumerate(self._trials):
            name, status = trial["TrainingJobName"], trial["TrainingJobStatus"]
            pending = trial.get("ObjectiveStatus") == "Pending" and not over
            if name not in self._told and status in ENDED and not pending:
                self._told.add(name)
                params = " ".join(f"{key}={text}" for key, text in trial.get("TunedHyperParameters", {}).items())
                when = trial.get("TrainingEndTime", trial["CreationTime"]).timestamp()
                yield f"{clock(when)}  trial {number} {status}{self._reached(trial)}  {params}"

    def _reached(self, trial: Mapping[str, Any]) -> str:
        value = objective_of(trial)
        if value is None:
            return f": {trial['FailureReason']}" if trial.get("FailureReason") else ": no objective"
        sign = 1 if self._direction == "max" else -1
        best = self._best is None or sign * value > sign * self._best
        if best:
            self._best = value
        metric = trial["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"]
        return f": {metric}={value:.4f}{', the best so far' if best else ''}"

    def _new_counters(self) -> Iterator[str]:
        found = self._description.get("TrainingJobStatusCounters", {})
        known = [f"{found[key]} {word}" for key, word in COUNTERS.items() if found.get(key)]
        most = self._description["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        text = f"{', '.join(known) or 'no trial yet'}{f' of {most} trials' if most else ''}"
        if text != self._counters:
            self._counters = text
            if not self._screen.is_terminal:  # which has it in its block
                yield text

    def _leaderboard(self) -> list[str]:
        return leaderboard(self._trials, self._direction).splitlines()

    @property
    def _direction(self) -> str:
        objective = self._description["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        return "max" if objective["Type"] == "Maximize" else "min"

    def _cost(self, so_far: str) -> list[str]:
        """By the clock, which is the most: what spot capacity saves, a trial's summary does not tell."""
        if self._price is None:
            return []
        now = datetime.now(timezone.utc)
        spans = (
            (trial.get("TrainingEndTime", now) - trial["TrainingStartTime"]).total_seconds()
            for trial in self._trials
            if "TrainingStartTime" in trial
        )
        instances = self._description["TrainingJobDefinition"]["ResourceConfig"].get("InstanceCount", 1)
        return [f"{usd(sum(spans) * instances / 3600 * self._price)}{so_far} at most"]
