"""The log, from moto's CloudWatch."""

from __future__ import annotations

import time
from typing import Any

import pytest

from launch.aws.logs import read_log
from tests.launch.conftest import Aws

GROUP = "/aws/sagemaker/TrainingJobs"
START = int(time.time() * 1000) - 60_000


@pytest.fixture(scope="module")
def logs(aws: Aws) -> Any:
    client = aws.session().client("logs")
    if not client.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
        client.create_log_group(logGroupName=GROUP)
    return client


def say(logs: Any, stream: str, *lines: tuple[int, str]) -> None:
    """Print lines at milliseconds after START."""
    if not logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": START + at, "message": text} for at, text in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def test_read_log__nothing_yet(aws: Aws) -> None:
    elsewhere = aws.session().client("logs", region_name="eu-west-1")  # where no job ever ran
    assert read_log(elsewhere, "dogs-0", None) == ([], None)


def test_read_log__no_stream_yet(logs: Any) -> None:
    assert read_log(logs, "dogs-not-started", None) == ([], None)


def test_read_log__each_line_once(logs: Any) -> None:
    say(logs, "dogs-1/algo-1-17", (0, "a\n"), (1, "b"))
    lines, position = read_log(logs, "dogs-1", None)
    assert [line.text for line in lines] == ["a", "b"]
    assert lines[0].time == pytest.approx(START / 1000)
    again, position = read_log(logs, "dogs-1", position)
    assert again == []
    say(logs, "dogs-1/algo-1-17", (2, "c"))
    more, _ = read_log(logs, "dogs-1", position)
    assert [line.text for line in more] == ["c"]


def test_read_log__hosts_in_the_order_of_time(logs: Any) -> None:
    say(logs, "dogs-2/algo-1-17", (0, "first"), (20, "third"))
    say(logs, "dogs-2/algo-2-17", (10, "second"), (30, "fourth"))
    lines, position = read_log(logs, "dogs-2", None)
    assert [line.text for line in lines] == ["first", "second", "third", "fourth"]
    say(logs, "dogs-2/algo-1-18", (40, "after an interruption"))
    lines, _ = read_log(logs, "dogs-2", position)
    assert [line.text for line in lines] == ["after an interruption"]


def test_read_log__a_job_whose_name_begins_alike(logs: Any) -> None:
    say(logs, "dogs-3/algo-1-17", (0, "mine"))
    say(logs, "dogs-33/algo-1-17", (0, "not mine"))
    assert [line.text for line in read_log(logs, "dogs-3", None)[0]] == ["mine"]


def test_read_log__more_than_a_page(logs: Any) -> None:
    count = 10_050  # CloudWatch gives at most 10,000 at once
    lines = [(number, f"line {number}") for number in range(count)]
    say(logs, "dogs-4/algo-1-17", *lines[: count // 2])
    say(logs, "dogs-4/algo-1-17", *lines[count // 2 :])
    found, _ = read_log(logs, "dogs-4", None)
    assert [line.text for line in found] == [text for _, text in lines]


def test_read_log__denied(logs: Any, told: Any) -> None:
    from botocore.stub import Stubber

    with Stubber(logs) as stub:
        stub.add_client_error(
            "describe_log_streams",
            "AccessDeniedException",
            "User: me is not authorized to perform: logs:DescribeLogStreams on resource: x",
            400,
        )
        assert "logs:DescribeLogStreams" in told(read_log, logs, "dogs-1", None)
