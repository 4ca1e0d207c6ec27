"""The exact requests that are sent: CreateTrainingJob and CreateHyperParameterTuningJob. Pure: no torch, no SDK.

Source of names, limits and meanings: the API reference of Amazon SageMaker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from dogbreed.errors import ConfigError, did_you_mean
from launch.machines import machines
from launch.names import ARCHIVE, CODE, COMMAND, LAUNCH_TAG, PROCESSES, REVISION
from launch.settings import JobSettings, TunerSettings

#: Unpacks the code and starts the entry by Python itself, which gets SageMaker's SIGTERM; AWS's toolkit forwards none.
_START = (
    f"mkdir -p /opt/ml/code && tar -xzf /opt/ml/input/data/{CODE}/{ARCHIVE} -C /opt/ml/code "
    "&& cd /opt/ml/code && exec bash launch/start.sh"
)
#: What AWS's toolkit starts in the jobs of a tuning job, which take no entry point of the container's.
_PROGRAM = "launch/entry.py"
#: What a tag may not hold, as far as names of experiments go.
_UNFIT = re.compile(r"[^\w.:/=+@ -]")

Request = dict[str, Any]


def request_text(content: Request, style: str) -> str:
    """Requests as they are shown.

    Args:
        content: of one request, or several by their names.
        style: "yaml" or "json".

    Raises:
        ConfigError: another style.
    """
    styles = ("yaml", "json")
    if style not in styles:
        raise ConfigError(f"format={style}{did_you_mean(str(style), styles)}", ", ".join(styles), "set format")
    text = json.dumps(content, indent=2)
    if style == "json":
        return text
    # Read again, so that one list of tags in several requests is no anchor.
    return yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True, width=120).rstrip()


@dataclass(frozen=True)
class Place:
    """What the account says.

    Attributes:
        role: ARN of the job's IAM role.
        bucket: for code, data and results.
        image: URI of the container.
        region: of all of them.
    """

    role: str
    bucket: str
    image: str
    region: str


@dataclass(frozen=True)
class Work:
    """What a job does.

    Attributes:
        hyperparameters: the overrides, see launch.overrides.
        code: s3://BUCKET/PREFIX/ of the archive of the code.
        channels: name -> s3://BUCKET/PREFIX.
        metrics: what to read off the log, as MetricDefinitions.
        processes: that train together on each host.
        command: what Python runs, where it is not `-m dogbreed.train`.
        debugger: DebugHookConfig, DebugRuleConfigurations and the like, as AWS takes them.
        revision: of the code, by git; empty where it is not known.
        launch: the launch that this belongs to: two jobs of one launch and name are one.
        experiment: to find it by.
    """

    hyperparameters: Mapping[str, str]
    code: str
    channels: Mapping[str, str]
    metrics: Sequence[Mapping[str, str]]
    processes: int = 1
    command: Sequence[str] = ()
    debugger: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    launch: str = ""
    experiment: str = ""


def build_training_job(name: str, settings: JobSettings, place: Place, work: Work) -> Request:
    """The CreateTrainingJob request of a run."""
    algorithm = _algorithm(settings, place, work) | {
        "ContainerEntrypoint": ["bash", "-c", _START],
        "EnableSageMakerMetricsTimeSeries": True,
    }
    request: Request = {
        "TrainingJobName": name,
        "HyperParameters": dict(work.hyperparameters),
        "AlgorithmSpecification": algorithm,
        **_definition(settings, place, work),
        "Tags": tags(settings, work),
        **work.debugger,
    }
    if settings.checkpoints:
        request["CheckpointConfig"] = _checkpoints(settings, place, name)
    if settings.tensorboard:
        where = {
            "S3OutputPath": _uri(settings, place, "tensorboard"),
            "LocalPath": f"{run_directory(name)}/tensorboard",
        }
        request["TensorBoardOutputConfig"] = where
    return request


def build_tuning_job(
    name: str,
    settings: JobSettings,
    tuner: TunerSettings,
    place: Place,
    work: Work,
    *,
    ranges: Mapping[str, Sequence[Mapping[str, Any]]],
    objective: str,
    direction: str,
    epochs: int,
) -> Request:
    """The CreateHyperParameterTuningJob request of a search space.

    Args:
        name: of the tuning job.
        settings: of each job.
        tuner: of the search.
        place: of the account.
        work: of each job; its hyperparameters are those that do not vary.
        ranges: ParameterRanges.
        objective: the metric, as in `work.metrics`.
        direction: "min" or "max".
        epochs: of a whole job: what Hyperband gives out.
    """
    config: Request = {
        "Strategy": tuner.strategy,
        "HyperParameterTuningJobObjective": {"Type": f"{direction.capitalize()}imize", "MetricName": objective},
        "ResourceLimits": {"MaxParallelTrainingJobs": tuner.max_parallel},
        "ParameterRanges": {kind: list(entries) for kind, entries in ranges.items()},
        "TrainingJobEarlyStoppingType": "Auto" if tuner.early_stopping else "Off",
        "RandomSeed": tuner.seed,
    }
    if tuner.strategy != "Grid":  # which counts its jobs itself
        config["ResourceLimits"]["MaxNumberOfTrainingJobs"] = tuner.n_trials
    if tuner.max_runtime_s is not None:
        config["ResourceLimits"]["MaxRuntimeInSeconds"] = tuner.max_runtime_s
    if tuner.strategy == "Hyperband":
        # Each time that the objective is printed counts as one; the line at the end of a run is one more.
        resource = {"MinResource": tuner.min_epochs or 1, "MaxResource": epochs + 1}
        config["StrategyConfig"] = {"HyperbandStrategyConfig": resource}
    # Without a network the toolkit cannot fetch the code from S3; the channel brings it in any case.
    archive = f"/opt/ml/input/data/{CODE}/{ARCHIVE}" if settings.network_isolation else f"{work.code}{ARCHIVE}"
    toolkit = {
        "sagemaker_program": json.dumps(_PROGRAM),
        "sagemaker_submit_directory": json.dumps(archive),
        "sagemaker_region": json.dumps(place.region),
    }
    definition: Request = {
        "StaticHyperParameters": {**work.hyperparameters, **toolkit},
        "AlgorithmSpecification": _algorithm(settings, place, work),
        **_definition(settings, place, work),
    }
    if settings.checkpoints and settings.spot:
        # All jobs share one prefix, and each fetches what the others have left there: only for what may be interrupted.
        definition["CheckpointConfig"] = _checkpoints(settings, place, name)
    request: Request = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": definition,
        "Tags": tags(settings, work),
    }
    if tuner.warm_start_from:
        parents = [{"HyperParameterTuningJobName": parent} for parent in tuner.warm_start_from]
        request["WarmStartConfig"] = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": tuner.warm_start_type}
    return request


def run_directory(job: str) -> str:
    """Where a job has its run in the container: among the checkpoints, under its own name."""
    return f"/opt/ml/checkpoints/{job}"


def tags(settings: JobSettings, work: Work) -> list[dict[str, str]]:
    """The tags of whatever a launch makes."""
    own = {LAUNCH_TAG: work.launch, "dogbreed:experiment": work.experiment}
    fit = {key: _UNFIT.sub("-", text) for key, text in own.items() if text}
    named = {**fit, **settings.tags}
    return [{"Key": key, "Value": text} for key, text in named.items()]


def _algorithm(settings: JobSettings, place: Place, work: Work) -> Request:
    return {
        "TrainingImage": place.image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [dict(metric) for metric in work.metrics],
    }


def _definition(settings: JobSettings, place: Place, work: Work) -> Request:
    """What a training job and the definition in a tuning job have in common."""
    resources: Request = {
        "InstanceType": settings.instance_type,
        "InstanceCount": settings.instance_count,
        "VolumeSizeInGB": settings.volume_size_gb,
    }
    output: Request = {"S3OutputPath": _uri(settings, place, "jobs")}
    stopping: Request = {"MaxRuntimeInSeconds": settings.max_run_s}
    if settings.kms_key:
        output["KmsKeyId"] = settings.kms_key
        machine = machines().get(settings.instance_type)
        if machine is None or not machine.nvme_gb:  # disks of its own are encrypted by the hardware, and take no key
            resources["VolumeKmsKeyId"] = settings.kms_key
    if settings.keep_alive_s:
        resources["KeepAlivePeriodInSeconds"] = settings.keep_alive_s
    if settings.max_wait_s is not None:
        stopping["MaxWaitTimeInSeconds"] = settings.max_wait_s
    definition: Request = {
        "RoleArn": place.role,
        "InputDataConfig": [
            *(_channel(name, uri, settings.input_mode) for name, uri in sorted(work.channels.items())),
            _channel(CODE, work.code, "File"),
        ],
        "OutputDataConfig": output,
        "ResourceConfig": resources,
        "StoppingCondition": stopping,
        "EnableNetworkIsolation": settings.network_isolation,
        "EnableInterContainerTrafficEncryption": settings.encrypt_traffic,
        "EnableManagedSpotTraining": settings.spot,
        "Environment": _environment(settings, work),
    }
    if settings.subnets:
        definition["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    if settings.retries:
        definition["RetryStrategy"] = {"MaximumRetryAttempts": settings.retries}
    return definition


def _channel(name: str, uri: str, mode: str) -> Request:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def _environment(settings: JobSettings, work: Work) -> dict[str, str]:
    told = {PROCESSES: str(work.processes)}
    if work.revision:
        told[REVISION] = work.revision
    if work.command:
        told[COMMAND] = json.dumps(list(work.command))
    return {**told, **settings.environment}


def _checkpoints(settings: JobSettings, place: Place, name: str) -> Request:
    return {"S3Uri": _uri(settings, place, f"checkpoints/{name}"), "LocalPath": "/opt/ml/checkpoints"}


def _uri(settings: JobSettings, place: Place, folder: str) -> str:
    return "/".join(["s3:/", place.bucket, *filter(None, [settings.prefix.strip("/")]), folder])
