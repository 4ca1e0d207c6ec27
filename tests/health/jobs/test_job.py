from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from dogbreed.errors import ConfigError
from dogbreed.health import rules
from dogbreed.health.findings import Status
from dogbreed.health.jobs.job import Job, events, facts, read_job
from dogbreed.health.jobs.rules import AwsRule
from dogbreed.health.jobs.story import tell
from dogbreed.health.samples import MachineSample, Sample
from dogbreed.training.epoch_line import epoch_line

#: A job of 579 billed seconds whose bill begins 40 s after the first download did, by the log's times.
LOG = """\
2023-01-01 10:00:00 Starting - Starting the training job...
2023-01-01 10:00:25 Starting - Preparing the instances for trainingLossNotDecreasing: InProgress
Overfit: InProgress
PoorWeightInitialization: InProgress
ProfilerReport-1672567200: InProgress
.........
2023-01-01 10:02:10 Downloading - Downloading input data.....................
2023-01-01 10:04:10 Training - Downloading the training image.................
2023-01-01 10:06:11 Training - Training image download completed. Training in progress.
2023-01-01 10:06:14,310 sagemaker-training-toolkit INFO     Invoking user script
[2023-01-01 10:06:25.000 algo-1:27 INFO hook.py:421] Monitoring the collections: losses, gradients
train loss: 76.0, acc: 13.0, best loss: 1000000
PoorWeightInitialization: IssuesFound
Testing Accuracy: 17, Testing Loss: 53.0

2023-01-01 10:12:05 Uploading - Uploading generated training model
2023-01-01 10:12:29 Completed - Training job completed
LossNotDecreasing: Error
Overfit: Error
PoorWeightInitialization: IssuesFound
ProfilerReport-1672567200: NoIssuesFound
Training seconds: 579
Billable seconds: 579
"""
#: What describe-training-job says of the same job, whose bill it knows to begin with the download.
DESCRIPTION: dict[str, Any] = {
    "TrainingJobName": "dogs",
    "TrainingJobStatus": "Completed",
    "TrainingStartTime": "2023-01-01T11:02:10.500000+01:00",
    "TrainingEndTime": "2023-01-01T11:12:29.500000+01:00",
    "BillableTimeInSeconds": 619,
    "SecondaryStatusTransitions": [
        {
            "Status": status,
            "StartTime": f"2023-01-01T11:{start}+01:00",
            "StatusMessage": message,
        }
        for status, start, message in (
            ("Starting", "00:00", "Preparing the instances for training"),
            ("Downloading", "02:10.500", "Downloading the training image"),
            ("Training", "06:11.500", "Training image download completed. Training in progress."),
            ("Uploading", "12:05.500", "Uploading generated training model"),
            ("Completed", "12:29.500", "Training job completed"),
        )
    ],
    "DebugRuleEvaluationStatuses": [
        {
            "RuleConfigurationName": "Overfit",
            "RuleEvaluationStatus": "Error",
            "StatusDetails": "ClientError: No debugging data was saved by the training job.\nTraceback (most",
        }
    ],
}


NEVER_FIRE = ("OverallSystemUsage", "OverallFrameworkMetrics")


def job_of(tmp_path: Path, log: str) -> Job:
    file = tmp_path / "job.log"
    file.write_text(log)
    return read_job(file)


def seconds(job: Job) -> dict[str, float | None]:
    return {phase.name: phase.seconds for phase in job.phases}


def stamp(text: str) -> float:
    return datetime.fromisoformat(f"2023-01-01T{text}+00:00").timestamp()


def shift(log: str, old: str, new: str) -> str:
    assert old in log
    return log.replace(old, new)


# The timeline


def test_known_job__phases(tmp_path: Path) -> None:
    assert seconds(job_of(tmp_path, LOG)) == {
        "starting": 25,
        "preparing the instances": 105,
        "downloading the data": 120,
        "downloading the image": 121,
        "set-up of the script": 14,
        "training": 340,
        "uploading the model": 24,
    }


def test_known_job__37_percent_of_the_bill_before_the_first_step(tmp_path: Path) -> None:
    job = job_of(tmp_path, LOG)
    assert job.bill is not None
    assert (job.before_first_step, job.bill.seconds) == (215, 579)
    assert "215 s of 579 s billed (37%)" in tell(job)


def test_bill__is_the_sum_of_what_was_billed_of_the_phases(tmp_path: Path) -> None:
    job = job_of(tmp_path, LOG)
    assert job.bill is not None
    assert sum(phase.billed or 0 for phase in job.phases) == job.bill.seconds


def test_bill__leaves_out_starting_and_preparing(tmp_path: Path) -> None:
    assert [phase.billed for phase in job_of(tmp_path, LOG).phases[:2]] == [0, 0]


def test_bill__that_begins_with_the_download_holds_all_of_it(tmp_path: Path) -> None:
    """The other way to spend 579 s: 120 s and 121 s of downloads, then 215 s of set-up."""
    log = shift(LOG, "10:06:25.000 algo", "10:09:46.000 algo")
    log = shift(log, "10:12:05 Uploading", "10:11:30 Uploading")
    job = job_of(tmp_path, shift(log, "10:12:29 Completed", "10:11:49 Completed"))
    assert {phase.name: phase.billed for phase in job.phases if phase.billed} == {
        "downloading the data": 120,
        "downloading the image": 121,
        "set-up of the script": 215,
        "training": 104,
        "uploading the model": 19,
    }
    assert job.before_first_step == 120 + 121 + 215


def test_bill__of_a_description_is_exact(tmp_path: Path) -> None:
    (tmp_path / "describe.json").write_text(json.dumps(DESCRIPTION))
    job = read_job(tmp_path)
    assert job.bill is not None
    assert (job.bill.start, job.bill.end) == (stamp("10:02:10.500"), stamp("10:12:29.500"))
    assert seconds(job)["downloading data and image"] == 241


def test_description__with_a_log_keeps_the_finer_phases(tmp_path: Path) -> None:
    (tmp_path / "describe.json").write_text(json.dumps(DESCRIPTION))
    job = job_of(tmp_path, LOG) and read_job(tmp_path)
    assert job.bill is not None
    assert seconds(job)["downloading the data"] == 120
    assert (job.bill.seconds, job.before_first_step) == (619, 254.5)


def test_description__with_times_as_numbers(tmp_path: Path) -> None:
    content = {"TrainingJobName": "a", "TrainingStartTime": 1672567330.5, "TrainingEndTime": 1672567430.5}
    (tmp_path / "describe.json").write_text(json.dumps(content))
    job = read_job(tmp_path)
    assert job.bill is not None
    assert job.bill.seconds == 100


def test_bill__of_spot_instances_says_what_was_saved(tmp_path: Path) -> None:
    text = tell(job_of(tmp_path, shift(LOG, "Billable seconds: 579", "Billable seconds: 193")))
    assert "Charged were 193 s, 67% less" in text


def test_bill__of_several_instances_is_not_longer_than_the_job(tmp_path: Path) -> None:
    job = job_of(tmp_path, LOG.replace("seconds: 579", "seconds: 1238"))
    assert job.bill is not None
    assert (job.bill.seconds, job.bill.charged) == (619, 1238)


def test_image__ends_with_the_first_words_of_the_container_where_the_log_missed_its_end(tmp_path: Path) -> None:
    log = shift(LOG, "2023-01-01 10:06:11 Training - Training image download completed. Training in progress.\n", "\n")
    assert seconds(job_of(tmp_path, log))["downloading the image"] == pytest.approx(124.31)


def test_first_step__not_known_gives_a_lower_bound(tmp_path: Path) -> None:
    log = shift(LOG, "[2023-01-01 10:06:25.000 algo-1:27 INFO hook.py:421] Monitoring the collections", "it is")
    job = job_of(tmp_path, log)
    assert job.before_first_step is None
    assert "not known, for nothing tells when it was; 201 s (35% of the bill) at least" in " ".join(tell(job).split())


def test_first_step__by_a_line_of_cloudwatch_is_an_upper_bound(tmp_path: Path) -> None:
    (tmp_path / "sdk.log").write_text(shift(LOG, "Monitoring the collections", "Saving to"))
    (tmp_path / "cloudwatch.log").write_text(f"2023-01-01T10:08:00Z {epoch_line({'epoch': 0, 'step': 209})}\n")
    job = read_job(tmp_path)
    assert job.before_first_step == stamp("10:08:00") - stamp("10:02:50")
    assert "at most 310 s" in tell(job)


def test_first_step__by_the_report_of_the_profiler(tmp_path: Path) -> None:
    details = {"step_num": {"first": int(stamp("10:06:30") * 1e6), "last": int(stamp("10:12:00") * 1e6)}}
    (tmp_path / "MaxInitializationTime.json").write_text(json.dumps(report(Details=details)))
    job = job_of(tmp_path, LOG) and read_job(tmp_path)
    assert job.before_first_step == 220


def test_running_job__is_told_as_far_as_it_is_known(tmp_path: Path) -> None:
    job = job_of(tmp_path, LOG[: LOG.index("train loss")])
    assert job.status == "Training"
    assert job.bill is not None
    assert job.bill.seconds == stamp("10:06:25") - stamp("10:02:10")
    assert "so far" in tell(job)


def test_log__cut_anywhere_is_told_or_refused(tmp_path: Path) -> None:
    for cut in range(0, len(LOG), 11):
        if "Starting the" in LOG[:cut]:
            assert tell(job_of(tmp_path, LOG[:cut]))


def test_log__printed_after_the_end_has_no_phases(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "".join(
            f"2023-01-01 10:12:29 {words}\n"
            for words in (
                "Downloading - Downloading input data",
                "Training - Training image download completed. Training in progress.",
                "Completed - Training job completed",
            )
        )
        + "Training seconds: 579\n",
    )
    assert job.phases == ()
    assert "phases not known" in tell(job)
    assert job.bill is not None
    assert job.bill.seconds == 579


def test_times__that_go_backwards_are_not_known(tmp_path: Path) -> None:
    job = job_of(tmp_path, shift(LOG, "10:04:10 Training", "10:01:10 Training"))
    assert seconds(job)["downloading the data"] is None
    assert "times go backwards in downloading the data" in tell(job)


# AWS's rules


def report(**changed: Any) -> dict[str, Any]:
    whole = {"RuleTriggered": 0, "Violations": 0, "Details": {}, "Datapoints": 1158, "RuleParameters": ""}
    return whole | changed


def write_report(tmp_path: Path, name: str, **changed: Any) -> None:
    folder = tmp_path / "rule-output" / "ProfilerReport-1672567200" / "profiler-output" / "profiler-reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report(**changed)))


def rule(job: Job, name: str) -> AwsRule:
    return next(rule for rule in job.rules if rule.name == name)


def paragraph(job: Job, beginning: str) -> str:
    found = [part for part in tell(job).split("\n\n") if part.startswith(beginning)]
    return " ".join(found[0].split())


def test_error__is_told_as_missing_data(tmp_path: Path) -> None:
    told = paragraph(job_of(tmp_path, LOG), "Error:")
    assert "not a finding" in told
    assert "the data it reads is missing" in told
    assert "- Overfit fires when" in told
    assert "- LossNotDecreasing fires when" in told
    assert "PoorWeightInitialization" not in told


def test_error__repeats_the_reason_that_aws_gives(tmp_path: Path) -> None:
    (tmp_path / "describe.json").write_text(json.dumps(DESCRIPTION))
    told = paragraph(read_job(tmp_path), "Error:")
    assert '"ClientError: No debugging data was saved by the training job."' in told
    assert "Traceback" not in told


def test_poor_weight_initialization__warns_of_pretrained_weights(tmp_path: Path) -> None:
    assert "pretrained weights fire it" in paragraph(job_of(tmp_path, LOG), "IssuesFound:")


def test_status__of_the_description_counts_more_than_that_of_the_log(tmp_path: Path) -> None:
    statuses = [{"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluationStatus": "NoIssuesFound"}]
    (tmp_path / "describe.json").write_text(json.dumps(DESCRIPTION | {"DebugRuleEvaluationStatuses": statuses}))
    job = job_of(tmp_path, LOG) and read_job(tmp_path)
    assert rule(job, "LossNotDecreasing").status == "NoIssuesFound"


def test_report__with_its_parameters_and_counts(tmp_path: Path) -> None:
    write_report(
        tmp_path,
        "LowGPUUtilization",
        Violations=49,
        Datapoints=6867,
        RuleParameters="threshold_p95:70\nthreshold_p5:10\nwindow:500\npatience:1000",
    )
    found = rule(read_job(tmp_path), "LowGPUUtilization")
    assert found.parameters == {"threshold_p95": "70", "threshold_p5": "10", "window": "500", "patience": "1000"}
    assert (found.violations, found.datapoints) == (49, 6867)
    assert "49 violations in 6,867 datapoints" in paragraph(read_job(tmp_path), "IssuesFound:")


def test_report__without_datapoints_is_no_good_news(tmp_path: Path) -> None:
    write_report(tmp_path, "StepOutlier", Datapoints=0)
    assert "it looked at nothing" in paragraph(read_job(tmp_path), "NoIssuesFound:")


def test_report__that_only_tabulates_needs_no_datapoints(tmp_path: Path) -> None:
    write_report(tmp_path, "OverallFrameworkMetrics", Datapoints=0)
    assert "looked at nothing" not in tell(read_job(tmp_path))


def test_report__of_a_rule_that_could_not_fire_in_so_short_a_run(tmp_path: Path) -> None:
    write_report(tmp_path, "BatchSize", Datapoints=430, RuleParameters="patience:1000")
    assert "It could not fire: it waits for 1000 datapoints, 8.3 minutes" in paragraph(
        read_job(tmp_path), "NoIssuesFound:"
    )


@pytest.mark.parametrize("name", sorted(set(rules.__all__) - {"Rule", *NEVER_FIRE}))
def test_every_rule_of_ours__is_told_in_its_own_words(name: str) -> None:
    words = getattr(rules, name).__doc__.splitlines()[0].rstrip(".")[1:]
    told = paragraph(Job(path=Path("job"), rules=(AwsRule(name, "Stopped"),)), "Stopped:")
    assert words in told
    assert "It reads" in told


def test_rule__of_somebody_else_is_told_without_a_guess(tmp_path: Path) -> None:
    assert "my_own_rule is not one of the rules that we know" in tell(job_of(tmp_path, "my_own_rule: IssuesFound\n"))


def test_epochs__of_whole_numbers_are_doubted(tmp_path: Path) -> None:
    assert "whole numbers throughout" in tell(job_of(tmp_path, LOG))
    assert "whole numbers" not in tell(job_of(tmp_path, shift(LOG, "76.0", "2.31")))


# The profiler's samples


def write_system(tmp_path: Path, *lines: dict[str, Any], end: str = "\n") -> None:
    folder = tmp_path / "profiler-output" / "system" / "incremental" / "2023010110"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1672567560.algo-1.json").write_text("\n".join(json.dumps(line) for line in lines) + end)


def line(time: float, dimension: str, name: str, value: float, node: str = "algo-1") -> dict[str, Any]:
    kind = "gpu" if "GPU" in dimension else "cpu"
    told = {"Type": kind, "Name": name, "Dimension": dimension, "Value": value}
    return told | {"NodeId": node, "Timestamp": time}


def test_machine__samples_by_moment_core_and_gpu(tmp_path: Path) -> None:
    start = stamp("10:06:00")
    write_system(
        tmp_path,
        line(start + 0.5, "CPUUtilization", "cpu10", 30),
        line(start + 0.5, "CPUUtilization", "cpu2", 20),
        line(start + 0.5, "I/OWaitPercentage", "cpu2", 7),
        line(start + 0.5, "MemoryUsedPercent", "MemoryUsedPercent", 11),
        line(start, "CPUUtilization", "cpu2", 90),
        line(start, "CPUUtilization", "cpu10", 95),
        line(start, "GPUUtilization", "gpu0", 55),
        line(start, "GPUMemoryUtilization", "gpu0", 12),
        line(start, "GPUUtilization", "gpu0", 99, node="algo-2"),
    )
    job = read_job(tmp_path)
    assert list(events(job)) == [
        MachineSample(0.0, cores=(90, 95), gpus=(55,), gpu_memory=(12,)),
        MachineSample(0.5, cores=(20, 30), io_wait=(7,)),
    ]
    assert (facts(job).cores, facts(job).gpus) == (2, 1)
    assert "not those of algo-2" in tell(job)


def test_machine__seconds_count_from_the_bill_and_training_from_the_first_step(tmp_path: Path) -> None:
    write_system(tmp_path, *(line(stamp(at), "CPUUtilization", "cpu0", 1) for at in ("10:06:20", "10:06:30")))
    job = job_of(tmp_path, LOG) and read_job(tmp_path)
    found = [(event.seconds, event.training) for event in events(job) if isinstance(event, MachineSample)]
    assert found == [(210, False), (220, True)]


def test_machine__half_written_file(tmp_path: Path) -> None:
    write_system(tmp_path, line(1.0, "CPUUtilization", "cpu0", 1), end='\n{"Type": "cpu", "Na')
    job = read_job(tmp_path)
    assert len(job.machine.samples) == 1
    assert "1 damaged lines of the profiler" in tell(job)


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three steps of training and one of an evaluation, written by smdebug itself."""
    writer = pytest.importorskip("smdebug.core.tfevent.timeline_file_writer")
    parser = pytest.importorskip("smdebug.profiler.profiler_config_parser")
    config = {"ProfilingParameters": {"ProfilerEnabled": True, "LocalPath": str(tmp_path / "profiler-output")}}
    (tmp_path / "profilerconfig.jsonc").write_text(json.dumps(config))
    monkeypatch.setenv("SMPROFILER_CONFIG_PATH", str(tmp_path / "profilerconfig.jsonc"))
    timeline = writer.TimelineFileWriter(parser.ProfilerConfigParser())
    start = stamp("10:06:25")
    for mode, number, at in (("TRAIN", 0, 0.0), ("TRAIN", 1, 2.0), ("EVAL", 0, 3.0), ("TRAIN", 2, 4.0)):
        name = f"Step:ModeKeys.{mode}"
        timeline.write_trace_events(start + at, name, name, duration=0.5, step_num=str(number), pid=1)
    timeline.write_trace_events(start, "Forward", "ResNet", duration=0.25, step_num="0", pid=1)
    timeline.close()
    return tmp_path


def test_steps__of_smdebugs_own_trace(profiled: Path) -> None:
    job = read_job(profiled)
    samples = [event for event in events(job) if isinstance(event, Sample)]
    assert [(one.mode, one.step, one.seconds) for one in samples] == [
        ("TRAIN", 0, 0.5),
        ("TRAIN", 1, 2.5),
        ("EVAL", 1, 3.5),
        ("TRAIN", 2, 4.5),
    ]
    assert [one.durations for one in samples] == [(0.5,)] * 4
    assert job.first_step is not None
    assert job.first_step.time == stamp("10:06:25")


def test_steps__of_a_trace_that_is_cut(profiled: Path) -> None:
    trace = next(profiled.rglob("*pythontimeline.json"))
    text = trace.read_text()
    trace.write_text(text[: text.rindex('"ph"')])
    assert len(read_job(profiled).steps) == 4


def test_losses__of_our_own_epoch_lines(tmp_path: Path) -> None:
    rows = [
        {"epoch": epoch, "step": 209 * (epoch + 1), "train/loss": 2.0 - epoch, "val/loss": 2.5 - epoch}
        for epoch in (0, 1)
    ]
    job = job_of(tmp_path, "".join(f"{epoch_line(row)}\n" for row in rows))
    samples = [event for event in events(job) if isinstance(event, Sample)]
    assert [(one.mode, one.epoch, one.losses) for one in samples] == [
        ("TRAIN", 0, ((209, 2.0),)),
        ("EVAL", 0, ((0, 2.5),)),
        ("TRAIN", 1, ((418, 1.0),)),
        ("EVAL", 1, ((1, 1.5),)),
    ]


def test_error__gets_an_answer_from_our_own_rule(tmp_path: Path) -> None:
    """AWS could not evaluate Overfit; the losses that the log itself holds can be judged."""
    rows = [{"epoch": 0, "step": 209, "train/loss": 1.0, "val/loss": 1.5}]
    job = job_of(tmp_path, LOG + "".join(f"{epoch_line(row)}\n" for row in rows))
    parameters = yaml.safe_load((Path(__file__).parents[3] / "conf/health/aws.yaml").read_text())["rules"]["Overfit"]
    ours = rules.Overfit(**{key: value for key, value in parameters.items() if key != "_target_"})
    for event in events(job):
        if isinstance(event, Sample):
            ours.see(event)
    assert rule(job, "Overfit").status == "Error"
    assert ours.outcome(facts(job)).status is Status.ISSUES


def test_tensors__are_found_and_left_to_others(tmp_path: Path) -> None:
    for name in ("collections", "events", "index"):
        (tmp_path / "debug-output" / name / "000000000").mkdir(parents=True)
    job = read_job(tmp_path)
    assert job.tensors == tmp_path / "debug-output"
    assert list(events(job)) == []


# Bad input


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.log", ""),
        ("other.log", "nothing of a job\n"),
        ("other.json", '{"lr": 0.1}'),
        ("list.json", "[1, 2]"),
        ("half.json", '{"TrainingJobName": "dogs", "Secon'),
        ("model.tar.gz", "Overfit: Error"),
        ("binary.log", "Overfit: Error\n\0"),
    ],
)
def test_foreign_file__is_one_clear_error(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match="tells nothing of a SageMaker job"):
        read_job(tmp_path / name)


def test_missing_path__is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_job(tmp_path / "nowhere")


def test_half_written_report__is_noted_beside_what_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "BatchSize.json").write_text('{"RuleTriggered": 0, "Viol')
    job = job_of(tmp_path, LOG) and read_job(tmp_path)
    assert job.bill is not None
    assert "BatchSize.json is no whole JSON" in tell(job)


@pytest.mark.parametrize(
    "content",
    [
        {"TrainingJobName": "a", "SecondaryStatusTransitions": None, "TrainingStartTime": "soon"},
        {"TrainingJobName": "a", "TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: exit code 1"},
        {"TrainingJobName": "a", "SecondaryStatusTransitions": ["Starting"], "ResourceConfig": [], "FailureReason": 1},
        {"TrainingJobName": "a", "TrainingStartTime": 1e30, "TrainingEndTime": 2e30, "DebugRuleEvaluationStatuses": {}},
        {"RuleTriggered": None, "Violations": "many", "Details": [], "Datapoints": None, "RuleParameters": None},
    ],
)
def test_odd_json__is_told_as_not_known(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "odd.json").write_text(json.dumps(content))
    assert "not known" in tell(read_job(tmp_path))


def test_failure__is_told_with_its_reason(tmp_path: Path) -> None:
    content = {"TrainingJobName": "a", "TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: exit code 1"}
    (tmp_path / "describe.json").write_text(json.dumps(content))
    assert "AlgorithmError: exit code 1" in tell(read_job(tmp_path))
