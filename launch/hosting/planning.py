"""What a deployment is going to do: its requests, what is wrong with them, and what the endpoint costs."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from dogbreed.errors import ConfigError
from launch.files.model_package import Package
from launch.hosting.costing import tell_price
from launch.hosting.requests import Deployment, Requests, build_requests, model_uri
from launch.hosting.settings import EndpointSettings
from launch.machines import machines
from launch.preflight.credentials import check_secrets
from launch.preflight.jobs import check_tags
from launch.preflight.problems import Problem, ordered, refuse, told
from launch.preflight.shapes import check_shape
from launch.pricing.table import Prices
from launch.requests import request_text
from launch.sending.planning import find_account

_SCALING = "application-autoscaling"
_SERVICES = {"RegisterScalableTarget": _SCALING, "PutScalingPolicy": _SCALING}
#: Which setting a member of a request comes from, by its name.
_SETTINGS = {
    "EndpointName": "name",
    "Image": "sagemaker.image",
    "ExecutionRoleArn": "sagemaker.role",
    "ModelDataUrl": "sagemaker.bucket or sagemaker.prefix",
    "Environment": "sagemaker.environment",
    "InstanceType": "sagemaker.instance_type",
    "InitialInstanceCount": "sagemaker.instance_count",
    "ContainerStartupHealthCheckTimeoutInSeconds": "sagemaker.startup_s",
    "MemorySizeInMB": "sagemaker.memory_mb",
    "MaxConcurrency": "sagemaker.max_concurrency",
    "KmsKeyId": "sagemaker.kms_key",
    "DestinationS3Uri": "sagemaker.capture_to",
    "InitialSamplingPercentage": "sagemaker.capture_percent",
    "S3OutputPath": "sagemaker.answers",
    "S3FailurePath": "sagemaker.failures",
    "MaxConcurrentInvocationsPerInstance": "sagemaker.max_invocations",
    "Subnets": "sagemaker.subnets",
    "SecurityGroupIds": "sagemaker.security_groups",
    "MinCapacity": "sagemaker.min_count",
    "MaxCapacity": "sagemaker.max_count",
    "TargetValue": "sagemaker.scaling_target",
    "Tags": "sagemaker.tags or sagemaker.owner",
}


@dataclass(frozen=True)
class Plan:
    """A deployment before anything of it is sent.

    Attributes:
        deployment: which artifact as which endpoint.
        settings: of the endpoint.
        region: of the endpoint.
        requests: exactly what is sent.
        model_uri: where the model's archive goes.
        problems: what is wrong with them, the worst first.
        notes: what else a user should know.
        price: what the endpoint costs, in a line.
    """

    deployment: Deployment
    settings: EndpointSettings
    region: str
    requests: Requests
    model_uri: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    price: str

    @property
    def fatal(self) -> list[Problem]:
        """What keeps it from being sent."""
        return [problem for problem in self.problems if problem.fatal]

    def refuse(self) -> None:
        """Raise a ConfigError where it must not be sent."""
        refuse(self.problems)

    def text(self, style: str, package: Package) -> str:
        """The whole plan as it is shown; the requests as "yaml" or "json"."""
        lines = [
            request_text(self.requests.to_dict(), style),
            "",
            f"what is sent: {package.size / 1e6:,.1f} MB, {len(package.files)} files, to {self.model_uri}",
            *(f"note: {note}" for note in self.notes),
            self.price,
            *told(self.problems),
        ]
        return "\n".join(lines)


def plan_deployment(name: str, artifact: str, settings: EndpointSettings) -> Plan:
    """The plan of an endpoint; asks nobody.

    Args:
        name: of the endpoint.
        artifact: which classifier it is, see dogbreed.serving.artifact.Artifact.identity.
        settings: of the endpoint.
    """
    found = find_account(settings, lambda region: _image(settings, region))
    moment = datetime.now(timezone.utc).replace(microsecond=0)
    deployment = Deployment(name, artifact, moment, secrets.token_hex(8), settings.owner or _user())
    requests = build_requests(deployment, settings, found.place)
    notes = (*(() if settings.image else (_unpatched(settings),)), *_idle_gpu(settings))
    return Plan(
        deployment=deployment,
        settings=settings,
        region=found.place.region,
        requests=requests,
        model_uri=model_uri(found.place, settings, deployment.part),
        problems=tuple(ordered([*found.problems, *check_requests(requests)])),
        notes=notes,
        price=tell_price(settings, found.place.region, Prices.load()),
    )


def check_requests(requests: Requests) -> Iterator[Problem]:
    """All that AWS's service models do not allow, and what else can be told without a network.

    Raises:
        LaunchError: botocore is not installed.
    """
    for operation, request in requests.to_dict().items():
        for problem in check_shape(operation, request, _SERVICES.get(operation, "sagemaker")):
            yield problem._replace(hint=_remedy(problem.where))
    yield from check_tags(requests.model)
    yield from check_secrets(_part(requests.model, "PrimaryContainer") | {"Tags": requests.model["Tags"]}, "")


def _remedy(where: str) -> str:
    names = where.replace("[", ".").split(".")
    setting = next((_SETTINGS[name] for name in reversed(names) if name in _SETTINGS), None)
    return f"set {setting}" if setting else "leave it as launch.hosting.requests builds it"


def _image(settings: EndpointSettings, region: str) -> str:
    from launch.aws.session import serving_image

    # Of a serverless endpoint, AWS chooses the machine: one without a GPU.
    return settings.image or serving_image(region, settings.pytorch_version, settings.instance_type or "ml.m5.large")


def _unpatched(settings: EndpointSettings) -> str:
    return (
        f"AWS's PyTorch inference image {settings.pytorch_version} has not been patched since 2026-06-30; build one of "
        "your own by launch/Dockerfile.serve, and name it: sagemaker.image=URI"
    )


def _idle_gpu(settings: EndpointSettings) -> Iterator[str]:
    machine = machines().get(settings.instance_type or "")
    if machine is not None and machine.gpus and not settings.environment.get("DOGBREED_DEVICE"):
        device = "+sagemaker.environment.DOGBREED_DEVICE=cuda"
        yield f"{machine.instance_type} has {machine.gpus} {machine.gpu}, which answers do not use: {device}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user may have no name
        raise ConfigError("no name of who runs this", "an owner", "set sagemaker.owner") from error


def _part(request: Mapping[str, object], name: str) -> dict[str, object]:
    found = request[name]
    assert isinstance(found, dict)
    return found
