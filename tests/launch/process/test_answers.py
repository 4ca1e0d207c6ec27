"""The answers have the shape of SageMaker's: botocore's own model of the service is the oracle."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

STEP = "say('val/acc=' + told['rate']); (base / 'model/weights').write_text('w')"


@cache
def client() -> Any:
    """To make one takes a second."""
    session = pytest.importorskip("boto3").Session("a", "b", region_name="us-east-1")
    return session.client("sagemaker")


def answer_of(operation: str, description: dict[str, Any]) -> dict[str, Any]:
    """The answer as boto3 would give it, had SageMaker sent it; refused where the model does not know it so."""
    pytest.importorskip("boto3")
    from botocore.stub import Stubber

    with Stubber(client()) as stub:
        stub.add_response(operation, description)
        name = "TrainingJobName" if operation == "describe_training_job" else "HyperParameterTuningJobName"
        asked = {} if operation == "list_hyper_parameter_tuning_jobs" else {name: "any"}
        answer: dict[str, Any] = getattr(client(), operation)(**asked)
    return answer


@pytest.mark.parametrize(
    "program",
    [STEP, "(base / 'output/failure').write_text('why'); sys.exit(1)", "signal.pause()"],
    ids=["completed", "failed", "running, then stopped"],
)
def test_training_job__is_described_as_by_sagemaker(bench, program: str) -> None:
    debugger = {"DebugHookConfig": {"S3OutputPath": "s3://dogbreed/debug"}}
    bench.start(program, hyperparameters={"rate": "0.5"}, debugger=debugger, settings={"tensorboard": True})
    if program == "signal.pause()":
        running = bench.wait(statuses=["Training"])
        assert running.pop("Tags")
        answer_of("describe_training_job", running)
        bench.backend.stop_training_job("job")
    ended = bench.wait()
    assert ended.pop("Tags") == [{"Key": "dogbreed:launch", "Value": "one"}]
    answer_of("describe_training_job", ended)
    shown = bench.backend.list_training_jobs({"dogbreed:launch": "one"}, 5)
    assert [{key: one[key] for key in ended} for one in shown] == [ended]


def test_tuning_job__is_described_as_by_sagemaker(bench) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.5"]}]}
    request = bench.tuning_request(STEP, ranges, tuner={"strategy": "Grid", "max_runtime_s": 1000})
    bench.backend.create_tuning_job(request)
    running = bench.backend.describe_tuning_job("tuning")
    assert running.pop("Tags") == request["Tags"]
    answer_of("describe_hyper_parameter_tuning_job", running)
    done = bench.wait_for_tuning()
    done.pop("Tags")
    answer_of("describe_hyper_parameter_tuning_job", done)
    listed = bench.backend.list_tuning_jobs(9, "tun")
    assert [one["TrainingJobStatusCounters"]["Completed"] for one in listed] == [1]
    answer_of("list_hyper_parameter_tuning_jobs", {"HyperParameterTuningJobSummaries": listed})
    assert bench.backend.list_tuning_jobs(9, "other") == []
    trials = bench.backend.list_trials("tuning")
    answer_of(
        "list_training_jobs_for_hyper_parameter_tuning_job",
        {"TrainingJobSummaries": trials},
    )
    described = bench.look(trials[0]["TrainingJobName"])
    described.pop("Tags")
    answer_of("describe_training_job", described)
    assert described["TuningJobArn"] == done["HyperParameterTuningJobArn"]
