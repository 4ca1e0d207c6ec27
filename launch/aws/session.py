"""Whose account, in which region, with which role, bucket and image: without asking AWS anything."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Protocol

from dogbreed.errors import ConfigError
from launch.aws.errors import asking_aws
from launch.errors import LaunchError, missing_extra
from launch.settings import JobSettings

if TYPE_CHECKING:
    import boto3

#: Times to try again after throttling and failures of the network, waiting longer each time: about a minute in all.
_RETRIES = 8
_CONNECT_S, _READ_S = 10, 60
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+")


class Account(Protocol):
    """Settings that say whose account is used; each may leave it to the environment."""

    @property
    def region(self) -> str | None:
        """Of everything."""

    @property
    def role(self) -> str | None:
        """The ARN of the role that SageMaker assumes."""

    @property
    def bucket(self) -> str | None:
        """For all that is kept."""


def make_session(region: str | None) -> boto3.Session:
    """A session of boto3 whose clients are patient with AWS.

    AWS_MAX_ATTEMPTS, or max_attempts in the profile, says how patient.

    Args:
        region: of all its clients; None: AWS_REGION, AWS_DEFAULT_REGION, or the profile's.

    Raises:
        LaunchError: boto3 is not installed, or a profile that does not exist.
    """
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise missing_extra("boto3", "sagemaker") from error
    _quiet()
    with asking_aws("reading AWS's settings"):
        core = botocore.session.Session()
        retries: dict[str, object] = {"mode": "adaptive"}
        if core.get_config_variable("max_attempts") is None:
            retries["max_attempts"] = _RETRIES
        core.set_default_client_config(Config(retries=retries, connect_timeout=_CONNECT_S, read_timeout=_READ_S))
        return boto3.Session(botocore_session=core, region_name=region or _told_region())


def region_of(settings: Account) -> str | None:
    """The region: of the settings, AWS_REGION, AWS_DEFAULT_REGION, or the profile's; None where none says it.

    Raises:
        LaunchError: botocore is not installed, or a profile that does not exist.
    """
    told = settings.region or _told_region()
    if told:
        return told
    try:
        import botocore.session
    except ImportError as error:
        raise missing_extra("botocore", "sagemaker") from error
    with asking_aws("looking for the region"):
        found = botocore.session.Session().get_config_variable("region")
    return str(found) if found else None


def role_of(settings: Account) -> str:
    """The ARN of the job's role: of the settings, or DOGBREED_ROLE.

    Raises:
        ConfigError: there is none, or it is no role's.
    """
    role = settings.role or os.environ.get("DOGBREED_ROLE")
    hint = "set sagemaker.role=arn:aws:iam::ACCOUNT:role/NAME, or DOGBREED_ROLE"
    if not role:
        raise ConfigError("sagemaker.role is not set", "the ARN of a role that SageMaker may assume", hint)
    if not _ROLE.fullmatch(role):
        raise ConfigError(f"sagemaker.role={role}", "arn:aws:iam::ACCOUNT:role/NAME, its account of 12 digits", hint)
    return role


def bucket_of(settings: Account, region: str, role: str) -> str:
    """The bucket: of the settings, or the one that SageMaker's SDK uses in the role's account.

    Raises:
        ConfigError: `role` names no account.
    """
    if settings.bucket:
        return settings.bucket
    account = _ROLE.fullmatch(role)
    if account is None:
        raise ConfigError("sagemaker.bucket is not set", "a bucket, or a role's ARN", "set sagemaker.bucket=BUCKET")
    return f"sagemaker-{region}-{account[1]}"


def image_of(settings: JobSettings, region: str) -> str:
    """The container's URI: of the settings, or AWS's PyTorch image for training, by the SDK.

    Raises:
        ConfigError: the SDK knows none for this version, region and instance.
        LaunchError: there is no SDK.
    """
    if settings.image:
        return settings.image
    return _look_up("pytorch", region, settings.pytorch_version, settings.instance_type, "training")


def serving_image(region: str, version: str, instance_type: str) -> str:
    """The URI of AWS's PyTorch image for inference, by the SDK.

    Raises:
        ConfigError: the SDK knows none for this version, region and instance.
        LaunchError: there is no SDK.
    """
    return _look_up("pytorch", region, version, instance_type, "inference")


def debugger_image(region: str) -> str:
    """The URI of the container that evaluates Debugger's rules, by the SDK.

    Raises:
        ConfigError: there is none in this region.
        LaunchError: there is no SDK.
    """
    return _look_up("debugger", region)


def _told_region() -> str | None:
    """The environment's region; boto3 by itself does not read AWS_REGION, which AWS's other tools set and read."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _quiet() -> None:
    """Keep what AWS's packages log for their own sake out of our output, where Hydra would print it."""
    for name in ("boto3", "botocore", "s3transfer", "sagemaker"):
        logging.getLogger(name).setLevel(logging.WARNING)


@functools.cache
def _look_up(
    framework: str, region: str, version: str | None = None, instance_type: str | None = None, scope: str | None = None
) -> str:
    if "sagemaker.core.image_uris" not in sys.modules:  # its import takes 5 to 10 s
        print(f"looking up the {framework} image in AWS's SDK ...", file=sys.stderr, flush=True)
    try:
        from sagemaker.core import image_uris
    except ImportError as error:
        raise LaunchError(
            "sagemaker is not installed, which knows AWS's images",
            "the extra sagemaker, or an image's URI",
            "pip install 'dogbreed[sagemaker]', or set sagemaker.image=URI",
        ) from error
    _quiet()
    try:  # reads the SDK's own tables: no telemetry, no network, no credentials
        found = image_uris.retrieve(
            framework, region=region, version=version, instance_type=instance_type, image_scope=scope
        )
    except ValueError as error:
        said = str(error).split(". ")
        raise ConfigError(
            f"no {framework} image in AWS's SDK: {said[0]}",
            said[-1],
            "set sagemaker.image=URI, or correct sagemaker.region, .pytorch_version or .instance_type",
        ) from error
    return str(found)
