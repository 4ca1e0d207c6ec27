from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dogbreed.health.jobs.log import JobLog, moment, parse_log, read_lines
from dogbreed.training.epoch_line import epoch_line

#: As the SDK prints it: no line's end behind a status, dots while it waits, colours around the container's lines.
SDK = """\
2023-01-01 10:00:00 Starting - Starting the training job...
2023-01-01 10:00:25 Starting - Preparing the instances for trainingProfilerReport-1672567200: InProgress
........
2023-01-01 10:02:10 Downloading - Downloading input data...
2023-01-01 10:04:10 Training - Downloading the training image.....\
\x1b[34m[2023-01-01 10:06:12.500 algo-1:27 INFO utils.py:27] RULE_JOB_STOP_SIGNAL_FILENAME: None\x1b[0m
********* Debugger Rule Status *********
*
*     VanishingGradient: InProgress
*               Overfit: Error
*
****************************************
2023-01-01 10:06:11 Training - Training image download completed. Training in progress..
\x1b[34m[2023-01-01 10:06:25.250 algo-1:27 INFO hook.py:421] Monitoring the collections: losses\x1b[0m
\x1b[34mRuntimeError: Error\x1b[0m
VanishingGradient: NoIssuesFound
2023-01-01 10:12:29 Completed - Training job completed
..Training seconds: 579
Billable seconds: 174
Managed Spot Training savings: 69.9%
"""


def parse(text: str) -> JobLog:
    return parse_log((None, line) for line in text.splitlines())


@pytest.fixture
def sdk() -> JobLog:
    return parse(SDK)


@pytest.mark.parametrize(
    "text", ["2023-07-14 10:00:10", "2023-07-14T10:00:10.250Z", "2023-07-14T12:00:10,5+02:00", "2023-07-14:10:00:10"]
)
def test_moment__equals_the_standard_library(text: str) -> None:
    plain = text.replace(",5", ".500").replace("Z", "+00:00").replace("-14:", "-14 ")
    parsed = datetime.fromisoformat(plain)
    known = parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
    assert moment(text) == known.timestamp()


@pytest.mark.parametrize("text", ["", "10:00:10", "2023-13-01 10:00:00", "2023-02-30 10:00:00", "yesterday"])
def test_moment__what_is_no_time(text: str) -> None:
    assert moment(text) is None


def test_transitions__each_with_its_own_message(sdk: JobLog) -> None:
    assert [(one.status, one.message) for one in sdk.transitions] == [
        ("Starting", "Starting the training job"),
        ("Starting", "Preparing the instances for training"),
        ("Downloading", "Downloading input data"),
        ("Training", "Downloading the training image"),
        ("Training", "Training image download completed. Training in progress"),
        ("Completed", "Training job completed"),
    ]


def test_transitions__two_on_one_line() -> None:
    log = parse(
        "2023-01-01 10:00:00 Uploading - Uploading generated training model2023-01-01 10:00:05 Failed - no such"
    )
    assert [(one.status, one.message) for one in log.transitions] == [
        ("Uploading", "Uploading generated training model"),
        ("Failed", "no such"),
    ]


def test_statuses__the_last_of_each_rule_and_no_exception(sdk: JobLog) -> None:
    assert sdk.statuses == {
        "ProfilerReport-1672567200": "InProgress",
        "VanishingGradient": "NoIssuesFound",
        "Overfit": "Error",
    }


def test_seconds__training_and_billable(sdk: JobLog) -> None:
    assert (sdk.training_s, sdk.billable_s) == (579, 174)


def test_first_step__by_the_hook(sdk: JobLog) -> None:
    assert sdk.first_step is not None
    assert sdk.first_step.exact
    assert sdk.first_step.time == moment("2023-01-01 10:06:25.250")


def test_container__starts_with_its_first_timed_line(sdk: JobLog) -> None:
    assert sdk.container_start == moment("2023-01-01 10:06:12.500")


def test_epochs__our_own_lines() -> None:
    row = {"epoch": 3, "step": 836, "train/loss": 0.75, "val/loss": 1.5e-7, "val/acc": 0.8125}
    line = parse(epoch_line(row)).epochs[0]
    assert line.values == pytest.approx(row)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("train loss: 76.0, acc: 13.0, best loss: 1000000", {"train loss": 76, "acc": 13, "best loss": 1e6}),
        ("Testing Accuracy: 17, Testing Loss: 53.0", {"Testing Accuracy": 17, "Testing Loss": 53}),
        ("Train Epoch: 1 [12800/50000 (26%)]#011Loss: 20.077", {"Train Epoch": 1, "Loss": 20.077}),
    ],
)
def test_epochs__lines_of_the_notebooks(text: str, values: dict[str, float]) -> None:
    assert parse(text).epochs[0].values == values


def test_first_step__by_a_line_about_training_at_the_latest() -> None:
    log = parse_log([(50.0, "Invoking user script"), (90.0, "train loss: 2.5"), (99.0, "train loss: 2.25")])
    assert log.first_step is not None
    assert (log.first_step.time, log.first_step.exact) == (90.0, False)


def test_first_step__not_known_without_times() -> None:
    log = parse("train loss: 2.5")
    assert log.epochs
    assert log.first_step is None


@pytest.mark.parametrize("text", ["", "Traceback: nothing of a job\nValueError: Error\n", "lr: 0.1\nstate: Stopped"])
def test_log__that_says_nothing_of_a_job(text: str) -> None:
    assert not parse(text)


MOMENT = datetime(2023, 1, 1, 10, 6, 25, 250_000, tzinfo=timezone.utc)
WORDS = "epoch=0 step=209 val/loss=1.25"


def as_tail() -> str:
    return f"{MOMENT.isoformat()} job-2023/algo-1-1672567200 {WORDS}\n"


def as_console() -> str:
    local = MOMENT.astimezone(timezone(timedelta(hours=-7)))
    return f"{local.isoformat(timespec='milliseconds')}\t{WORDS}\n"


def as_events() -> str:
    return json.dumps({"events": [{"timestamp": int(MOMENT.timestamp() * 1000), "message": WORDS + "\n"}]})


def as_csv() -> str:
    return f'timestamp,message\n{int(MOMENT.timestamp() * 1000)},"{WORDS}"\n'


@pytest.mark.parametrize("write", [as_tail, as_console, as_events, as_csv])
def test_read_lines__every_way_to_save_a_log_of_cloudwatch(write, tmp_path: Path) -> None:
    file = tmp_path / "job.log"
    file.write_text(write())
    assert read_lines(file) == [(MOMENT.timestamp(), WORDS)]


def test_read_lines__leaves_the_times_of_the_sdk_and_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text(SDK)
    assert parse_log(read_lines(tmp_path / "job.log")) == parse(SDK)


def test_read_lines__a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"\x1f\x8b\0\0Overfit: Error\n")
    assert read_lines(tmp_path / "model") == []


def test_log__cut_anywhere_keeps_what_came_before(sdk: JobLog) -> None:
    for cut in range(len(SDK)):
        whole = parse(SDK[:cut]).transitions[:-1]
        assert whole == sdk.transitions[: len(whole)]
