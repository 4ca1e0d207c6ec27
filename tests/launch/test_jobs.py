"""`python -m launch.jobs`, on the process backend's real jobs and on a backend that follows a script."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import ConfigError
from launch import jobs
from launch.connect import connect, jobs_folder
from launch.errors import LaunchError
from launch.files.fetching import ENDED
from launch.names import ARCHIVE
from launch.process.backend import ProcessBackend
from launch.views.describing import local_command, objective
from launch.views.finding import find_job
from launch.views.watching import watch_training_job
from tests.launch.conftest import Aws
from tests.launch.scripted import STEPS, Scene, ScriptedBackend, at, describe, printed, scenes_of

Jobs = Callable[..., tuple[int, str, str]]

#: A job that prints as a run does, and leaves a run's directory and an artifact.
PROGRAM = """
cd "$(dirname "$0")/../.."
echo "epoch=0 step=4 train/loss=0.5 val/loss=0.5 val/acc=0.75"
echo '{}' > output/data/run.json
echo 1 > model/head.pt
echo "best epoch: val/loss=0.5 val/acc=0.75 test/acc=0.5"
"""


@pytest.fixture
def backend(tmp_path: Path) -> ScriptedBackend:
    return ScriptedBackend(tmp_path / "store")


@pytest.fixture
def run(backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Jobs:
    """Runs the command against the script: its exit code, what it printed, and its errors."""
    monkeypatch.setattr(jobs, "connect", lambda *where: backend)
    monkeypatch.setattr(jobs, "_POLL_S", 0.001)
    monkeypatch.delenv("DOGBREED_PRICES", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = jobs.main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return call


def tagged(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key.replace("_", ":"), "Value": text} for key, text in tags.items()]


def play(backend: ScriptedBackend, name: str, created: float = 0.0, **more: Any) -> None:
    """A job that has gone well, asked for at `created`."""
    acc = {"MetricName": "val/acc", "Value": 0.8125, "Timestamp": at(300)}
    more = {"CreationTime": at(created), "FinalMetricDataList": [acc], **more}
    backend.play(name, Scene(describe(name, *STEPS, **more), [printed(200, "epoch=0 step=4 val/acc=0.5")]))


def test_jobs__list_is_a_table_with_the_newest_first(backend: ScriptedBackend, run: Jobs) -> None:
    play(backend, "cats", created=10.0)
    play(backend, "dogs", created=20.0)
    code, out, _ = run("list")
    head, *rows = out.splitlines()
    assert code == 0
    assert head.split() == ["job", "status", "age", "billed", "instances", "tuning", "job", "objective", "cost"]
    assert [row.split()[:2] for row in rows] == [["dogs", "Completed"], ["cats", "Completed"]]
    # 360 s of an ml.g5.xlarge at 1.408 an hour
    assert rows[0].split()[-7:] == ["6.0", "min", "1", "ml.g5.xlarge", "val/acc=0.8125", "0.14", "USD"]


def test_jobs__list_by_tag_experiment_and_part_of_a_name(backend: ScriptedBackend, run: Jobs) -> None:
    play(backend, "dogs-a", Tags=tagged(dogbreed_experiment="lr", team="x"))
    play(backend, "dogs-b", Tags=tagged(dogbreed_experiment="lr", team="y"))
    play(backend, "cats", Tags=tagged(dogbreed_experiment="augment"))

    def listed(*chosen: str) -> set[str]:
        return {job["name"] for job in json.loads(run("list", "--json", *chosen)[1])["jobs"]}

    assert listed() == {"dogs-a", "dogs-b", "cats"}
    assert listed("--experiment", "lr") == {"dogs-a", "dogs-b"}
    assert listed("--experiment", "lr", "--tag", "team=y") == {"dogs-b"}
    assert listed("a") == {"dogs-a", "cats"}
    assert len(listed("--limit", "1")) == 1


def test_jobs__limit_is_of_the_jobs_with_that_name(backend: ScriptedBackend, run: Jobs) -> None:
    for number in range(30):
        play(backend, f"dogs-{number:03d}", created=number)
    _, out, errors = run("list", "001", "--limit", "1")
    assert out.splitlines()[-1].split()[0] == "dogs-001"
    assert errors == ""
    _, out, errors = run("cost", "--price-per-hour", "10")
    assert "all: 20 jobs" in out
    assert errors == "only the 20 newest training jobs; there are more: --limit 40\n"


def test_jobs__empty_list_says_what_to_do(run: Jobs) -> None:
    assert run("list")[:2] == (0, "no training jobs; python -m launch.train starts one\n")
    assert "no training jobs like that" in run("list", "--experiment", "lr")[1]


def test_jobs__unknown_price_is_said_once_and_may_be_given(backend: ScriptedBackend, run: Jobs) -> None:
    rare = {"InstanceType": "ml.rare.huge", "InstanceCount": 2}
    play(backend, "a", ResourceConfig=rare)
    play(backend, "b", ResourceConfig=rare)
    code, _, errors = run("list")
    assert code == 0
    assert errors.count("ml.rare.huge: price unknown in us-east-1") == 1
    listed = json.loads(run("list", "--json", "--price-per-hour", "5")[1])["jobs"]
    assert [job["usd"] for job in listed] == [pytest.approx(2 * 360 / 3600 * 5)] * 2


def test_jobs__cost_is_split_and_summed_by_experiment(backend: ScriptedBackend, run: Jobs) -> None:
    play(backend, "a", Tags=tagged(dogbreed_experiment="lr"))
    play(backend, "b", Tags=tagged(dogbreed_experiment="lr"))
    play(backend, "c", Tags=tagged(dogbreed_experiment="other"))
    _, out, _ = run("cost", "--price-per-hour", "10")
    assert "a: 360 s billed: data 40 s, training 300 s, upload 20 s" in out
    assert "experiment lr: 2 jobs: 720 s billed" in out
    assert "all: 3 jobs: 1,080 s billed" in out
    assert "1,080 s paid: 3.0000 USD" in out
    assert json.loads(run("cost", "--json", "--price-per-hour", "10")[1])["usd"] == pytest.approx(3.0)


def test_jobs__describe_tells_how_it_went_and_the_same_run_here(backend: ScriptedBackend, run: Jobs) -> None:
    source = {"S3DataSource": {"S3Uri": "s3://bucket/photos"}}
    play(backend, "dogs", InputDataConfig=[{"ChannelName": "data", "DataSource": source}])
    code, out, _ = run("describe", "dogs")
    assert code == 0
    assert "python -m dogbreed.train backbone=resnet18 optimizer.lr=0.5 data.root=FOLDER" in out
    assert "data: s3://bucket/photos" in out
    assert "s3://bucket/dogbreed/jobs/dogs/output/" in out
    assert out.splitlines()[-1] == "  python -m launch.jobs fetch dogs"
    assert json.loads(run("describe", "dogs", "--json")[1])["CreationTime"] == at(0).isoformat()


def test_describe__local_command_of_a_sweep_and_of_another_program() -> None:
    sweep = {"HyperParameters": {"hydra/sweeper": '"fleet"', "optimizer.lr": '{"_sweep_": "0.1,0.2"}'}}
    assert local_command(sweep) == "python -m dogbreed.train -m hydra/sweeper=fleet optimizer.lr=0.1,0.2"
    other = {"HyperParameters": {"seed": "1"}, "Environment": {"DOGBREED_COMMAND": '["-m", "their.module"]'}}
    assert local_command(other) == "python -m their.module seed=1"


def test_describe__local_command_reads_what_is_on_this_machine() -> None:
    source = {"S3DataSource": {"S3Uri": "s3://local/home/a photo"}}
    read = {"InputDataConfig": [{"ChannelName": "data", "DataSource": source}]}
    assert shlex.split(local_command(read))[-1] == "data.root=/home/a photo"


def test_describe__somebody_elses_job_is_shown_as_it_is(backend: ScriptedBackend, run: Jobs) -> None:
    play(backend, "theirs", HyperParameters={"mode": "fast and loose"})
    code, out, _ = run("describe", "theirs")
    assert code == 0
    assert "mode=fast and loose" in out


def test_jobs__jobs_of_other_kinds_are_listed_too(backend: ScriptedBackend, run: Jobs) -> None:
    play(
        backend, "theirs", ResourceConfig={"InstanceGroups": [{"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2}]}
    )
    code, out, _ = run("list")
    assert code == 0
    assert "theirs" in out


def test_describe__objective_is_the_tuning_jobs_or_the_runs_own() -> None:
    values = [{"MetricName": name, "Value": value} for name, value in (("val/loss", 0.25), ("val/acc", 0.5))]
    assert objective({"FinalMetricDataList": values}) == "val/acc=0.5000"
    told = {"_tuning_objective_metric": "val/loss"}
    assert objective({"FinalMetricDataList": values, "HyperParameters": told}) == "val/loss=0.2500"
    assert objective({"FinalMetricDataList": values, "HyperParameters": {"monitor": '"val/loss"'}}) == "val/loss=0.2500"


def test_jobs__logs_follow_prints_each_line_once(backend: ScriptedBackend, run: Jobs) -> None:
    backend.play("dogs", *scenes_of("dogs"))
    code, out, errors = run("logs", "dogs", "--follow")
    assert code == 0
    assert [line.split(" ", 1)[1][:7] for line in out.splitlines()] == ["reading", "epoch=0", "epoch=1", "best ep"]
    assert "dogs: Uploading" in errors


def test_jobs__stop_asks_and_says_what_has_ended(backend: ScriptedBackend, run: Jobs) -> None:
    backend.play("dogs", Scene(describe("dogs", *STEPS[:3])))
    play(backend, "cats")
    assert run("stop", "dogs")[0] == 0
    assert backend.asked == [("stop", "dogs")]
    assert run("stop", "cats")[1] == "cats has ended already: Completed\n"
    assert backend.asked == [("stop", "dogs")]


def tuning(backend: ScriptedBackend, status: str = "Completed", n_trials: int = 2, **more: Any) -> None:
    """A tuning job `lr`, whose second trial is the best of its two or more."""
    trials = []
    for number in range(1, n_trials + 1):
        value = 0.75 if number == 2 else 0.5
        name = f"lr-{number:03d}-abc"
        arn = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/lr"
        play(backend, name, TuningJobArn=arn, HyperParameters={"optimizer.lr": f"0.{number}"})
        metric = {"MetricName": "val/acc", "Value": value}
        trials.append(
            {
                "TrainingJobName": name,
                "TrainingJobStatus": "Completed",
                "CreationTime": at(0),
                "TunedHyperParameters": {"optimizer.lr": f"0.{number}"},
                "FinalHyperParameterTuningJobObjectiveMetric": metric,
            }
        )
    description = {
        "HyperParameterTuningJobName": "lr",
        "HyperParameterTuningJobStatus": status,
        "HyperParameterTuningJobConfig": {
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "val/acc"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 1},
        },
        "TrainingJobDefinition": {"ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}},
        "CreationTime": at(0),
        "TrainingJobStatusCounters": {"Completed": n_trials},
        **({"BestTrainingJob": trials[1]} if trials else {}),
        **more,
    }
    backend.play_tuning("lr", (Scene(description), trials))


def test_jobs__tuning_job_is_described_by_its_leaderboard(backend: ScriptedBackend, run: Jobs) -> None:
    tuning(backend)
    _, out, _ = run("describe", "lr")
    assert "lr: Completed, 2 trials, val/acc" in out
    assert out.index("0.7500") < out.index("0.5000")
    assert "python -m dogbreed.train optimizer.lr=0.2" in out


def test_jobs__cost_of_a_tuning_job_is_that_of_all_its_trials(backend: ScriptedBackend, run: Jobs) -> None:
    tuning(backend, n_trials=25)
    play(backend, "color-1")
    _, out, errors = run("cost", "lr", "--price-per-hour", "10")
    assert "all: 25 jobs: 9,000 s billed" in out
    assert errors == ""
    _, out, errors = run("cost", "lr", "--limit", "3")
    assert "all: 3 jobs" in out
    assert "only the 3 newest trials of lr" in errors


def test_jobs__list_shows_trials_beside_their_tuning_job(backend: ScriptedBackend, run: Jobs) -> None:
    tuning(backend)
    play(backend, "dogs")
    listed = json.loads(run("list", "--json")[1])
    assert {job["name"]: job["tuning_job"] for job in listed["jobs"]} == {
        "lr-001-abc": "lr",
        "lr-002-abc": "lr",
        "dogs": "",
    }
    rows = [line.split() for line in run("list")[1].splitlines()]
    assert rows[-2] == ["tuning", "job", "status", "age", "trials"]
    assert (rows[-1][:2], rows[-1][-2:]) == (["lr", "Completed"], ["2", "completed"])


def test_jobs__list_shows_a_tuning_job_without_trials(backend: ScriptedBackend, run: Jobs) -> None:
    ours = tagged(dogbreed_experiment="lr")
    tuning(backend, "InProgress", n_trials=0, Tags=ours)
    for chosen in ([], ["l"], ["lr"], ["--experiment", "lr"]):
        row = run("list", *chosen)[1].splitlines()[-1].split()
        assert (row[:2], row[-2:]) == (["lr", "InProgress"], ["none", "yet"])
    for chosen in ([], ["lr"]):
        assert "no training jobs like that" in run("list", *chosen, "--experiment", "other")[1]
    assert find_job(backend, "r").name == "lr"


def test_jobs__logs_of_a_tuning_job_are_those_of_its_trials(backend: ScriptedBackend, run: Jobs) -> None:
    tuning(backend)
    code, _, errors = run("logs", "lr")
    assert code == 1
    assert "lr-001-abc, lr-002-abc" in errors
    assert "lr: Completed, 2 completed" in run("logs", "lr", "--follow")[1]


def test_jobs__fetch_of_a_tuning_job_brings_its_best_trial(backend: ScriptedBackend, run: Jobs, tmp_path: Path) -> None:
    tuning(backend)
    assert "left no" in run("fetch", "lr", "--to", tmp_path / "best")[1]
    assert json.loads((tmp_path / "best" / "job.json").read_text())["TrainingJobName"] == "lr-002-abc"


def test_find__part_of_one_name_is_enough(backend: ScriptedBackend) -> None:
    play(backend, "dogs-1")
    play(backend, "cats-2")
    tuning(backend)
    assert find_job(backend, "cats").name == "cats-2"
    assert find_job(backend, "lr-001").name == "lr-001-abc"
    assert find_job(backend, "lr").kind == "tuning job"


def test_find__several_are_listed_and_none_is_said(backend: ScriptedBackend) -> None:
    play(backend, "dogs-1")
    play(backend, "dogs-2")
    with pytest.raises(LaunchError, match="dogs is in 2 names: dogs-1, dogs-2"):
        find_job(backend, "dogs")
    with pytest.raises(LaunchError, match=r"there is no job dosg-1 \(did you mean dogs-1"):
        find_job(backend, "dosg-1")


def test_find__tuning_job_stands_for_its_trials(backend: ScriptedBackend) -> None:
    tuning(backend)
    backend.play_tuning("the-lr", *backend_scene(backend))
    for name in ("lr-001-abc", "lr-002-abc"):
        play(backend, f"the-{name}", TuningJobArn="arn:aws:sagemaker:us-east-1:1:hyper-parameter-tuning-job/the-lr")
    assert find_job(backend, "he-l").name == "the-lr"


def backend_scene(backend: ScriptedBackend) -> list[tuple[Scene, list[dict[str, Any]]]]:
    found = backend.describe_tuning_job("lr")
    assert found is not None
    return [(Scene(found), backend.list_trials("lr"))]


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--tag", "team"],
        ["list", "--price-per-hour", "-1"],
        ["list", "--limit", "0"],
        ["list", "--backend", "kubernetes"],
        ["describe"],
    ],
)
def test_jobs__wrong_arguments_are_refused(run: Jobs, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2


def test_jobs__is_quick_to_start() -> None:
    heavy = "{'torch', 'boto3', 'botocore', 'sagemaker', 'pytorch_lightning'}"
    subprocess.run(
        [sys.executable, "-c", f"import sys, launch.jobs; assert not {heavy} & set(sys.modules)"], check=True
    )


def test_connect__unknown_backend_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"backend=proces \(did you mean process\?\)"):
        connect("proces", None, None)


def test_connect__process_jobs_are_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path))
    assert jobs_folder(None) == tmp_path
    assert jobs_folder(f"{tmp_path}/own") == tmp_path / "own"
    monkeypatch.delenv("DOGBREED_JOBS")
    assert jobs_folder(None) == Path.home() / ".cache/dogbreed/jobs"


def code_archive() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        about = tarfile.TarInfo("launch/start.sh")
        about.size = len(PROGRAM)
        packed.addfile(about, io.BytesIO(PROGRAM.encode()))
    return content.getvalue()


def request(name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://dogbreed/code/", "S3DataDistributionType": "FullyReplicated"}
    start = "mkdir -p /opt/ml/code && tar -xzf /opt/ml/input/data/code/sourcedir.tar.gz -C /opt/ml/code"
    return {
        "TrainingJobName": name,
        "HyperParameters": {"seed": "1"},
        "AlgorithmSpecification": {
            "TrainingImage": "this-machine",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c", f"{start} && exec bash /opt/ml/code/launch/start.sh"],
            "MetricDefinitions": [{"Name": "val/acc", "Regex": "val/acc=([0-9.]+)"}],
        },
        "RoleArn": "arn:aws:iam::000000000000:role/this-machine",
        "InputDataConfig": [{"ChannelName": "code", "DataSource": {"S3DataSource": source}, "InputMode": "File"}],
        "OutputDataConfig": {"S3OutputPath": "s3://dogbreed/jobs"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        "Tags": tagged(dogbreed_launch="a", dogbreed_experiment="seeds"),
    }


def test_jobs__lists_and_describes_what_runs_at_aws(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    connect("sagemaker", aws.region, None).create_training_job(request("at-aws"))
    assert jobs.main(["list", "--experiment", "seeds"]) == 0
    assert "at-aws" in capsys.readouterr().out
    assert jobs.main(["describe", "at-aw", "--region", aws.region]) == 0
    assert f"python -m launch.jobs fetch at-aws --region {aws.region}" in capsys.readouterr().out
    assert jobs.main(["describe", "nothing-like-it"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no job nothing-like-it")


def test_jobs__real_process_is_watched_listed_and_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path / "jobs"))
    monkeypatch.chdir(tmp_path)
    backend = ProcessBackend(tmp_path / "jobs")
    backend.store.put_bytes(f"s3://dogbreed/code/{ARCHIVE}", code_archive())
    backend.create_training_job(request("dogs"))
    said: list[str] = []
    description = watch_training_job(backend, "dogs", poll_s=0.1, price_per_hour=None, say=said.append)
    assert description["TrainingJobStatus"] in ENDED
    assert any("epoch=0 step=4" in line for line in said)

    where = ["--backend", "process"]
    assert jobs.main(["list", *where]) == 0
    listed = capsys.readouterr().out
    assert "val/acc=0.7500" in listed
    assert "this machine" in listed
    assert "ml.g5.xlarge" not in listed
    assert jobs.main(["describe", "dogs", *where]) == 0
    assert "python -m dogbreed.train seed=1" in capsys.readouterr().out
    assert jobs.main(["cost", "--experiment", "seeds", *where]) == 0
    assert "nothing of this is paid" in capsys.readouterr().out
    assert jobs.main(["logs", "dogs", *where]) == 0
    assert "best epoch" in capsys.readouterr().out
    assert jobs.main(["fetch", "dogs", *where]) == 0
    left = {str(path.relative_to(tmp_path)) for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert left == {f"runs/dogs/{name}" for name in ("run.json", "artifact/head.pt", "job.log", "job.json")}


def test_jobs__a_detached_process_goes_on(tmp_path: Path) -> None:
    backend = ProcessBackend(tmp_path / "jobs")
    backend.store.put_bytes(f"s3://dogbreed/code/{ARCHIVE}", code_archive())
    backend.create_training_job(request("dogs"))
    end = time.monotonic() + 30
    while (found := find_job(backend, "dogs").description)["TrainingJobStatus"] not in ENDED:
        assert time.monotonic() < end, found
        time.sleep(0.1)
    assert found["TrainingJobStatus"] == "Completed"
