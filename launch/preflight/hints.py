"""Which setting a part of a request comes from."""

from __future__ import annotations

import re

DEFINITION = "TrainingJobDefinition."

_SETTINGS = {
    "HyperParameters": "the overrides of the job",
    "StaticHyperParameters": "the overrides of the job",
    "AlgorithmSpecification.TrainingImage": "sagemaker.image",
    "AlgorithmSpecification.TrainingInputMode": "sagemaker.input_mode",
    "AlgorithmSpecification.MetricDefinitions": "monitor, and the metrics that are sent with it",
    "RoleArn": "sagemaker.role",
    "InputDataConfig": "sagemaker.channels",
    "OutputDataConfig.S3OutputPath": "sagemaker.bucket or sagemaker.prefix",
    "OutputDataConfig.KmsKeyId": "sagemaker.kms_key",
    "ResourceConfig.InstanceType": "sagemaker.instance_type",
    "ResourceConfig.InstanceCount": "sagemaker.instance_count",
    "ResourceConfig.VolumeSizeInGB": "sagemaker.volume_size_gb",
    "ResourceConfig.VolumeKmsKeyId": "sagemaker.kms_key",
    "ResourceConfig.KeepAlivePeriodInSeconds": "sagemaker.keep_alive_s",
    "VpcConfig.Subnets": "sagemaker.subnets",
    "VpcConfig.SecurityGroupIds": "sagemaker.security_groups",
    "VpcConfig": "sagemaker.subnets and sagemaker.security_groups",
    "StoppingCondition.MaxRuntimeInSeconds": "sagemaker.max_run_s",
    "StoppingCondition.MaxWaitTimeInSeconds": "sagemaker.max_wait_s",
    "Tags": "sagemaker.tags",
    "EnableNetworkIsolation": "sagemaker.network_isolation",
    "EnableInterContainerTrafficEncryption": "sagemaker.encrypt_traffic",
    "EnableManagedSpotTraining": "sagemaker.spot",
    "CheckpointConfig": "sagemaker.checkpoints, sagemaker.bucket or sagemaker.prefix",
    "DebugHookConfig": "hook, or sagemaker.debugger=null",
    "DebugRuleConfigurations": "sagemaker.debugger=null",
    "ProfilerConfig": "sagemaker.debugger=null",
    "ProfilerRuleConfigurations": "sagemaker.debugger=null",
    "TensorBoardOutputConfig": "sagemaker.tensorboard, sagemaker.bucket or sagemaker.prefix",
    "Environment": "sagemaker.environment",
    "RetryStrategy": "sagemaker.retries",
    "HyperParameterTuningJobConfig.Strategy": "sagemaker.tuner.strategy",
    "HyperParameterTuningJobConfig.StrategyConfig": "sagemaker.tuner.min_epochs or trainer.max_epochs",
    "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective": "monitor",
    "HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs": "sagemaker.tuner.n_trials",
    "HyperParameterTuningJobConfig.ResourceLimits.MaxParallelTrainingJobs": "sagemaker.tuner.max_parallel",
    "HyperParameterTuningJobConfig.ResourceLimits.MaxRuntimeInSeconds": "sagemaker.tuner.max_runtime_s",
    "HyperParameterTuningJobConfig.ParameterRanges": "search_space",
    "HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType": "sagemaker.tuner.early_stopping",
    "HyperParameterTuningJobConfig.RandomSeed": "sagemaker.tuner.seed",
    "WarmStartConfig.ParentHyperParameterTuningJobs": "sagemaker.tuner.warm_start_from",
    "WarmStartConfig.WarmStartType": "sagemaker.tuner.warm_start_type",
}
_NAMES = ("TrainingJobName", "HyperParameterTuningJobName")
_KEYED = re.compile(r"(HyperParameters|StaticHyperParameters|Environment)\[(.+)\]$")


def remedy(where: str) -> str:
    """What to change for a part of a request.

    >>> remedy("TrainingJobDefinition.ResourceConfig.InstanceType"), remedy("Environment[MODE]")
    ('set sagemaker.instance_type', 'set sagemaker.environment.MODE')
    """
    path = where.removeprefix(DEFINITION)
    if keyed := _KEYED.match(path):
        section, key = keyed.groups()
        return f"set sagemaker.environment.{key}" if section == "Environment" else f"change the override of {key}"
    if path in _NAMES:
        return "make the name by launch.names.job_name"
    names = re.split(r"[.\[]", path)
    for length in range(len(names), 0, -1):
        if setting := _SETTINGS.get(".".join(names[:length])):
            return f"set {setting}"
    return "leave it as launch.requests builds it"
