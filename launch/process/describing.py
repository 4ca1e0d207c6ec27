"""What SageMaker's API would say of a job, made of what its folder holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from launch.names import output_uri
from launch.process.ending import end_processes
from launch.process.folders import STOP, TRIALS, TUNING_JOB, Folder, State
from launch.process.results import MODEL
from launch.process.status import COMPLETED, ENDED, FAILED, IN_PROGRESS, STOPPED, failed, now

Description = dict[str, Any]

#: How the ARN of a job begins: of the region "local", where AWS has none.
ARN = "arn:aws:sagemaker:local:000000000000"
_GONE = "InternalServerError: the process that ran the job is gone; a reboot ends it, and kill -9"
_OBJECTIVE = "_tuning_objective_metric"
#: What a summary of a trial takes from the description of its job.
_SHARED = (
    *("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime"),
    *("TrainingJobStatus", "FailureReason"),
)
#: What a summary of a tuning job takes from its description.
_OF_TUNING = (
    *("HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus"),
    *("CreationTime", "HyperParameterTuningEndTime", "LastModifiedTime"),
    *("TrainingJobStatusCounters", "ObjectiveStatusCounters"),
)


def training_arn(name: str) -> str:
    """The ARN of a training job.

    >>> training_arn("a")
    'arn:aws:sagemaker:local:000000000000:training-job/a'
    """
    return f"{ARN}:training-job/{name}"


def tuning_arn(name: str) -> str:
    """The ARN of a tuning job.

    >>> tuning_arn("a")
    'arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/a'
    """
    return f"{ARN}:hyper-parameter-tuning-job/{name}"


def training_state(folder: Folder) -> State:
    """The state of a training job; one that nobody runs any more has failed, and what was left of it is ended."""
    state = folder.state
    if state["TrainingJobStatus"] in ENDED or folder.is_attended:
        return state
    state = folder.state  # it may have ended between the two looks
    if state["TrainingJobStatus"] not in ENDED:
        end_processes(folder.bases)
        state = failed(state, _GONE)
        folder.write_state(state)
    return state


def tuning_state(folder: Folder) -> State:
    """The state of a tuning job; one that nobody runs any more has failed, and its trial is asked to stop."""
    state = folder.state
    if state["HyperParameterTuningJobStatus"] in ENDED or folder.is_attended:
        return state
    state = folder.state
    if state["HyperParameterTuningJobStatus"] not in ENDED:
        for trial in (folder.job(trial["job"]) for trial in state[TRIALS]):
            if trial.exists and trial.state["TrainingJobStatus"] not in ENDED:
                trial.ask(STOP)
        state |= tuning_end(FAILED, FailureReason=_GONE)
        folder.write_state(state)
    return state


def tuning_end(status: str, **more: Any) -> State:
    """What the state of a tuning job becomes at its end."""
    moment = now()
    times = {"LastModifiedTime": moment, "HyperParameterTuningEndTime": moment}
    return {"HyperParameterTuningJobStatus": status, **times, **more}


def describe_training(folder: Folder) -> Description:
    """DescribeTrainingJob's answer, with the Tags beside it."""
    request = folder.request
    tuning_job = folder.options[TUNING_JOB]
    return {
        **request,
        **training_state(folder),
        "TrainingJobArn": training_arn(folder.name),
        "ModelArtifacts": {"S3ModelArtifacts": output_uri(request, MODEL)},
        "Tags": request.get("Tags", []),
        **({"TuningJobArn": tuning_arn(tuning_job)} if tuning_job else {}),
    }


def summarize_trial(folder: Folder, tuned: Mapping[str, str], objective: str) -> Description:
    """A HyperParameterTrainingJobSummary.

    Args:
        folder: of the trial's job.
        tuned: the hyperparameters that were chosen for it.
        objective: the metric.
    """
    state = training_state(folder) | {
        "TrainingJobName": folder.name,
        "TrainingJobArn": training_arn(folder.name),
    }
    summary = {key: state[key] for key in _SHARED if key in state} | {"TunedHyperParameters": dict(tuned)}
    value = objective_value(state, objective)
    if value is not None:
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": objective, "Value": value}
    ended = state["TrainingJobStatus"] in ENDED
    summary["ObjectiveStatus"] = "Succeeded" if value is not None else "Failed" if ended else "Pending"
    return summary


def describe_tuning(folder: Folder, trials: Sequence[Description]) -> Description:
    """DescribeHyperParameterTuningJob's answer, with the Tags beside it.

    Its MaxParallelTrainingJobs is 1, whatever was asked for: that is how they run here.

    Args:
        folder: of the tuning job.
        trials: its summaries.
    """
    request, state = folder.request, tuning_state(folder)
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    objective = config["HyperParameterTuningJobObjective"]
    static = {**definition.get("StaticHyperParameters", {}), _OBJECTIVE: objective["MetricName"]}
    answer = {
        "HyperParameterTuningJobName": folder.name,
        "HyperParameterTuningJobArn": tuning_arn(folder.name),
        "HyperParameterTuningJobConfig": {
            **config,
            "ResourceLimits": {**config["ResourceLimits"], "MaxParallelTrainingJobs": 1},
        },
        "TrainingJobDefinition": {**definition, "StaticHyperParameters": static},
        **{key: value for key, value in state.items() if key != TRIALS},
        "TrainingJobStatusCounters": _count_status(trials),
        "ObjectiveStatusCounters": {"Succeeded": 0, "Pending": 0, "Failed": 0}
        | Counter(trial["ObjectiveStatus"] for trial in trials),
        "ConsumedResources": {"RuntimeInSeconds": _seconds(state)},
    }
    if "WarmStartConfig" in request:
        answer["WarmStartConfig"] = request["WarmStartConfig"]
    best = best_trial(trials, objective["Type"])
    return answer | ({"BestTrainingJob": best} if best else {}) | {"Tags": request.get("Tags", [])}


def summarize_tuning(description: Description) -> Description:
    """A HyperParameterTuningJobSummary."""
    config = description["HyperParameterTuningJobConfig"]
    shared = {key: description[key] for key in _OF_TUNING if key in description}
    return {**shared, "Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}


def trial_hyperparameters(definition: Mapping[str, Any], tuned: Mapping[str, str], objective: str) -> dict[str, str]:
    """The hyperparameters of a trial's job: those that hold for all, its own, and what the tuner adds."""
    return {**definition.get("StaticHyperParameters", {}), **tuned, _OBJECTIVE: objective}


def objective_value(state: Mapping[str, Any], objective: str) -> float | None:
    """The last value of the objective that a job has printed; None where that is no number."""
    for metric in state.get("FinalMetricDataList", []):
        if metric["MetricName"] == objective and state["TrainingJobStatus"] in (COMPLETED, STOPPED):
            return None if math.isnan(metric["Value"]) else float(metric["Value"])
    return None


def best_trial(trials: Sequence[Description], kind: str) -> Description | None:
    """The best of those that ran to their end, the first of equals.

    Args:
        trials: summaries.
        kind: "Maximize" or "Minimize".
    """
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    ended = [trial for trial in trials if trial["TrainingJobStatus"] == COMPLETED and metric in trial]
    sign = -1 if kind == "Maximize" else 1
    return min(ended, key=lambda trial: sign * trial[metric]["Value"], default=None)


def _count_status(trials: Sequence[Description]) -> dict[str, int]:
    counted = Counter(trial["TrainingJobStatus"] for trial in trials)
    return {
        "Completed": counted[COMPLETED],
        "InProgress": counted[IN_PROGRESS] + counted["Stopping"],
        "RetryableError": 0,
        "NonRetryableError": counted[FAILED],
        "Stopped": counted[STOPPED],
    }


def _seconds(state: State) -> int:
    end: datetime = state.get("HyperParameterTuningEndTime") or now()
    return math.ceil((end - state["CreationTime"]).total_seconds())
