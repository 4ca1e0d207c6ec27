"""The parts of endpoints at SageMaker, by boto3: made, looked at, and removed one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.aws.errors import asking_aws, error_code, is_absent
from launch.backends import Store
from launch.files.stores import S3Store
from launch.hosting.requests import scaling_id
from launch.names import LAUNCH_TAG
from launch.requests import Request

if TYPE_CHECKING:
    import boto3

_PAGE = 100  # what a list gives at most at once
#: How SageMaker refuses to touch an endpoint that it is still making or updating.
_BUSY = "in-progress"


class Kind(NamedTuple):
    """A kind of part: as people say it, in the names of boto3's methods, and the member that names it."""

    word: str
    call: str
    key: str


MODEL = Kind("model", "model", "ModelName")
CONFIG = Kind("endpoint configuration", "endpoint_config", "EndpointConfigName")
ENDPOINT = Kind("endpoint", "endpoint", "EndpointName")


class Hosting:
    """Models, endpoint configurations, endpoints and their autoscaling.

    Its methods may be called by several threads at once, and raise a LaunchError where AWS or the network refuses.

    Args:
        session: see launch.aws.session.

    Raises:
        LaunchError: no region, or settings of AWS that cannot be.
    """

    def __init__(self, session: boto3.Session) -> None:
        with asking_aws("connecting to AWS"):
            self._sagemaker = session.client("sagemaker")
            self._scaling = session.client("application-autoscaling")
            self.runtime = session.client("sagemaker-runtime")
            self.store: Store = S3Store(session)
        self.region = str(session.region_name)

    def create(self, kind: Kind, request: Request) -> None:
        """Make a part, once: one of this name and deployment that is there already is the one that was asked for."""
        from botocore.exceptions import ClientError

        with asking_aws(f"making the {kind.word} {request[kind.key]}"):
            try:
                getattr(self._sagemaker, f"create_{kind.call}")(**request)
            except ClientError as error:  # boto3 tries again where an answer is lost
                exists = "already exist" in str(error) or error_code(error) == "ResourceInUse"
                if not exists or not self.is_of(kind, request[kind.key], _launch(request)):
                    raise

    def describe(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """What AWS says of a part; None where there is none."""
        from botocore.exceptions import ClientError

        with asking_aws(f"asking for the {kind.word} {name}"):
            try:
                found: dict[str, Any] = getattr(self._sagemaker, f"describe_{kind.call}")(**{kind.key: name})
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
        return found

    def delete(self, kind: Kind, name: str) -> bool:
        """Remove a part, nothing where there is none; False where AWS is still making or updating it."""
        from botocore.exceptions import ClientError

        with asking_aws(f"removing the {kind.word} {name}"):
            try:
                getattr(self._sagemaker, f"delete_{kind.call}")(**{kind.key: name})
            except ClientError as error:
                if _BUSY in str(error):
                    return False
                if not is_absent(error):
                    raise
        return True

    def is_of(self, kind: Kind, name: str, launch: str) -> bool:
        """Whether a part is there and was made by this deployment."""
        found = self.describe(kind, name)
        return found is not None and self.tags(arn_of(kind, found)).get(LAUNCH_TAG) == launch

    def update(self, name: str, config: str, *, keep_count: bool = False) -> None:
        """Have an endpoint go over to another configuration, while it goes on answering.

        Args:
            name: of the endpoint.
            config: the configuration's name.
            keep_count: keep as many instances as there are, whatever the configuration begins with.
        """
        kept = {
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [
                {"VariantPropertyType": kind} for kind in ("DesiredWeight", "DataCaptureConfig")
            ],
        }
        with asking_aws(f"updating the endpoint {name}"):
            self._sagemaker.update_endpoint(
                EndpointName=name, EndpointConfigName=config, **(kept if keep_count else {})
            )

    def names(self, kind: Kind, part: str = "") -> list[str]:
        """The names of all parts of a kind that hold `part`, the newest first."""
        named = {"NameContains": part} if part else {}
        pages = self._sagemaker.get_paginator(f"list_{kind.call}s").paginate(
            SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": _PAGE}, **named
        )
        with asking_aws(f"listing {kind.word}s"):
            return [entry[kind.key] for page in pages for entry in page[kind.key.removesuffix("Name") + "s"]]

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a part by name."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        with asking_aws(f"reading the tags of {arn}"):
            return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def retag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Give a part exactly these tags."""
        gone = sorted(set(self.tags(arn)) - set(tags))
        with asking_aws(f"tagging {arn}"):
            if gone:
                self._sagemaker.delete_tags(ResourceArn=arn, TagKeys=gone)
            listed = [{"Key": key, "Value": text} for key, text in tags.items()]
            self._sagemaker.add_tags(ResourceArn=arn, Tags=listed)

    def scale(self, target: Request, policy: Request) -> None:
        """Let an endpoint's instances follow its traffic."""
        with asking_aws(f"setting up the autoscaling of {target['ResourceId']}"):
            self._scaling.register_scalable_target(**target)
            self._scaling.put_scaling_policy(**policy)

    def scaling(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The requests that set up an endpoint's autoscaling as it is; None where there is none."""
        where = scaling_id(name)
        with asking_aws(f"asking for the autoscaling of {name}"):
            targets = self._scaling.describe_scalable_targets(
                ServiceNamespace=where["ServiceNamespace"], ResourceIds=[where["ResourceId"]]
            )["ScalableTargets"]
            policies = self._scaling.describe_scaling_policies(
                ServiceNamespace=where["ServiceNamespace"], ResourceId=where["ResourceId"]
            )["ScalingPolicies"]
        if not targets or not policies:
            return None
        aim = "TargetTrackingScalingPolicyConfiguration"
        target = where | {key: targets[0][key] for key in ("MinCapacity", "MaxCapacity")}
        return target, where | {
            key: policies[0][key] for key in ("PolicyName", "PolicyType", aim) if key in policies[0]
        }

    def unscale(self, name: str) -> None:
        """End an endpoint's autoscaling; nothing where there is none. Its policies and alarms go with it."""
        from botocore.exceptions import ClientError

        with asking_aws(f"ending the autoscaling of {name}"):
            try:
                self._scaling.deregister_scalable_target(**scaling_id(name))
            except ClientError as error:
                if not is_absent(error):
                    raise


def arn_of(kind: Kind, description: Mapping[str, Any]) -> str:
    """What tags are asked for by."""
    return str(description[kind.key.removesuffix("Name") + "Arn"])


def _launch(request: Request) -> str:
    return next(tag["Value"] for tag in request["Tags"] if tag["Key"] == LAUNCH_TAG)
