"""A training job from its start to its end, and what is said of it meanwhile."""

from __future__ import annotations

import json
import tarfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from launch.backends import Backend

TRAIN = """
say("epoch=0 val/acc=0.5")
(base / "model/weights").write_text("w" + told["seed"])
(base / "output/data/run.json").write_text(job)
say("epoch=1 val/acc=0.75")
"""


@pytest.fixture(scope="module")
def done(shared_bench) -> dict[str, Any]:
    """The description of a job that has ended well."""
    return shared_bench.run(TRAIN, hyperparameters={"seed": "7"})


def test_job__runs_to_its_end(done, shared_bench) -> None:
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Completed", "Completed"), shared_bench.log()
    assert shared_bench.log() == ["epoch=0 val/acc=0.5", "epoch=1 val/acc=0.75"]
    assert [(one["MetricName"], one["Value"]) for one in done["FinalMetricDataList"]] == [("val/acc", 0.75)]


def test_job__tells_its_story_as_sagemaker_does(done) -> None:
    story = done["SecondaryStatusTransitions"]
    assert [step["Status"] for step in story] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(before["EndTime"] == after["StartTime"] for before, after in pairwise(story))
    assert story[1]["StartTime"] >= done["TrainingStartTime"] >= done["CreationTime"]
    assert done["TrainingEndTime"] == story[-1]["EndTime"]
    seconds = (done["TrainingEndTime"] - done["TrainingStartTime"]).total_seconds()
    assert seconds <= done["BillableTimeInSeconds"] == done["TrainingTimeInSeconds"] < seconds + 1


def test_job__leaves_archives_where_the_description_says(done, shared_bench, tmp_path: Path) -> None:
    uri = done["ModelArtifacts"]["S3ModelArtifacts"]
    shared_bench.backend.store.get(uri, tmp_path / "model.tar.gz")
    shared_bench.backend.store.get(uri.replace("model.tar", "output.tar"), tmp_path / "output.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as model, tarfile.open(tmp_path / "output.tar.gz") as output:
        assert model.getnames() == ["weights"]
        assert output.getnames() == ["run.json"]


def test_job__that_fails_says_why(bench) -> None:
    done = bench.run("(base / 'output/failure').write_text('x' * 3000); sys.exit(3)")
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("AlgorithmError: xxx")
    assert done["FailureReason"].endswith("x, exit code: 3")
    assert len(done["FailureReason"]) == 1024
    assert [step["Status"] for step in done["SecondaryStatusTransitions"]][-2:] == ["Uploading", "Failed"]


def test_job__that_a_signal_ends_has_the_code_of_docker(bench) -> None:
    done = bench.run("os.kill(os.getpid(), signal.SIGKILL)")
    assert done["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_job__sees_the_tree_of_a_container(bench, tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    photos.mkdir()
    (photos / "a.jpg").write_text("picture")
    (tmp_path / "w.safetensors").write_text("weights")
    channels = {"data": f"s3://local{photos}", "weights": f"s3://local{tmp_path}/w.safetensors"}
    bench.run(
        """
tree = {str(path.relative_to(base)): path.read_text() for path in base.rglob("*.json")}
seen = {
    "data": (base / "input/data/data/a.jpg").read_text(),
    "weights": [path.read_text() for path in (base / "input/data/weights").iterdir()],
    "tree": tree,
    "mode": os.environ["MODE"],
    "install": os.environ["DOGBREED_INSTALL"],
    "processes": os.environ["DOGBREED_PROCESSES"],
    "here": os.getcwd() == str(base / "code"),
}
(base / "model/seen.json").write_text(json.dumps(seen))
""",
        hyperparameters={"data.batch_size": '"16"'},
        channels=channels,
        processes=2,
        settings={"environment": {"MODE": "/opt/ml/x"}},
    )
    folder = bench.directory / "jobs/job/ml"
    seen = json.loads((folder / "model/seen.json").read_text())
    tree = {name.removeprefix("input/config/"): json.loads(text) for name, text in seen.pop("tree").items()}
    assert seen == {
        "data": "picture",
        "weights": ["weights"],
        "mode": f"{folder}/x",
        "install": "no",
        "processes": "2",
        "here": True,
    }
    assert tree["hyperparameters.json"] == {"data.batch_size": '"16"'}
    assert tree["resourceconfig.json"]["hosts"] == ["algo-1"] == [tree["resourceconfig.json"]["current_host"]]
    assert set(tree["inputdataconfig.json"]) == {"data", "weights", "code"}
    assert tree["checkpointconfig.json"]["LocalPath"] == str(folder / "checkpoints")


def test_job__knows_nothing_of_the_launchers_own_job(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SM_HPS", "DOGBREED_COMMAND"):
        monkeypatch.setenv(name, "x")
    done = bench.run("sys.exit('SM_HPS' in os.environ or 'DOGBREED_COMMAND' in os.environ)")
    assert done["TrainingJobStatus"] == "Completed"


def test_job__without_its_data_fails_before_it_starts(bench, tmp_path: Path) -> None:
    done = bench.run("say('never')", channels={"data": f"s3://local{tmp_path}/nothing"})
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("ClientError: the channel data has no files: s3://local")
    assert bench.log() == []


def test_job__on_two_hosts_is_two_processes_that_find_each_other(bench) -> None:
    program = """
import socket
told = json.loads((base / "input/config/resourceconfig.json").read_text())
port, (first, second) = int(os.environ["MASTER_PORT"]), told["hosts"]
if told["current_host"] == first:
    server = socket.create_server((first, port))
    server.settimeout(120)
    say(server.accept()[0].recv(100).decode())
else:
    for _ in range(2400):
        try:
            socket.create_connection((first, port)).sendall(second.encode())
            break
        except OSError:
            time.sleep(0.05)
"""
    done = bench.run(program, settings={"instance_count": 2})
    assert done["TrainingJobStatus"] == "Completed", bench.log()
    assert bench.log() == ["127.0.0.2"]


def test_job__ends_with_the_first_host_that_fails(bench) -> None:
    program = """
if os.environ["CURRENT_HOST"] == "127.0.0.2":
    sys.exit(4)
time.sleep(60)
"""
    done = bench.run(program, settings={"instance_count": 2})
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"] == "AlgorithmError: , exit code: 4"


def test_log__is_read_on_from_a_position(bench) -> None:
    bench.run("say('one'); say('zwölf \\N{DOG FACE}'); sys.stdout.write('no end')")
    first, position = bench.backend.log_lines("job", None)
    assert [line.text for line in first] == ["one", "zwölf 🐶", "no end"]
    assert [line.time for line in first] == sorted(line.time for line in first)
    assert bench.backend.log_lines("job", position) == ([], position)
    assert bench.backend.log_lines("unknown", None) == ([], None)


def test_job__leaves_nothing_running(bench) -> None:
    program = """
import subprocess
child = [sys.executable, "-c", "import time; time.sleep(300)"]
say(str(subprocess.Popen(child, start_new_session=True).pid))
"""
    assert bench.run(program)["TrainingJobStatus"] == "Completed"
    [pid] = map(int, bench.log())
    end = time.monotonic() + 60
    while (left := lives(pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_backend__keeps_the_protocol(bench) -> None:
    backend: Backend = bench.backend  # checked by mypy
    assert backend.describe_training_job("unknown") is None
    assert backend.describe_tuning_job("unknown") is None
