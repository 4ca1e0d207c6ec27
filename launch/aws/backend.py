"""Jobs at Amazon SageMaker, by boto3."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from launch.aws.errors import asking_aws, error_code, explain, is_absent
from launch.aws.logs import read_log
from launch.backends import LogLine, Store
from launch.errors import LaunchError
from launch.files.stores import S3Store
from launch.names import LAUNCH_TAG

if TYPE_CHECKING:
    import boto3

_PAGE = 100  # what Search and the lists give at most at once
#: A part of a job's name; AWS refuses to look for anything else (the API reference, NameContains).
_PART = re.compile(r"[a-zA-Z0-9-]{0,63}")
#: What needs no stopping.
_ENDED = ("Completed", "Failed", "Stopped", "Stopping", "Deleting", "DeleteFailed")


class SageMakerBackend:
    """launch.backends.Backend at AWS.

    Args:
        session: see launch.aws.session.
        sagemaker: a client to use instead of the session's.
        logs: likewise, of CloudWatch Logs.

    Raises:
        LaunchError: no region, or settings of AWS that cannot be.
    """

    note = ""

    def __init__(self, session: boto3.Session, *, sagemaker: Any = None, logs: Any = None) -> None:
        # All at once: clients are safe among threads, but making them is not (boto3's guide, "Multithreading").
        with asking_aws("connecting to AWS"):
            self._sagemaker = sagemaker or session.client("sagemaker")
            self._logs = logs or session.client("logs")
            self.store: Store = S3Store(session)

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """Start a job, once: see Backend."""
        name = request["TrainingJobName"]
        _start(self._sagemaker.create_training_job, request, name, lambda: self.describe_training_job(name))

    def describe_training_job(self, name: str) -> dict[str, Any] | None:
        """DescribeTrainingJob with its Tags; None where there is no such job."""
        with asking_aws(f"asking for the job {name}"):
            found = _describe(self._sagemaker.describe_training_job, TrainingJobName=name)
            return found and {**found, "Tags": self._tags(found["TrainingJobArn"])}

    def stop_training_job(self, name: str) -> None:
        """Ask a job to stop; nothing where it has ended."""
        _stop(
            lambda: self._sagemaker.stop_training_job(TrainingJobName=name),
            f"stopping the job {name}",
            lambda: (self.describe_training_job(name) or {}).get("TrainingJobStatus"),
        )

    def list_training_jobs(self, tags: Mapping[str, str], limit: int, named: str = "") -> list[dict[str, Any]]:
        """Jobs that carry all these tags, the newest first, by SageMaker's Search: see Backend.

        Its index lags some seconds behind: a job that was started just now may be missing.
        """
        if not _PART.fullmatch(named):
            return []
        filters = [{"Name": "TrainingJobName", "Operator": "Contains", "Value": named}] if named else []
        filters += [{"Name": f"Tags.{key}", "Operator": "Equals", "Value": text} for key, text in tags.items()]
        asked: dict[str, Any] = {"SearchExpression": {"Filters": filters}} if filters else {}
        pages = self._sagemaker.get_paginator("search").paginate(
            Resource="TrainingJob",
            SortBy="CreationTime",
            SortOrder="Descending",
            PaginationConfig={"MaxItems": limit, "PageSize": min(limit, _PAGE)},
            **asked,
        )
        with asking_aws("looking for jobs by their tags"):
            found = [record["TrainingJob"] for page in pages for record in page["Results"]]
        return sorted(found, key=lambda job: job["CreationTime"], reverse=True)

    def create_tuning_job(self, request: Mapping[str, Any]) -> None:
        """Start a tuning job, once: see Backend."""
        name = request["HyperParameterTuningJobName"]
        _start(self._sagemaker.create_hyper_parameter_tuning_job, request, name, lambda: self.describe_tuning_job(name))

    def describe_tuning_job(self, name: str) -> dict[str, Any] | None:
        """DescribeHyperParameterTuningJob with its Tags; None where there is no such job."""
        with asking_aws(f"asking for the tuning job {name}"):
            found = _describe(self._sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
            return found and {**found, "Tags": self._tags(found["HyperParameterTuningJobArn"])}

    def stop_tuning_job(self, name: str) -> None:
        """Ask a tuning job and its jobs to stop; nothing where it has ended."""
        _stop(
            lambda: self._sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
            f"stopping the tuning job {name}",
            lambda: (self.describe_tuning_job(name) or {}).get("HyperParameterTuningJobStatus"),
        )

    def list_tuning_jobs(self, limit: int, named: str = "") -> list[dict[str, Any]]:
        """HyperParameterTuningJobSummary entries of tuning jobs with this part in their names, the newest first."""
        if not _PART.fullmatch(named):
            return []
        pages = self._sagemaker.get_paginator("list_hyper_parameter_tuning_jobs").paginate(
            SortBy="CreationTime",
            SortOrder="Descending",
            PaginationConfig={"MaxItems": limit, "PageSize": min(limit, _PAGE)},
            **({"NameContains": named} if named else {}),
        )
        with asking_aws("listing tuning jobs"):
            return [job for page in pages for job in page["HyperParameterTuningJobSummaries"]]

    def list_trials(self, tuning_job: str) -> list[dict[str, Any]]:
        """Its HyperParameterTrainingJobSummary entries, all of them, in the order of their creation."""
        pages = self._sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=tuning_job,
            SortBy="CreationTime",
            SortOrder="Ascending",
            PaginationConfig={"PageSize": _PAGE},
        )
        with asking_aws(f"listing the trials of {tuning_job}"):
            return [trial for page in pages for trial in page["TrainingJobSummaries"]]

    def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
        """What a training job printed since `position`, and the position to ask from the next time."""
        return read_log(self._logs, job, position)

    def _tags(self, arn: str) -> list[dict[str, str]]:
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return [tag for page in pages for tag in page["Tags"]]


def _start(
    create: Callable[..., object], request: Mapping[str, Any], name: str, look: Callable[[], dict[str, Any] | None]
) -> None:
    """Create a job under its one name; where AWS refuses the name or its answer is lost, look whose job runs."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        create(**request)
        return
    except (BotoCoreError, ClientError) as error:
        refused, cause = explain(error, f"starting the job {name}"), error
    if error_code(cause) == "ResourceInUse":
        if not _is_of_launch(look(), request):
            raise refused from cause
        return
    unreachable = isinstance(cause, ConnectionError)
    if not (unreachable or isinstance(cause, HTTPClientError) or _status(cause) >= 500):
        raise refused from cause
    # The answer is lost. Without a connection there is nobody to ask; and botocore has tried more than once, under
    # the same name, so that an earlier try may have arrived all the same.
    with suppress(LaunchError):  # the failure before it says more
        if not unreachable and _is_of_launch(look(), request):
            return
    hint = f"{refused.hint}; python -m launch.jobs describe {name} says whether it has started"
    raise LaunchError(refused.got, refused.allowed, hint) from cause


def _describe(describe: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        found = describe(**name)
    except ClientError as error:
        if is_absent(error):
            return None
        raise
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def _stop(stop: Callable[[], object], doing: str, status: Callable[[], object]) -> None:
    """Stop a job; SageMaker refuses where it has ended, in words that name its status, so the status is asked for."""
    from botocore.exceptions import ClientError

    with asking_aws(doing):
        try:
            stop()
        except ClientError as error:
            if error_code(error) not in ("ValidationException", "ResourceInUse") or status() not in _ENDED:
                raise


def _is_of_launch(job: Mapping[str, Any] | None, request: Mapping[str, Any]) -> bool:
    """Whether a job that was found is the one that the request asks for; one without the tag is somebody else's."""
    launch = _launch(request)
    return job is not None and launch is not None and _launch(job) == launch


def _launch(job: Mapping[str, Any]) -> str | None:
    return next((tag["Value"] for tag in job.get("Tags", []) if tag["Key"] == LAUNCH_TAG), None)


def _status(error: Exception) -> int:
    """The HTTP status of AWS's answer; 0 where there was none."""
    response = getattr(error, "response", {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
