"""Stopped, interrupted, out of time, killed: how a job ends that does not end by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from launch.errors import LaunchError
from launch.process.__main__ import main

SPOT = {"spot": True, "max_wait_s": 172800}
#: Counts its own starts in a checkpoint; ends well from the second on.
COUNTS = """
file = base / "checkpoints" / job / "starts"
file.parent.mkdir(exist_ok=True)
starts = int(file.read_text()) + 1 if file.exists() else 1
(base / "output/data/leftover").write_text("of this tree only") if starts == 1 else None
say(f"start {starts}, " + ("old" if (base / "output/data/leftover").exists() and starts > 1 else "new") + " tree")
def end(*_):
    file.write_text(str(starts))
    say("saved")
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
if starts == 1:
    time.sleep(60)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say('ready'); time.sleep(60)"


def statuses(description) -> list[str]:
    return [step["Status"] for step in description["SecondaryStatusTransitions"]]


def test_stop__gives_the_job_time_to_save(bench) -> None:
    bench.start(COUNTS)
    bench.wait_for_line("start 1")
    bench.backend.stop_training_job("job")
    done = bench.wait()
    assert done["TrainingJobStatus"] == "Stopped"
    assert statuses(done) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert bench.log()[-1] == "saved"
    assert bench.backend.store.get_bytes("s3://dogbreed/dogbreed/checkpoints/job/job/starts") == b"1"
    bench.backend.stop_training_job("job")
    assert bench.look() == done, "to stop what has ended changes nothing"


def test_stop__kills_what_does_not_listen(bench) -> None:
    bench.start(DEAF)
    bench.wait_for_line("ready")
    begun = time.monotonic()
    bench.backend.stop_training_job("job")
    assert bench.wait()["TrainingJobStatus"] == "Stopped"
    assert time.monotonic() - begun >= 1, "the second between SIGTERM and SIGKILL"


def test_interruption__goes_on_from_the_checkpoints_in_a_new_tree(bench, capsys) -> None:
    bench.start(COUNTS, settings=SPOT)
    bench.wait_for_line("start 1")
    assert main(["interrupt", "job", "--process-dir", str(bench.directory)]) == 0
    done = bench.wait()
    once = ["Starting", "Downloading", "Training"]
    assert statuses(done) == [*once, "Interrupted", *once, "Uploading", "Completed"]
    assert bench.log() == ["start 1, new tree", "saved", "start 2, new tree"]


def test_interruption__is_for_spot_instances(bench, capsys) -> None:
    bench.start(DEAF)
    assert main(["interrupt", "job", "--process-dir", str(bench.directory)]) == 1
    assert main(["interrupt", "jab", "--process-dir", str(bench.directory)]) == 1
    told = capsys.readouterr().err
    assert "job runs on demand" in told
    assert "there is no job jab (did you mean job?)" in told


def test_job__may_not_run_longer_than_it_said(bench) -> None:
    request = bench.request(COUNTS)
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}
    bench.backend.create_training_job(request)
    done = bench.wait()
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert done["BillableTimeInSeconds"] >= 1


def test_supervisor__that_is_killed_leaves_a_failed_job_and_no_process(bench) -> None:
    bench.start(DEAF)
    bench.wait_for_line("ready")
    folder = str(bench.directory / "jobs/job")
    running = psutil.process_iter(["cmdline"])
    (supervisor,) = [one for one in running if (one.info["cmdline"] or [])[-1:] == [folder]]
    (job,) = supervisor.children()
    supervisor.send_signal(signal.SIGKILL)
    done = bench.wait()
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("InternalServerError: the process that ran the job is gone")
    assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
    assert bench.look() == done


@pytest.mark.slow
def test_job__outlives_its_launcher_and_ctrl_c(bench, tmp_path: Path) -> None:
    request = bench.request("say('ready'); time.sleep(1); say('done')")
    launcher = f"""
import json, os, pathlib, signal
from launch.process.backend import ProcessBackend
ProcessBackend(pathlib.Path({str(bench.directory)!r})).create_training_job(json.loads({json.dumps(request)!r}))
os.killpg(0, signal.SIGINT)
"""
    ended = subprocess.run([sys.executable, "-c", launcher], start_new_session=True, stderr=subprocess.DEVNULL)
    assert ended.returncode != 0
    assert bench.wait()["TrainingJobStatus"] == "Completed"
    assert bench.log() == ["ready", "done"]


def test_create__twice_is_one_job(bench) -> None:
    request = bench.request("say(os.urandom(8).hex())")
    bench.backend.create_training_job(request)
    bench.backend.create_training_job(request)
    bench.wait()
    bench.backend.create_training_job(request)
    assert len(bench.log()) == 1
    others = request | {"Tags": [{"Key": "dogbreed:launch", "Value": "two"}]}
    with pytest.raises(LaunchError, match="the name job is taken"):
        bench.backend.create_training_job(others)
    with pytest.raises(LaunchError, match="taken"):
        bench.backend.create_training_job(request | {"Tags": []})


@pytest.mark.parametrize("name", ["../away", "", "a_b", "-a"])
def test_create__refuses_a_name_that_is_none(bench, name: str) -> None:
    with pytest.raises(LaunchError, match="the name"):
        bench.backend.create_training_job(bench.request("say('never')") | {"TrainingJobName": name})


def test_list__is_by_tags_and_the_newest_first(bench) -> None:
    for name in ("b", "c", "a"):
        bench.start("", name, experiment="two" if name == "c" else "one")
    for name in ("b", "c", "a"):
        bench.wait(name)
    tags = {"dogbreed:experiment": "one"}
    assert [one["TrainingJobName"] for one in bench.backend.list_training_jobs(tags, 9)] == ["a", "b"]
    assert [one["TrainingJobName"] for one in bench.backend.list_training_jobs({}, 1)] == ["a"]
    assert [one["TrainingJobName"] for one in bench.backend.list_training_jobs({}, 1, "b")] == ["b"]
