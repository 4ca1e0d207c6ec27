"""The answers of a batch: where a transform job left them, and which picture each is of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dogbreed.errors import ImageError
from dogbreed.serving.answer import Prediction
from dogbreed.serving.writers import Answer
from launch.backends import Store
from launch.errors import JobFailed, LaunchError
from launch.files.stores import split_uri
from launch.hosting.sources import Source

_OUT = ".out"
_THREADS = 16


def answers_below(store: Store, output: str) -> dict[str, str]:
    """The answers that a job has left so far: path below `output`, without .out -> URI."""
    folder = f"{output.rstrip('/')}/"
    return {file.uri[len(folder) : -len(_OUT)]: file.uri for file in store.files(folder) if file.uri.endswith(_OUT)}


def gather(store: Store, output: str, sources: Sequence[Source], end: Mapping[str, Any]) -> Iterator[Answer]:
    """Each picture's URI with its answer, or with why there is none, in order.

    Args:
        store: S3.
        output: where the job has left its answers.
        sources: the pictures.
        end: the description of the job, which has ended.

    Raises:
        JobFailed: it has left nothing at all.
        LaunchError: what it has left are no predictions.
    """
    found = answers_below(store, output)
    if not found:
        raise JobFailed(
            f"{end['TransformJobName']} has answered nothing: {end.get('FailureReason') or end['TransformJobStatus']}",
            "a job that completes",
            "look at its log: aws logs tail /aws/sagemaker/TransformJobs",
        )
    with ThreadPoolExecutor(_THREADS) as pool:
        matched = _match(found, [source.name for source in sources])
        read = pool.map(lambda uri: _read(store, uri, end), matched)
        for source, answer in zip(sources, read, strict=True):
            yield source.name, answer


def _match(found: Mapping[str, str], uris: Sequence[str]) -> list[str | None]:
    """Where each picture's answer is: under its whole key, or without the first folders, as many for all.

    >>> _match({"dogs/a.jpg": "s3://b/out/dogs/a.jpg.out"}, ["s3://b/my/dogs/a.jpg", "s3://b/my/dogs/c/a.jpg"])
    ['s3://b/out/dogs/a.jpg.out', None]

    Raises:
        LaunchError: there are answers of other pictures.
    """
    keys = [split_uri(uri)[1].split("/") for uri in uris]
    for start in range(min(map(len, keys))):
        ends = ["/".join(parts[start:]) for parts in keys]
        if found.keys() <= set(ends) and len(set(ends)) == len(ends):
            return [found.get(end) for end in ends]
    first = next(iter(found.values()))
    raise LaunchError(f"{first} is of none of the pictures", "an answer for each", "look there, and transform again")


def _read(store: Store, uri: str | None, end: Mapping[str, Any]) -> Prediction | ImageError:
    content = None if uri is None else store.get_bytes(uri)
    if content is None:
        reason = end.get("FailureReason") or f"the job is {end['TransformJobStatus']}"
        return ImageError(f"no answer: {reason}", "a picture that the container can read", "look at the job's log")
    try:
        return Prediction.from_dict(json.loads(content))
    except (ValueError, TypeError) as error:
        raise LaunchError(
            f"{uri} holds no prediction: {content[:80]!r}", "an answer of this library's container", "transform again"
        ) from error
