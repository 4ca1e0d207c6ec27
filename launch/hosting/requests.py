"""The exact requests that make an endpoint. Pure: no torch, no SDK.

Source of names, limits and meanings: the API references of Amazon SageMaker and Application Auto Scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from launch.hosting.settings import ASYNCHRONOUS, SERVERLESS, EndpointSettings
from launch.machines import machines
from launch.names import LAUNCH_TAG, job_name
from launch.requests import Place, Request

#: The tags of everything that is made here.
OURS_TAG, ENDPOINT_TAG, OWNER_TAG = "dogbreed", "dogbreed:endpoint", "dogbreed:owner"
EXPIRY_TAG, ARTIFACT_TAG = "dogbreed:expires", "dogbreed:artifact"
VARIANT = "all"
MODEL_FILE = "model.tar.gz"
#: What AWS's toolkit starts, see launch.inference; a container of one's own pays no heed.
_TOOLKIT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "TS_MAX_REQUEST_SIZE": str(25 * 2**20),  # as dogbreed.serve; TorchServe's own (its configuration guide) is 6.5 MB
}
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Deployment:
    """Which artifact is to be which endpoint.

    Attributes:
        name: of the endpoint.
        artifact: which classifier, see dogbreed.serving.artifact.Artifact.identity.
        moment: of the deployment, in UTC.
        token: of the deployment: some random letters and digits.
        owner: whom to ask about it.
    """

    name: str
    artifact: str
    moment: datetime
    token: str
    owner: str

    @property
    def part(self) -> str:
        """The name of its model, and of its endpoint configuration."""
        return job_name(self.name, self.moment, self.token[:4])


@dataclass(frozen=True)
class Requests:
    """What is sent, in this order.

    Attributes:
        model: CreateModel.
        config: CreateEndpointConfig.
        endpoint: CreateEndpoint.
        target: RegisterScalableTarget of Application Auto Scaling; None without autoscaling.
        policy: PutScalingPolicy, likewise.
    """

    model: Request
    config: Request
    endpoint: Request
    target: Request | None
    policy: Request | None

    def to_dict(self) -> dict[str, Request]:
        """By the names of AWS's operations."""
        names = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "RegisterScalableTarget", "PutScalingPolicy")
        values = asdict(self).values()
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def build_requests(deployment: Deployment, settings: EndpointSettings, place: Place) -> Requests:
    """All requests of a deployment."""
    tags = [{"Key": key, "Value": text} for key, text in build_tags(deployment, settings).items()]
    part = deployment.part
    endpoint = {"EndpointName": deployment.name, "EndpointConfigName": part, "Tags": tags}
    scaled = settings.max_count is not None
    return Requests(
        model=_model(part, settings, place, tags),
        config=_config(deployment, settings, place, tags),
        endpoint=endpoint,
        target=_target(deployment.name, settings) if scaled else None,
        policy=_policy(deployment.name, settings) if scaled else None,
    )


def build_tags(deployment: Deployment, settings: EndpointSettings) -> dict[str, str]:
    """The tags of a deployment by name; AWS keeps them on each of its parts."""
    own = {
        OURS_TAG: "1",
        ENDPOINT_TAG: deployment.name,
        LAUNCH_TAG: deployment.token,
        OWNER_TAG: deployment.owner,
        ARTIFACT_TAG: deployment.artifact,
    }
    if settings.expires_in_h is not None:
        own[EXPIRY_TAG] = (deployment.moment + timedelta(hours=settings.expires_in_h)).strftime(_MOMENT)
    return {**settings.tags, **own}


def expiry(tags: Mapping[str, str]) -> datetime | None:
    """When an endpoint expires; None for never, and for what is no time."""
    try:
        return datetime.strptime(tags[EXPIRY_TAG] + "+0000", _MOMENT + "%z")
    except (KeyError, ValueError):
        return None


def part_stem(name: str) -> str:
    """How the names of all models and configurations of an endpoint begin.

    >>> part_stem("dogs")
    'dogs'
    """
    return job_name(name, datetime(2026, 1, 1), "0000").rsplit("-", 3)[0]


def unscale_command(name: str) -> str:
    """The line by which a person ends an endpoint's autoscaling."""
    where = scaling_id(name)
    return (
        f"aws application-autoscaling deregister-scalable-target --service-namespace {where['ServiceNamespace']} "
        f"--scalable-dimension {where['ScalableDimension']} --resource-id {where['ResourceId']}"
    )


def model_uri(place: Place, settings: EndpointSettings, part: str) -> str:
    """Where a deployment's model.tar.gz belongs: it goes when its model goes."""
    return _below(place, settings, "models", part, MODEL_FILE)


def scaling_id(name: str) -> dict[str, str]:
    """How Application Auto Scaling names an endpoint's instances."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _model(part: str, settings: EndpointSettings, place: Place, tags: list[dict[str, str]]) -> Request:
    container = {
        "Image": place.image,
        "ModelDataUrl": model_uri(place, settings, part),
        "Environment": {**({} if settings.image else _TOOLKIT), **settings.environment},
    }
    request: Request = {
        "ModelName": part,
        "ExecutionRoleArn": place.role,
        "PrimaryContainer": container,
        "Tags": tags,
    }
    if settings.subnets:
        request["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    return request


def _config(deployment: Deployment, settings: EndpointSettings, place: Place, tags: list[dict[str, str]]) -> Request:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": deployment.part}
    if settings.kind == SERVERLESS:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": settings.memory_mb,
            "MaxConcurrency": settings.max_concurrency,
        }
    else:
        variant |= {
            "InstanceType": settings.instance_type,
            "InitialInstanceCount": settings.instance_count,
            "InitialVariantWeight": 1,
            "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_s,
        }
    request: Request = {"EndpointConfigName": deployment.part, "ProductionVariants": [variant], "Tags": tags}
    machine = machines().get(settings.instance_type or "")
    if settings.kms_key and not (machine and machine.nvme_gb):  # disks of its own are encrypted, and take no key
        request["KmsKeyId"] = settings.kms_key
    key = {"KmsKeyId": settings.kms_key} if settings.kms_key else {}
    if settings.capture_percent is not None:
        request["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": settings.capture_percent,
            "DestinationS3Uri": settings.capture_to or _below(place, settings, "captured", deployment.name),
            **key,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        }
    if settings.kind == ASYNCHRONOUS:
        output = {
            "S3OutputPath": settings.answers or _below(place, settings, "answers", deployment.name),
            "S3FailurePath": settings.failures or _below(place, settings, "failures", deployment.name),
            **key,
        }
        client = {"MaxConcurrentInvocationsPerInstance": settings.max_invocations}
        request["AsyncInferenceConfig"] = {"ClientConfig": client, "OutputConfig": output}
    return request


def _target(name: str, settings: EndpointSettings) -> Request:
    return {**scaling_id(name), "MinCapacity": settings.min_count, "MaxCapacity": settings.max_count}


def _policy(name: str, settings: EndpointSettings) -> Request:
    """Source of the metrics: developer guide of Amazon SageMaker, autoscaling, and that of asynchronous endpoints."""
    if settings.kind == ASYNCHRONOUS:
        metric: dict[str, Any] = {
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": name}],
                "Statistic": "Average",
            }
        }
    else:
        kind = "SageMakerVariantInvocationsPerInstance"
        metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
    aim = {"TargetValue": float(settings.scaling_target or 0), **metric}
    return {
        "PolicyName": f"{name}-by-requests",
        "PolicyType": "TargetTrackingScaling",
        **scaling_id(name),
        "TargetTrackingScalingPolicyConfiguration": aim,
    }


def _below(place: Place, settings: EndpointSettings, *parts: str) -> str:
    return "/".join(["s3:/", place.bucket, *filter(None, [settings.prefix.strip("/")]), *parts])
