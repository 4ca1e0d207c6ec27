"""AWS's stand-in: what it does as AWS does, and the commands against `python -m launch.standin` as a user runs them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from dogbreed.serving.predictor import Predictor
from launch.errors import LaunchError
from launch.settings import JobSettings
from launch.standin import stand_in
from tests.launch.process.conftest import Bench, values_in

CHOICES = {"CategoricalParameterRanges": [{"Name": "head", "Values": ['"linear"', "16"]}]}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a stand-in, set here, too."""
    pytest.importorskip("moto.server")
    with stand_in(tmp_path_factory.mktemp("standin")) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield found


def make_bench(directory: Path) -> Bench:
    """Small jobs, sent as to AWS, by the environment."""
    import boto3

    from launch.aws.backend import SageMakerBackend

    boto3.Session().client("s3").create_bucket(Bucket="dogbreed")
    settings = JobSettings(**values_in("job/default.yaml"))
    return Bench(directory, SageMakerBackend(boto3.Session()), settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bench(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


def test_training_job__runs_prints_and_leaves_its_results_in_s3(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    program = 'say("val/acc=0.5"); (base / "model/head").write_text("weights")'
    done = bench.run(program, "runs")
    assert done["TrainingJobStatus"] == "Completed", done
    account = environment["DOGBREED_ROLE"].split(":")[4]
    assert done["TrainingJobArn"] == f"arn:aws:sagemaker:us-east-1:{account}:training-job/runs"
    assert [metric["Value"] for metric in done["FinalMetricDataList"]] == [0.5]
    assert "val/acc=0.5" in bench.log("runs")
    bench.backend.store.get(done["ModelArtifacts"]["S3ModelArtifacts"], tmp_path / "model.tar.gz")
    named = bench.backend.list_training_jobs({}, 10, "run")
    assert [job["TrainingJobName"] for job in named] == ["runs"]


def test_training_job__that_fails_says_why(bench: Bench) -> None:
    done = bench.run('(base / "output/failure").write_text("no dogs"); sys.exit(3)', "fails")
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"] == "AlgorithmError: no dogs, exit code: 3"


def test_training_job__stops(bench: Bench) -> None:
    bench.start('say("here"); time.sleep(600)', "stops")
    bench.wait_for_line("here", "stops")
    bench.backend.stop_training_job("stops")
    assert bench.wait("stops")["TrainingJobStatus"] == "Stopped"


def test_tuning_job__has_trials(bench: Bench) -> None:
    done = bench.tune('say(f"val/acc={len(told)}")', CHOICES, "tuning", tuner={"strategy": "Grid"})
    assert done["HyperParameterTuningJobStatus"] == "Completed", done
    assert {job["HyperParameterTuningJobName"] for job in bench.backend.list_tuning_jobs(10)} == {"tuning"}
    tried = [trial["TunedHyperParameters"]["head"] for trial in bench.backend.list_trials("tuning")]
    assert sorted(tried) == ['"linear"', "16"]


def test_training_job__whose_results_cannot_be_sent_sends_them_the_next_time(bench: Bench, tmp_path: Path) -> None:
    import boto3

    request = bench.request('(base / "model/head").write_text("weights")', "later")
    request["OutputDataConfig"]["S3OutputPath"] = "s3://not-yet/results"
    bench.backend.create_training_job(request)
    with pytest.raises(LaunchError, match="not-yet"):
        bench.wait("later")
    boto3.Session().client("s3").create_bucket(Bucket="not-yet")
    model = bench.wait("later")["ModelArtifacts"]["S3ModelArtifacts"]
    bench.backend.store.get(model, tmp_path / "model.tar.gz")


def test_transform_job__whose_model_is_not_there_fails_and_says_why(bench: Bench, environment: dict[str, str]) -> None:
    import boto3
    from botocore.exceptions import ClientError

    client, role = boto3.Session().client("sagemaker"), environment["DOGBREED_ROLE"]
    archive = "s3://dogbreed/none.tar.gz"
    client.create_model(
        ModelName="none", PrimaryContainer={"Image": "mine:1", "ModelDataUrl": archive}, ExecutionRoleArn=role
    )
    source = {"S3DataType": "ManifestFile", "S3Uri": "s3://dogbreed/none.json"}
    client.create_transform_job(
        TransformJobName="fails",
        ModelName="none",
        TransformInput={"DataSource": {"S3DataSource": source}},
        TransformOutput={"S3OutputPath": "s3://dogbreed/answers"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    end = time.monotonic() + 60
    while (job := client.describe_transform_job(TransformJobName="fails"))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < end, job
        time.sleep(0.05)
    assert (job["TransformJobStatus"], archive in job["FailureReason"]) == ("Failed", True), job
    client.stop_transform_job(TransformJobName="fails")  # it has ended, and stays so
    assert client.describe_transform_job(TransformJobName="fails")["TransformJobStatus"] == "Failed"
    with pytest.raises(ClientError, match="not found"):
        client.stop_transform_job(TransformJobName="never-made")


def test_lists__need_no_more_than_at_aws(bench: Bench) -> None:
    import boto3

    bench.run("", "listed")
    session = boto3.Session()
    client = session.client("sagemaker")
    assert "listed" in {
        one["TrainingJob"]["TrainingJobName"] for one in client.search(Resource="TrainingJob")["Results"]
    }
    assert "HyperParameterTuningJobSummaries" in client.list_hyper_parameter_tuning_jobs()
    streams = session.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert "listed/algo-1" in {one["logStreamName"] for one in streams}


def test_s3__tells_the_size_of_a_file(bench: Bench) -> None:
    import boto3

    client = boto3.Session().client("s3")
    client.put_object(Bucket="dogbreed", Key="five", Body=b"bytes")
    assert client.head_object(Bucket="dogbreed", Key="five")["ContentLength"] == 5


def test_door__answers_a_defect_with_500(bench: Bench, environment: dict[str, str]) -> None:
    import urllib.error
    import urllib.request

    nothing = urllib.request.Request(
        environment["AWS_ENDPOINT_URL"], b"{}", {"X-Amz-Target": "SageMaker.DescribeTrainingJob"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(nothing)
    assert (caught.value.code, json.load(caught.value)["__type"]) == (500, "InternalFailure")


def test_door__that_closes_starts_nothing(bench: Bench, tmp_path: Path) -> None:
    from launch.standin.jobs import Jobs
    from launch.standin.moto import Moto, Refusal

    jobs = Jobs(Moto("http://127.0.0.1:9", "123456789012", "us-east-1"), tmp_path)
    jobs.close()
    with pytest.raises(Refusal, match="closing"):
        jobs.operations["CreateTrainingJob"](bench.request("", "late"), dict)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"TrainingJobName": "my_dogs"}, "TrainingJobName: my_dogs"), ({"RoleArn": "d" * 20}, "RoleArn: dddd")],
)
def test_training_job__that_aws_would_not_take_is_refused(bench: Bench, change: dict[str, Any], told: str) -> None:
    request = bench.request("", "wrong") | change
    with pytest.raises(LaunchError, match=told):
        bench.backend.create_training_job(request)
    assert bench.backend.describe_training_job("wrong") is None


def test_stand_in__without_moto_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moto.server", None)
    with pytest.raises(LaunchError, match=r"dogbreed\[standin\]"), stand_in(tmp_path):
        pass


def test_stand_in__minds_no_profile_of_the_user_and_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("no config")
    logger = logging.getLogger("werkzeug")
    before = logger.disabled, list(warnings.filters)
    with stand_in(tmp_path / "standin") as found:
        assert found["AWS_PROFILE"] == "standin"
    assert (logger.disabled, list(warnings.filters)) == before


@dataclass(frozen=True)
class Terminal:
    """A terminal into which the lines of `python -m launch.standin` were pasted, which runs in another one."""

    environment: dict[str, str]

    def run(self, module: str, *arguments: object, code: int = 0) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@contextmanager
def until_ctrl_c() -> Iterator[Terminal]:
    """A stand-in that ends in order, and leaves nothing."""
    process = subprocess.Popen([sys.executable, "-m", "launch.standin"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    script = ""
    while "until Ctrl-C" not in script:
        line = process.stdout.readline()
        assert line, script
        script += line
    pasted = subprocess.run(["bash", "-c", f"{script}env -0"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.split("=", 1) for line in pasted.split("\0") if line)
    try:
        yield Terminal(environment)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not Path(environment["AWS_CONFIG_FILE"]).parent.exists()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with until_ctrl_c() as found:
        yield found


@pytest.mark.slow
def test_command__ctrl_c_ends_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with until_ctrl_c() as terminal:
        for name in (name for name in terminal.environment if name.startswith("AWS_")):
            monkeypatch.setenv(name, terminal.environment[name])
        bench = make_bench(tmp_path)
        bench.start("say(os.getpid()); time.sleep(600)")
        bench.wait_for_line("")
        number = int(bench.log()[0])
        assert psutil.pid_exists(number)
    assert not psutil.pid_exists(number)


@pytest.mark.slow
def test_command__deploy_ask_delete(terminal: Terminal, artifact: Path, shared_folder: Path) -> None:
    made = terminal.run("launch.deploy", f"artifact={artifact}", "name=dogs", "sagemaker.image=mine:1")
    assert "python -m launch.ask dogs PICTURES" in made
    picture = next(shared_folder.rglob("test/*/*.jpg"))
    answer = json.loads(terminal.run("launch.ask", "dogs", picture, "--format", "jsonl"))
    here = Predictor.load(artifact)(picture)
    assert (answer["breed"], answer["model"]) == (here.breed, here.model)
    assert answer["probability"] == pytest.approx(here.probability, abs=1e-5)
    terminal.run("launch.delete", "dogs")
    assert json.loads(terminal.run("launch.endpoints", "--format", "json")) == []


@pytest.mark.slow
def test_command__whole_job(terminal: Terminal, small_run: list[str], shared_folder: Path, tmp_path: Path) -> None:
    sent = terminal.run("launch.upload", shared_folder)
    (channel,) = (line for line in sent.splitlines() if line.startswith("sagemaker.channels.data="))
    run = tmp_path / "run"
    account = ["sagemaker.image=mine:1", "sagemaker.poll_s=0.2", channel, f"hydra.run.dir={run}"]
    told = terminal.run("launch.train", *small_run, "trainer.max_epochs=1", *account)
    assert "epoch=0 " in told
    assert "Completed" in told
    picture = next(shared_folder.rglob("test/*/*.jpg"))
    assert Predictor.load(run / "artifact")(picture).breed
    (job,) = json.loads(terminal.run("launch.jobs", "cost", "--json"))["jobs"]
    assert "epoch=0 " in terminal.run("launch.jobs", "logs", job["name"])


@pytest.mark.slow
def test_command__port_that_is_taken_is_one_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = Terminal({**os.environ}).run("launch.standin", "--port", taken.getsockname()[1], code=1)
    assert told.startswith("error: 127.0.0.1:")
    assert told.endswith("what to do: set --port\n")
