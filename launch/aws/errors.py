"""What AWS, boto3 and the network say when they refuse, as one error for the user."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from launch.aws.advice import BY_CLASS, BY_CODE, BY_WORDS, DENIED, OTHER, OVER_QUOTA, SERVER, Advice, denied, over_quota
from launch.errors import LaunchError, missing_extra

_PACKAGES = ("boto3", "botocore", "s3transfer")
_LONGEST = 400
_NOT_FOUND = ("ResourceNotFound", "ObjectNotFoundException")
_ABSENT = ("Requested resource not found", "Could not find", "No scalable target found")
_FOR_COMPUTERS = re.compile(r"\s*\((?:Service|Request ID|RequestId): [^)]*\)")


@contextmanager
def asking_aws(doing: str) -> Iterator[None]:
    """What AWS, boto3 or the network raises inside becomes a LaunchError; other errors go through as they are.

    Args:
        doing: what is being done, such as "starting the job dogs".
    """
    try:
        yield
    except Exception as error:
        if not _is_of_aws(error):
            raise
        raise explain(error, doing) from error


def explain(error: Exception, doing: str) -> LaunchError:
    """The error for the user: what was being done, what AWS said, what to do next.

    Args:
        error: of boto3, botocore or s3transfer, or the ImportError of one of them; a LaunchError stays as it is.
        doing: what was being done, such as "starting the job dogs".

    Raises:
        Exception: `error` itself, where it is of another kind: a defect, not a refusal.
    """
    if isinstance(error, LaunchError):
        return error
    if not _is_of_aws(error):
        raise error
    if isinstance(error, ImportError):
        return missing_extra("boto3", "sagemaker")
    root = _root(error)
    response = getattr(root, "response", None)
    if isinstance(response, Mapping) and "Error" in response:  # a ClientError: AWS has answered
        return _refused(response, str(getattr(root, "operation_name", "")), doing)
    kinds = [kind.__name__ for kind in type(root).__mro__]
    advice = next((BY_CLASS[kind] for kind in kinds if kind in BY_CLASS), OTHER)
    return LaunchError(f"{doing}: {_short(str(root)) or kinds[0]}", *advice)


def error_code(error: Exception) -> str:
    """The code of AWS's answer, such as "ValidationException"; the empty string where there was no answer."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, Mapping) and "Error" in response else ""


def is_absent(error: Exception) -> bool:
    """Whether AWS says that there is no such job, model or endpoint.

    The API reference promises ResourceNotFound, but a ValidationException comes as well (known of DescribeTrainingJob
    as aws-sdk issue 165; of DeleteEndpoint as amazon-sagemaker-examples issue 2402, which has moto's wording too).
    """
    absent = any(words in str(error) for words in _ABSENT)
    return error_code(error) in _NOT_FOUND or (error_code(error) == "ValidationException" and absent)


def _refused(response: Mapping[str, Any], operation: str, doing: str) -> LaunchError:
    code, message = str(response["Error"].get("Code", "")), _short(str(response["Error"].get("Message", "")))
    about = response.get("ResponseMetadata", {})
    broken = about.get("HTTPStatusCode", 0) >= 500 and code not in BY_CODE
    # The one thing that AWS's support asks for, and of no use otherwise.
    request = f", request {about['RequestId']}" if broken and about.get("RequestId") else ""
    return LaunchError(f"{doing}: {message or 'refused'} ({code}{request})", *_advice(code, message, operation, broken))


def _advice(code: str, message: str, operation: str, broken: bool) -> Advice:
    if code in DENIED:
        return denied(message, operation)
    if code == OVER_QUOTA:
        return over_quota(message)
    if code in BY_CODE:
        return BY_CODE[code]
    if broken:
        return SERVER
    return next((advice for words, advice in BY_WORDS if words.search(message)), OTHER)


def _root(error: Exception) -> Exception:
    """What boto3's transfers wrap: AWS's answer, or the last of several failures."""
    inner = getattr(error, "last_exception", None) or error.__context__
    wraps = type(error).__module__.startswith(("boto3.", "s3transfer."))
    return _root(inner) if wraps and isinstance(inner, Exception) else error


def _is_of_aws(error: Exception) -> bool:
    if isinstance(error, ImportError):
        return (error.name or "").split(".")[0] in _PACKAGES
    return any(kind.__module__.split(".")[0] in _PACKAGES for kind in type(error).__mro__)


def _short(message: str) -> str:
    r"""In one line, without what only a computer reads.

    >>> _short("Rate exceeded\n  (Service: AmazonSageMaker; Status Code: 400; Request ID: 1-2)")
    'Rate exceeded'
    """
    plain = _FOR_COMPUTERS.sub("", " ".join(message.split()))
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."
