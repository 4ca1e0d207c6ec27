from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from launch.preflight.checks import check_training_job, check_tuning_job
from launch.preflight.problems import Context
from launch.requests import Request

Make = Callable[..., Request]


@pytest.mark.parametrize("chosen", ["default", "spot", "ddp"])
def test_training_job__as_conf_makes_it_has_no_problem(training: Make, known: Context, chosen: str) -> None:
    assert check_training_job(training(f"sagemaker/job={chosen}"), known) == []


@pytest.mark.parametrize("strategy", ["bayesian", "random", "hyperband", "grid"])
def test_tuning_job__as_conf_makes_it_has_no_problem(tuning: Make, known: Context, strategy: str) -> None:
    assert check_tuning_job(tuning(f"sagemaker/tuner={strategy}"), known) == []


def test_training_job__with_nothing_known_beside_it_has_no_problem(training: Make) -> None:
    assert check_training_job(training(), Context()) == []


def _break(request: Request) -> Request:
    """Mistakes that can stand in one request."""
    channels = request["InputDataConfig"]
    channels[0]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://My_Bucket/photos"
    channels[0]["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    channels[0]["InputMode"] = "FastFile"
    channels.append({**channels[1], "ChannelName": "data"})
    channels[1]["CompressionType"] = "Gzip"
    definitions = request["AlgorithmSpecification"]["MetricDefinitions"]
    definitions[0]["Regex"] = "train/loss=(["
    definitions[1]["Regex"] = "x" * 501
    definitions[2]["Name"] = definitions[1]["Name"]
    definitions[3]["Regex"] = "val_acc=([0-9.]+)"
    request["ResourceConfig"] |= {
        "InstanceType": "ml.g4dn.xlarge",
        "InstanceCount": "one",
        "VolumeSizeInGB": 500,
        "VolumeKmsKeyId": "0123",
        "KeepAlivePeriodInSeconds": 22_000,
    }
    request["Environment"] |= {
        "1ST": "a name cannot begin so",
        "LONG": "x" * 513,
        "AWS_SECRET_ACCESS_KEY": "not said",
        "WANDB_API_KEY": "not said",
    }
    request["Tags"] += [
        {"Key": "aws:project", "Value": "dogs"},
        {"Key": "dogbreed:launch", "Value": "again"},
        {"Key": "cost#centre", "Value": "7"},
    ]
    request["HyperParameters"]["notes"] = "x" * 2501
    request["DebugHookConfig"] = {
        "S3OutputPath": "s3://bucket/debug",
        "CollectionConfigurations": [
            {"CollectionName": "bad", "CollectionParameters": {"include_regex": "("}},
            {"CollectionName": "none", "CollectionParameters": {"include_regex": "Network_haed"}},
        ],
    }
    request["DebugRuleConfigurations"] = [{"RuleConfigurationName": "Overfit", "RuleEvaluatorImage": "image"}]
    request |= {
        "TrainingJobName": "lr_batch",
        "RoleArn": "SageMaker",
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3_000_000, "MaxWaitTimeInSeconds": 3600},
        "RetryStrategy": {"MaximumRetryAttempts": 31},
        "VpcConfig": {"Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": "yes",
        "OutputDataConfig": {"S3OutputPath": "https://bucket/jobs", "Kms": "0123"},
    }
    return request


BROKEN = {
    "AlgorithmSpecification.MetricDefinitions[0].Regex": "EPOCH_METRIC_PATTERN",
    "AlgorithmSpecification.MetricDefinitions[1].Regex": "monitor",
    "AlgorithmSpecification.MetricDefinitions[2].Name": "monitor",
    "AlgorithmSpecification.MetricDefinitions[3].Regex": "EPOCH_METRIC_PATTERN",
    "DebugHookConfig": "sagemaker.checkpoints=false",
    "DebugHookConfig.CollectionConfigurations[0].CollectionParameters[include_regex]": "hook.collections.bad",
    "DebugHookConfig.CollectionConfigurations[1].CollectionParameters[include_regex]": "hook.collections.none",
    "DebugRuleConfigurations[0].RuleParameters": "sagemaker.debugger",
    "EnableNetworkIsolation": "sagemaker.network_isolation",
    "Environment": "sagemaker.environment",
    "Environment[AWS_SECRET_ACCESS_KEY]": "sagemaker.role",
    "Environment[LONG]": "sagemaker.environment.LONG",
    "Environment[WANDB_API_KEY]": "Secrets Manager",
    "HyperParameters[notes]": "notes",
    "InputDataConfig[0].DataSource.S3DataSource.S3Uri": "sagemaker.channels.data",
    "InputDataConfig[0].InputMode": "sagemaker.input_mode=File",
    "InputDataConfig[1].CompressionType": "sagemaker.channels",
    "InputDataConfig[2].ChannelName": "sagemaker.channels",
    "OutputDataConfig.Kms": "launch.requests",
    "OutputDataConfig.S3OutputPath": "sagemaker.bucket",
    "ResourceConfig.InstanceCount": "sagemaker.instance_count",
    "ResourceConfig.InstanceType": "trainer.devices",
    "ResourceConfig.KeepAlivePeriodInSeconds": "sagemaker.keep_alive_s",
    "ResourceConfig.VolumeKmsKeyId": "sagemaker.kms_key",
    "ResourceConfig.VolumeSizeInGB": "sagemaker.volume_size_gb",
    "RetryStrategy.MaximumRetryAttempts": "sagemaker.retries",
    "RoleArn": "sagemaker.role",
    "StoppingCondition.MaxRuntimeInSeconds": "sagemaker.max_run_s",
    "StoppingCondition.MaxWaitTimeInSeconds": "sagemaker.max_wait_s",
    "Tags[2].Key": "sagemaker.tags",
    "Tags[3].Key": "sagemaker.tags",
    "Tags[4].Key": "sagemaker.tags",
    "TrainingJobName": "launch.names.job_name",
    "VpcConfig.SecurityGroupIds": "sagemaker.security_groups",
    "data.batch_size": "data.batch_size",
    "trainer.precision": "trainer.precision",
}


def test_training_job__every_mistake_at_once_each_with_its_remedy(training: Make, known: Context) -> None:
    context = replace(known, devices=2, precision="bf16-mixed", batch_size=10_000)
    found = check_training_job(_break(training()), context)
    assert {problem.where for problem in found} == BROKEN.keys()
    assert len(BROKEN) >= 30
    for where, remedy in BROKEN.items():
        assert any(remedy in problem.hint for problem in found if problem.where == where), where
    assert "not said" not in repr(found)


def test_training_job__the_fatal_come_first_then_by_where(training: Make, known: Context) -> None:
    found = check_training_job(_break(training()), replace(known, devices=2, batch_size=10_000))
    assert found == sorted(found, key=lambda problem: (not problem.fatal, problem.where))
    assert {problem.fatal for problem in found} == {True, False}


def _set(**changes: Any) -> Callable[[Request], None]:
    return lambda request: request.update(changes)


ALONE: dict[str, tuple[Callable[[Request], Any], str]] = {
    "no image": (lambda r: r["AlgorithmSpecification"].pop("TrainingImage"), "AlgorithmSpecification.TrainingImage"),
    "two": (lambda r: r["AlgorithmSpecification"].update(AlgorithmName="mine"), "AlgorithmSpecification.TrainingImage"),
    "no role": (lambda r: r.pop("RoleArn"), "RoleArn"),
    "no such instance": (
        lambda r: r["ResourceConfig"].update(InstanceType="ml.g5.xlrage"),
        "ResourceConfig.InstanceType",
    ),
    "no instance": (lambda r: r["ResourceConfig"].update(InstanceCount=0), "ResourceConfig.InstanceCount"),
    "no such member": (_set(Role="x"), "Role"),
    "no channel": (_set(InputDataConfig=[]), "InputDataConfig"),
    "too many hyperparameters": (_set(HyperParameters={f"key{n}": "1" for n in range(101)}), "HyperParameters"),
    "wait without spot": (
        lambda r: r["StoppingCondition"].update(MaxWaitTimeInSeconds=90_000),
        "StoppingCondition.MaxWaitTimeInSeconds",
    ),
    "spot without wait": (_set(EnableManagedSpotTraining=True), "StoppingCondition.MaxWaitTimeInSeconds"),
    "too many tags": (
        _set(Tags=[{"Key": f"key{n}", "Value": ""} for n in range(51)]),
        "Tags",
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_training_job__a_mistake_alone_is_found_alone(training: Make, known: Context, case: str) -> None:
    request, (change, where) = training(), ALONE[case]
    change(request)
    assert [problem.where for problem in check_training_job(request, known)] == [where]


def test_tuning_job__mistakes_are_found_in_all_its_parts(tuning: Make, known: Context) -> None:
    request = tuning()
    request["HyperParameterTuningJobName"] += "-too-long"
    request["Tags"] += [{"Key": "password", "Value": "x"}]
    definition = request["TrainingJobDefinition"]
    definition["DebugHookConfig"] = {"S3OutputPath": "s3://bucket/debug"}
    definition["AlgorithmSpecification"]["ContainerEntrypoint"] = ["bash"]
    definition["ResourceConfig"]["VolumeSizeInGB"] = 300
    definition["Environment"] = {f"KEY{n}": "" for n in range(49)}
    assert {problem.where for problem in check_tuning_job(request, replace(known, tensor_names=None))} == {
        "HyperParameterTuningJobName",
        "Tags[2]",
        "TrainingJobDefinition.DebugHookConfig",
        "TrainingJobDefinition.AlgorithmSpecification.ContainerEntrypoint",
        "TrainingJobDefinition.ResourceConfig.VolumeSizeInGB",
        "TrainingJobDefinition.Environment",
    }


def test_problem__reads_as_an_error_does(training: Make) -> None:
    request = training()
    request["ResourceConfig"]["InstanceType"] = "ml.g5.xlrage"
    (problem,) = check_training_job(request, Context())
    assert str(problem).splitlines()[0] == (
        "ResourceConfig.InstanceType: ml.g5.xlrage (did you mean ml.g5.xlarge, ml.g5.8xlarge, ml.g5.4xlarge?)"
    )
    assert "sagemaker.instance_type" in str(problem)


def test_checks__without_botocore_say_what_to_install(training: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from launch.errors import LaunchError
    from launch.preflight.shapes import _service

    _service.cache_clear()
    monkeypatch.setitem(sys.modules, "botocore.loaders", None)
    with pytest.raises(LaunchError, match="botocore is not installed"):
        check_training_job(training(), Context())
