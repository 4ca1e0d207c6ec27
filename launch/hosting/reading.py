"""The settings of an endpoint: as conf/ has them, and read back off one that is there. Pure but for conf/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml

from dogbreed.errors import ConfigError
from launch.files.stores import split_uri
from launch.hosting.requests import ARTIFACT_TAG, ENDPOINT_TAG, EXPIRY_TAG, MODEL_FILE, OURS_TAG, OWNER_TAG
from launch.hosting.settings import ASYNCHRONOUS, REALTIME, SERVERLESS
from launch.names import LAUNCH_TAG

_OWN_TAGS = (OURS_TAG, ENDPOINT_TAG, LAUNCH_TAG, OWNER_TAG, ARTIFACT_TAG, EXPIRY_TAG)


def conf_values(kind: str) -> dict[str, Any]:
    """What conf/ says of a kind of endpoint.

    Raises:
        ConfigError: there is no such kind.
    """
    folder = resources.files("dogbreed.conf") / "sagemaker/endpoint"
    try:
        files = [(folder / f"{name}.yaml").read_text(encoding="utf-8") for name in dict.fromkeys((REALTIME, kind))]
    except OSError as error:
        raise ConfigError(f"an endpoint of the kind {kind}", f"{REALTIME}, ...", "name one of them") from error
    values: dict[str, Any] = {}
    for text in files:
        values |= yaml.safe_load(text)
    values.pop("defaults", None)
    return values


def kind_of(config: Mapping[str, Any]) -> str:
    """Which kind of endpoint a configuration makes."""
    if "AsyncInferenceConfig" in config:
        return ASYNCHRONOUS
    variants: Sequence[Mapping[str, Any]] = config["ProductionVariants"]
    return SERVERLESS if any("ServerlessConfig" in variant for variant in variants) else REALTIME


def settings_of(
    model: Mapping[str, Any],
    config: Mapping[str, Any],
    tags: Mapping[str, str],
    scaling: tuple[Mapping[str, Any], Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """What an endpoint that is there was asked to be, over what conf/ says of its kind.

    Args:
        model: its model, as CreateModel or DescribeModel has it.
        config: its configuration, likewise.
        tags: of the endpoint.
        scaling: RegisterScalableTarget and PutScalingPolicy, where it has autoscaling.
    """
    (variant,) = config["ProductionVariants"]
    container, vpc = model["PrimaryContainer"], model.get("VpcConfig") or {}
    bucket, key = split_uri(container["ModelDataUrl"])
    capture = config.get("DataCaptureConfig") or {}
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
    client = config.get("AsyncInferenceConfig", {}).get("ClientConfig", {})
    serverless = variant.get("ServerlessConfig") or {}
    target, policy = scaling or ({}, {})
    aim = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    base = conf_values(kind_of(config))
    found = {
        "role": model["ExecutionRoleArn"],
        "bucket": bucket,
        "prefix": key.rpartition("/models/")[0] if key.endswith(MODEL_FILE) else base["prefix"],
        "image": container["Image"],
        "environment": dict(container.get("Environment", {})),
        "instance_type": variant.get("InstanceType"),
        "instance_count": variant.get("InitialInstanceCount"),
        "min_count": target.get("MinCapacity", base["min_count"]),
        "max_count": target.get("MaxCapacity"),
        "scaling_target": aim.get("TargetValue", base["scaling_target"]),
        "startup_s": variant.get("ContainerStartupHealthCheckTimeoutInSeconds", base["startup_s"]),
        "memory_mb": serverless.get("MemorySizeInMB"),
        "max_concurrency": serverless.get("MaxConcurrency"),
        "answers": output.get("S3OutputPath"),
        "failures": output.get("S3FailurePath"),
        "max_invocations": client.get("MaxConcurrentInvocationsPerInstance", base["max_invocations"]),
        "capture_percent": capture.get("InitialSamplingPercentage"),
        "capture_to": capture.get("DestinationS3Uri"),
        "kms_key": config.get("KmsKeyId") or output.get("KmsKeyId") or capture.get("KmsKeyId"),
        "subnets": list(vpc.get("Subnets", [])),
        "security_groups": list(vpc.get("SecurityGroupIds", [])),
        "tags": {key: text for key, text in tags.items() if key not in _OWN_TAGS},
        "owner": tags.get(OWNER_TAG),
        "expires_in_h": base["expires_in_h"] if EXPIRY_TAG in tags else None,
    }
    return base | found
