"""What a training job printed, from CloudWatch Logs: a stream for each host and attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from launch.aws.errors import asking_aws
from launch.backends import LogLine

_GROUP = "/aws/sagemaker/TrainingJobs"


def read_log(client: Any, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
    """The lines since `position`, in the order of time over all hosts, and the next position.

    A job that has printed nothing yet has no stream, and the account's first one no group: no lines.

    Args:
        client: boto3's, of CloudWatch Logs.
        job: the training job.
        position: of the last call; None: from the beginning. CloudWatch forgets it after 24 hours.

    Raises:
        LaunchError: AWS or the network refuses.
    """
    tokens: dict[str, str] = json.loads(position) if position else {}
    lines: list[LogLine] = []
    with asking_aws(f"reading the log of {job}"):
        for stream in _streams(client, job):
            for events, reached in _pages(client, stream, tokens.get(stream)):
                lines += [LogLine(event["timestamp"] / 1000, event["message"].rstrip("\r\n")) for event in events]
                tokens[stream] = reached
    return sorted(lines, key=lambda line: line.time), json.dumps(tokens) if tokens else position


def _streams(client: Any, job: str) -> Iterator[str]:
    """The streams JOB/algo-N-STARTED; the slash keeps jobs apart whose names begin alike."""
    pages = client.get_paginator("describe_log_streams")
    try:
        for page in pages.paginate(logGroupName=_GROUP, logStreamNamePrefix=f"{job}/"):
            yield from (stream["logStreamName"] for stream in page["logStreams"])
    except client.exceptions.ResourceNotFoundException:  # no group yet
        return


def _pages(client: Any, stream: str, token: str | None) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """Pages of events with the token behind each; a token that comes back unchanged says that this is the end."""
    while True:
        asked = {"nextToken": token} if token else {}
        page = client.get_log_events(logGroupName=_GROUP, logStreamName=stream, startFromHead=True, **asked)
        yield page["events"], page["nextForwardToken"]
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]
