"""`python -m launch.process.tuner FOLDER`: runs a tuning job, its trials one after the other."""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.backends import LogLine
from launch.process.describing import (
    objective_value,
    summarize_trial,
    training_state,
    trial_hyperparameters,
    tuning_end,
)
from launch.process.folders import STOP, SUPERVISOR, TRIALS, TUNING_JOB, Folder, begin
from launch.process.logs import read_lines, values_of
from launch.process.proposing import learn, make_proposals, texts_of
from launch.process.status import COMPLETED, ENDED, FAILED, STOPPED, STOPPING, first_state, now
from launch.process.stopping import Hyperband, is_below_median

_LOOK_S = 0.05


class Tuner:
    """Runs the tuning job of a folder.

    Args:
        folder: of it.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._request = folder.request
        self._config = self._request["HyperParameterTuningJobConfig"]
        self._objective = self._config["HyperParameterTuningJobObjective"]["MetricName"]
        self._sign = 1 if self._config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else -1
        self._state = folder.state
        self._curves: list[list[float]] = []
        self._hyperband = self._make_hyperband()

    def run(self) -> None:
        """Run it to its end."""
        try:
            end = self._run()
        except Exception as error:
            traceback.print_exc()
            end = tuning_end(FAILED, FailureReason=f"InternalServerError: {error!r}")
        self._write(end)

    def _run(self) -> dict[str, Any]:
        proposals = make_proposals(self._config)
        for parent in parents_of(self._request):
            learn(proposals, trials_of(Folder(self._folder.path.with_name(parent))))
        most = self._config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        succeeded = 0
        while (most is None or len(self._state[TRIALS]) < most) and not self._is_over():
            settings = proposals.ask(1)
            if not settings:  # all have been tried
                break
            value = self._try(texts_of(settings[0]))
            proposals.tell([value])
            succeeded += value is not None
        if self._folder.is_asked(STOP):
            return tuning_end(STOPPED)
        if not succeeded:
            return tuning_end(FAILED, FailureReason="no training job of the tuning job has ended with an objective")
        return tuning_end(COMPLETED)

    def _try(self, tuned: Mapping[str, str]) -> float | None:
        """Run a trial; the objective that it has reached."""
        job = self._start(tuned)
        curve: list[float] = []
        self._curves.append(curve)
        position: str | None = None
        while True:
            state = training_state(job)  # looked at before the log, which is then complete
            lines, position = read_lines(job.log, position)
            hopeless = self._follow(curve, lines)
            if state["TrainingJobStatus"] in ENDED:
                return objective_value(state, self._objective)
            if hopeless or self._is_over():
                job.ask(STOP)
            time.sleep(_LOOK_S)

    def _start(self, tuned: Mapping[str, str]) -> Folder:
        number = len(self._state[TRIALS]) + 1
        name = f"{self._folder.name}-{number:03d}-{secrets.token_hex(4)}"
        request = trial_request(name, self._request, tuned)
        self._write({TRIALS: [*self._state[TRIALS], {"job": name, "tuned": dict(tuned)}], "LastModifiedTime": now()})
        options = self._folder.options | {TUNING_JOB: self._folder.name}
        job = begin(self._folder.job(name).path, request, options, first_state(), SUPERVISOR)
        assert job is not None, f"{name} exists"
        return job

    def _follow(self, curve: list[float], lines: list[LogLine]) -> bool:
        """Add what was printed to the curve of the last trial; whether it is hopeless now."""
        definitions = self._request["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions", [])
        regex = next((entry["Regex"] for entry in definitions if entry["Name"] == self._objective), None)
        hopeless = False
        for _, value in values_of(lines, regex) if regex else []:
            curve.append(value)
            hopeless = hopeless or self._is_hopeless(curve)
        return hopeless

    def _is_hopeless(self, curve: list[float]) -> bool:
        if self._hyperband is not None:
            return self._hyperband.is_behind(len(self._curves) - 1, curve)
        if self._config.get("TrainingJobEarlyStoppingType", "Off") == "Auto":
            return is_below_median(curve, self._curves[:-1], self._sign)
        return False

    def _is_over(self) -> bool:
        """Whether no trial may run any more: stopped by the user, or out of time."""
        if self._folder.is_asked(STOP):
            if self._state["HyperParameterTuningJobStatus"] != STOPPING:
                self._write({"HyperParameterTuningJobStatus": STOPPING, "LastModifiedTime": now()})
            return True
        most = self._config["ResourceLimits"].get("MaxRuntimeInSeconds")
        return most is not None and (now() - self._state["CreationTime"]).total_seconds() > most

    def _write(self, change: Mapping[str, Any]) -> None:
        self._state = {**self._state, **change}
        self._folder.write_state(self._state)

    def _make_hyperband(self) -> Hyperband | None:
        if self._config["Strategy"] != "Hyperband":
            return None
        resource = self._config["StrategyConfig"]["HyperbandStrategyConfig"]
        return Hyperband(resource["MinResource"], resource["MaxResource"], self._sign)


def trial_request(name: str, request: Mapping[str, Any], tuned: Mapping[str, str]) -> dict[str, Any]:
    """The CreateTrainingJob request of a trial.

    Its checkpoints are its own: below the prefix of the tuning job, under its name.

    Args:
        name: of its job.
        request: a CreateHyperParameterTuningJob request.
        tuned: what was chosen for it, as texts.
    """
    definition = dict(request["TrainingJobDefinition"])
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    trial = {
        **{key: value for key, value in definition.items() if key != "StaticHyperParameters"},
        "TrainingJobName": name,
        "HyperParameters": trial_hyperparameters(definition, tuned, objective),
        "Tags": request.get("Tags", []),  # AWS hands a tuning job's tags on to its jobs
    }
    if "CheckpointConfig" in trial:
        prefix = trial["CheckpointConfig"]["S3Uri"].rstrip("/")
        trial["CheckpointConfig"] = {**trial["CheckpointConfig"], "S3Uri": f"{prefix}/{name}"}
    return trial


def trials_of(folder: Folder) -> list[dict[str, Any]]:
    """The HyperParameterTrainingJobSummary entries of a tuning job, in the order of their creation."""
    config = folder.request["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    chosen = [(folder.job(trial["job"]), trial["tuned"]) for trial in folder.state[TRIALS]]
    return [summarize_trial(job, tuned, objective) for job, tuned in chosen if job.exists]


def parents_of(request: Mapping[str, Any]) -> list[str]:
    """The tuning jobs that a request wants to learn from."""
    parents = request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
    return [parent["HyperParameterTuningJobName"] for parent in parents]


if __name__ == "__main__":
    Tuner(Folder(Path(sys.argv[1]))).run()
