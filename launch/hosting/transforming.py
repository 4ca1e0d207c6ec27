"""Batch transform: every picture below an S3 prefix answered by instances that are there only meanwhile.

Source of the request's members and of what is left where: developer guide of Amazon SageMaker, "Batch transform".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dogbreed.errors import ConfigError
from launch.aws.errors import asking_aws, is_absent
from launch.errors import LaunchError
from launch.fields import refuse, whole
from launch.files.stores import split_uri
from launch.hosting.planning import Plan
from launch.hosting.sources import Source
from launch.requests import Request
from launch.views.polling import Polling
from launch.views.screen import Screen
from launch.views.telling import duration

if TYPE_CHECKING:
    import boto3

ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class TransformSettings:
    """How a batch is transformed; each field is described beside its value in conf/transform.yaml."""

    max_concurrent: int
    max_payload_mb: int
    timeout_s: int

    def __post_init__(self) -> None:
        refuse([whole(name, value, 1) for name, value in vars(self).items()])
        if self.max_payload_mb * self.max_concurrent > 100:
            raise ConfigError(
                f"transform.max_payload_mb={self.max_payload_mb} times transform.max_concurrent={self.max_concurrent}",
                "at most 100 together",
                "lower one of them",
            )


def build_manifest(sources: Sequence[Source], largest_mb: int) -> bytes:
    """The list of pictures that a job reads: these, and nothing else that lies beside them.

    Raises:
        ConfigError: one is larger than the job takes.
    """
    for source in sources:
        if source.size is not None and source.size > largest_mb * 2**20:
            raise ConfigError(
                f"{source.name}: {source.size:,} bytes",
                f"at most {largest_mb} MB a picture",
                "move it elsewhere, or set transform.max_payload_mb and transform.max_concurrent",
            )
    bucket, _ = split_uri(sources[0].name)
    prefix = f"s3://{bucket}/"
    return json.dumps([{"prefix": prefix}, *(source.name.removeprefix(prefix) for source in sources)]).encode()


def build_transform(plan: Plan, batch: TransformSettings, manifest: str, output: str) -> Request:
    """The CreateTransformJob request.

    Args:
        plan: of an endpoint, whose model, instances, key and tags the job takes.
        batch: of the job.
        manifest: s3:// URI of the list of pictures.
        output: s3:// URI that the answers are left below.
    """
    config, key = plan.requests.config, plan.settings.kms_key
    volume = {"VolumeKmsKeyId": config["KmsKeyId"]} if "KmsKeyId" in config else {}
    return {
        "TransformJobName": plan.deployment.part,
        "ModelName": plan.deployment.part,
        "MaxConcurrentTransforms": batch.max_concurrent,
        "MaxPayloadInMB": batch.max_payload_mb,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": batch.timeout_s, "InvocationsMaxRetries": 3},
        "BatchStrategy": "SingleRecord",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": manifest}},
            "ContentType": "application/x-image",
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": {
            "S3OutputPath": output,
            "Accept": "application/json",
            "AssembleWith": "None",
            **({"KmsKeyId": key} if key else {}),
        },
        "TransformResources": {
            "InstanceType": plan.settings.instance_type,
            "InstanceCount": plan.settings.instance_count,
            **volume,
        },
        "Tags": plan.requests.model["Tags"],
    }


class Transforms:
    """Transform jobs at SageMaker, by boto3.

    Args:
        session: see launch.aws.session.

    Raises:
        LaunchError: of every method: AWS or the network refuses.
    """

    def __init__(self, session: boto3.Session) -> None:
        with asking_aws("connecting to AWS"):
            self._sagemaker = session.client("sagemaker")

    def create(self, request: Request) -> None:
        """Start a job."""
        with asking_aws(f"starting the transform job {request['TransformJobName']}"):
            self._sagemaker.create_transform_job(**request)

    def describe(self, name: str) -> dict[str, Any] | None:
        """What AWS says of a job; None where there is none."""
        from botocore.exceptions import ClientError

        with asking_aws(f"asking for the transform job {name}"):
            try:
                found: dict[str, Any] = self._sagemaker.describe_transform_job(TransformJobName=name)
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
        return found

    def stop(self, name: str, poll_s: float) -> None:
        """Have a job end, and wait until it has; nothing where it has ended, or there is none."""
        asked = False
        while (found := self.describe(name)) is not None and found["TransformJobStatus"] not in ENDED:
            if not asked and found["TransformJobStatus"] != "Stopping":
                with asking_aws(f"stopping the transform job {name}"):
                    self._sagemaker.stop_transform_job(TransformJobName=name)
                asked = True
            time.sleep(poll_s)


def wait_for_end(
    transforms: Transforms, name: str, count: Callable[[], int], total: int, poll_s: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """The description of a job that has ended, well or not.

    Args:
        transforms: where it runs.
        name: of the job.
        count: how many answers are there.
        total: how many there will be.
        poll_s: between two looks.
        say: prints a line.

    Raises:
        LaunchError: there is no such job, or AWS does not answer for five minutes.
    """
    screen, polling = Screen(say), Polling(poll_s, say)
    start, seen = time.monotonic(), ("", 0)
    try:
        while True:
            found = polling.ask(lambda: transforms.describe(name))
            if found is None:
                raise LaunchError(f"there is no transform job {name}", "one that was started", "start it again")
            status = str(found["TransformJobStatus"])
            now = (status, polling.ask(count))
            if status != seen[0]:
                screen.line(f"{name}: {status}")
            if status in ENDED:
                return found
            text = f"{name}: {status}, {now[1]} of {total} answers"
            polling.wait(now != seen, partial(_show, screen, text, start))
            seen = now
    finally:
        screen.clear()


def _show(screen: Screen, text: str, start: float) -> None:
    screen.show([f"{text}, {duration(time.monotonic() - start)}; an instance takes some minutes to start"])
