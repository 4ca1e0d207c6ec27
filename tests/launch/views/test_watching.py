"""The live view, on jobs that follow a script, and on a real process."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dogbreed.training.epoch_line import BEST_EPOCH, epoch_line
from launch.backends import LogLine
from launch.errors import JobFailed, LaunchError
from launch.views import polling
from launch.views.screen import Screen
from launch.views.watching import Detached, watch_training_job, watch_tuning_job
from tests.launch.scripted import START, STEPS, Scene, ScriptedBackend, at, describe, printed, scenes_of

POLL_S = 0.001


@pytest.fixture
def backend(tmp_path: Path) -> ScriptedBackend:
    return ScriptedBackend(tmp_path / "store")


def watch(backend: ScriptedBackend, price: float | None = 3.6) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return watch_training_job(backend, "dogs", poll_s=POLL_S, price_per_hour=price, say=said.append), said


def test_watch__tells_statuses_and_epochs_in_the_order_of_their_times(backend: ScriptedBackend) -> None:
    backend.play("dogs", *scenes_of("dogs"))
    description, said = watch(backend)
    assert description["TrainingJobStatus"] == "Completed"
    assert [line[10:].split()[0] for line in said[:-1]] == [
        *("Starting", "Downloading", "Training"),
        *("epoch=0", "epoch=1", "best", "Uploading", "Completed"),
    ]
    assert said[1].endswith("(Starting took 60 s)")
    assert "reading 32" not in "\n".join(said), "of a run its epochs are told"


def test_watch__ends_with_what_it_cost(backend: ScriptedBackend) -> None:
    backend.play("dogs", *scenes_of("dogs"))
    assert watch(backend)[1][-1] == "dogs: Completed, 6.0 min billed on 1 ml.g5.xlarge, 0.36 USD at 3.6 an hour"


def test_watch__spot_is_paid_by_the_billable_seconds(backend: ScriptedBackend) -> None:
    backend.play("dogs", Scene(describe("dogs", *STEPS, EnableManagedSpotTraining=True, BillableTimeInSeconds=90)))
    assert watch(backend)[1][-1].endswith("75 % saved by spot capacity, 0.09 USD at 3.6 an hour")


def test_watch__without_a_price_no_cost_is_told(backend: ScriptedBackend) -> None:
    backend.play("dogs", *scenes_of("dogs"))
    assert "USD" not in "\n".join(watch(backend, price=None)[1])


def test_watch__every_line_that_our_logger_prints_is_told(backend: ScriptedBackend) -> None:
    line = epoch_line({"epoch": 3, "step": 40, "train/loss": 1e-7, "val/loss": float("inf"), "val/acc": float("nan")})
    backend.play("dogs", Scene(describe("dogs", *STEPS), [printed(200, line)]))
    assert any(said.endswith(line) for said in watch(backend)[1])


def test_watch__a_runs_last_word_is_told_and_known_as_such(backend: ScriptedBackend) -> None:
    last = BEST_EPOCH + epoch_line({"val/loss": 0.25, "test/loss": 0.5})
    backend.play("dogs", Scene(describe("dogs", *STEPS), [printed(200, last)]))
    assert any(said.endswith(last) for said in watch(backend)[1])
    assert backend.readings == 2, "the line, and that there is no more; nothing is waited for"


def test_watch__of_a_sweep_in_one_job_every_line_is_told(backend: ScriptedBackend) -> None:
    sweep = describe("dogs", *STEPS, HyperParameters={"hydra/sweeper": '"fleet"'})
    backend.play("dogs", Scene(sweep, [printed(200, "trial 3 is ahead")]))
    assert any("trial 3 is ahead" in line for line in watch(backend)[1])


def test_watch__tells_a_message_that_changes_within_a_status(backend: ScriptedBackend) -> None:
    waiting = describe("dogs", ("Starting", 0.0))
    changed = describe("dogs", ("Starting", 0.0), LastModifiedTime=at(90))
    changed["SecondaryStatusTransitions"][0]["StatusMessage"] = "Insufficient capacity error from EC2"
    backend.play("dogs", Scene(waiting), Scene(changed), *scenes_of("dogs"))
    starting = [line for line in watch(backend)[1] if " Starting " in line]
    assert [line[10:].removeprefix("Starting     ") for line in starting[:2]] == [
        "Preparing the instances for training",
        "Insufficient capacity error from EC2",
    ]


def test_watch__tells_a_rule_when_its_status_changes(backend: ScriptedBackend) -> None:
    def judged(status: str) -> dict[str, Any]:
        rule = {"RuleConfigurationName": "DeadRelu", "RuleEvaluationStatus": status, "LastModifiedTime": at(150)}
        return {"DebugRuleEvaluationStatuses": [rule]}

    training = STEPS[:3]
    scenes = [describe("dogs", *training, **judged("InProgress")) for _ in range(3)]
    backend.play("dogs", *map(Scene, scenes), Scene(describe("dogs", *STEPS, **judged("IssuesFound"))))
    told = [line[10:] for line in watch(backend)[1] if "DeadRelu" in line]
    assert told == ["rule DeadRelu: InProgress", "rule DeadRelu: IssuesFound"]


def test_watch__failed_job_says_why_and_what_it_printed_last(backend: ScriptedBackend) -> None:
    failed = describe("dogs", *STEPS[:3], ("Failed", 200.0), FailureReason="AlgorithmError: no data, exit code: 1")
    backend.play("dogs", Scene(failed, [printed(150 + i, f"line {i}") for i in range(30)]))
    with pytest.raises(JobFailed) as error:
        watch(backend)
    text = str(error.value)
    assert "dogs failed: AlgorithmError: no data, exit code: 1" in text
    assert "line 29" in text
    assert "line 9\n" not in text
    assert text.endswith("what to do: correct what it died of; the same command starts it again")


def test_watch__a_log_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    class Late(ScriptedBackend):
        def log_lines(self, job: str, position: str | None) -> tuple[list[LogLine], str | None]:
            found = super().log_lines(job, position)
            return found if self.readings > 1 else ([], position)

    late = Late(tmp_path)
    failed = describe("dogs", *STEPS[:3], ("Failed", 200.0), FailureReason="AlgorithmError")
    late.play("dogs", Scene(failed, [printed(150, "its last word")]))
    with pytest.raises(JobFailed, match="its last word"):
        watch(late)


def test_watch__stopped_job_is_no_result(backend: ScriptedBackend) -> None:
    backend.play("dogs", Scene(describe("dogs", *STEPS[:3], ("Stopping", 200.0), ("Stopped", 210.0))))
    with pytest.raises(JobFailed, match="dogs was stopped") as error:
        watch(backend)
    assert error.value.hint == "the same command starts it again"


@pytest.mark.parametrize(
    ("status", "setting"),
    [("MaxRuntimeExceeded", "sagemaker.max_run_s"), ("MaxWaitTimeExceeded", "sagemaker.max_wait_s")],
)
def test_watch__job_out_of_time_may_have_more(backend: ScriptedBackend, status: str, setting: str) -> None:
    stopped = describe("dogs", *STEPS[:3], ("Stopped", 200.0), SecondaryStatus=status)
    backend.play("dogs", Scene(stopped))
    with pytest.raises(JobFailed) as error:
        watch(backend)
    assert error.value.hint == f"the same command starts it again; with more time: {setting}"


def test_watch__unknown_job_is_an_error(backend: ScriptedBackend) -> None:
    with pytest.raises(LaunchError, match="there is no training job dogs"):
        watch(backend)


def test_watch__outage_is_told_once_and_borne(backend: ScriptedBackend) -> None:
    outage = Scene(error=LaunchError("asking AWS: no route to host", "a network", "look at it"))
    first, *rest = scenes_of("dogs")
    backend.play("dogs", first, outage, outage, outage, *rest)
    description, said = watch(backend)
    assert description["TrainingJobStatus"] == "Completed"
    assert [line for line in said if "no route to host" in line] == [
        "no answer for the moment, asking again: asking AWS: no route to host"
    ]


def test_watch__outage_without_end_is_an_error(backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PATIENCE_S", 0.02)
    backend.play("dogs", Scene(error=LaunchError("no route to host", "a network", "look at it")))
    with pytest.raises(LaunchError, match="no route to host"):
        watch(backend)


class Clock:
    """A time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_polling__waits_up_to_six_times_as_long_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(polling, "time", clock)
    asking, ends, ticks = polling.Polling(10, print), [0.0], []
    for changed in (True, False, False, False, False, False, False, True):
        asking.wait(changed, lambda: ticks.append(clock.now))
        ends.append(clock.now)
    waits = [after - before for before, after in pairwise(ends)]
    assert waits == pytest.approx([10, 15, 22.5, 33.75, 50.625, 60, 60, 10])
    assert max(after - before for before, after in pairwise(ticks)) <= 1


def test_watch__ctrl_c_off_a_terminal_detaches_and_says_how_to_come_back(backend: ScriptedBackend) -> None:
    backend.play("dogs", Scene(describe("dogs", *STEPS[:2])), Scene(interrupt=True))
    said: list[str] = []
    where = ["--backend", "process"]
    with pytest.raises(Detached) as end:
        watch_training_job(backend, "dogs", poll_s=POLL_S, price_per_hour=None, say=said.append, where=where)
    assert end.value.code == 130
    for command in ("logs dogs --follow", "stop dogs", "fetch dogs"):
        assert f"python -m launch.jobs {command} --backend process" in said[-1]
    assert not backend.asked


ON_A_TERMINAL = """
import sys
from pathlib import Path
from launch.views.watching import watch_training_job
sys.path.insert(0, sys.argv[2])
from scripted import STEPS, Scene, ScriptedBackend, describe, scenes_of
backend = ScriptedBackend(Path(sys.argv[1]))
ending = [Scene(describe("dogs", *STEPS[:3], ("Stopping", 200.0), ("Stopped", 210.0)))]
backend.play("dogs", *scenes_of("dogs")[:4], when_stopped=ending)
watch_training_job(backend, "dogs", poll_s=0.2, price_per_hour=3.6)
"""


class Terminal:
    """A program on a terminal of its own, and a person in front of it."""

    def __init__(self, program: str, *arguments: str) -> None:
        self._person, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")  # 24 rows of 80
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(side)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        """Read until `text` is there."""
        end = time.monotonic() + 60
        while text not in self.seen:
            ready = select.select([self._person], [], [], max(0.0, end - time.monotonic()))[0]
            content = self._read() if ready else ""
            assert content, f"{text!r} does not come: {self.seen}"
            self.seen += content

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._person, keys.encode())

    def ended(self) -> int:
        """Its exit code, once all it wrote is read."""
        while content := self._read():
            self.seen += content
        os.close(self._person)
        return self._process.wait(30)

    def _read(self) -> str:
        try:
            return os.read(self._person, 65536).decode()
        except OSError:  # the other side is closed
            return ""


def test_watch__on_a_terminal_one_line_is_rewritten(tmp_path: Path) -> None:
    terminal = Terminal(ON_A_TERMINAL, str(tmp_path), str(Path(__file__).parents[1]))
    terminal.wait_for("epoch=1 val/loss=0.75 val/acc=0.8125")
    terminal.type("\x03")
    terminal.wait_for("detach (d), stop (s), or go on (Enter)? ")
    assert re.search(r"Uploading, [^\r\n]* USD so far(\^C)?\r\x1b\[J", terminal.seen), "it is gone before what follows"
    terminal.type("d\n")
    assert terminal.ended() == 130
    assert "python -m launch.jobs fetch dogs" in terminal.seen


def test_watch__ctrl_c_on_a_terminal_goes_on_or_stops(tmp_path: Path) -> None:
    terminal = Terminal(ON_A_TERMINAL, str(tmp_path), str(Path(__file__).parents[1]))
    terminal.wait_for("USD so far")
    terminal.type("\x03")
    terminal.wait_for("go on (Enter)? ")
    terminal.type("\n")
    terminal.wait_for("epoch=1")
    terminal.type("\x03")
    terminal.wait_for("go on (Enter)? ")
    terminal.seen = ""
    terminal.type("s\n")
    terminal.wait_for("dogs was asked to stop")
    assert terminal.ended() == 1
    assert "dogs was stopped" in terminal.seen


def test_screen__block_is_cut_to_the_terminal_and_taken_away_as_a_whole() -> None:
    terminal = Terminal(
        "from launch.views.screen import Screen; a = Screen(print); a.show(['x' * 200, 'y']); a.line('z')"
    )
    assert terminal.ended() == 0
    assert terminal.seen == "x" * 79 + "\r\ny\r\x1b[1A\x1b[Jz\r\n"


def test_screen__off_a_terminal_there_is_no_block(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(print)
    screen.show(["x"])
    screen.line("z")
    assert capsys.readouterr().out == "z\n"


def trial(number: int, status: str, value: float | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "TrainingJobName": f"lr-{number:03d}",
        "TrainingJobStatus": status,
        "CreationTime": at(100.0 * number),
        "TrainingStartTime": at(100.0 * number + 50),
        "TunedHyperParameters": {"optimizer.lr": f"0.{number}"},
        "ObjectiveStatus": "Pending" if value is None and status == "InProgress" else "Succeeded",
    }
    if status != "InProgress":
        found["TrainingEndTime"] = at(100.0 * number + 80)
    if value is not None:
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "val/acc", "Value": value}
    return {**found, **more}


def tuning(status: str, objective: str = "Maximize", **counters: int) -> Scene:
    return Scene(
        {
            "HyperParameterTuningJobName": "lr",
            "HyperParameterTuningJobStatus": status,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Bayesian",
                "HyperParameterTuningJobObjective": {"Type": objective, "MetricName": "val/acc"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            },
            "TrainingJobDefinition": {"ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}},
            "CreationTime": at(0),
            "TrainingJobStatusCounters": counters,
        }
    )


def watch_tuning(backend: ScriptedBackend) -> list[str]:
    said: list[str] = []
    watch_tuning_job(backend, "lr", poll_s=POLL_S, price_per_hour=36.0, say=said.append)
    return said


def test_watch_tuning__tells_trials_as_they_end_and_the_best_so_far(backend: ScriptedBackend) -> None:
    first, second, third = trial(1, "Completed", 0.5), trial(2, "Completed", 0.75), trial(3, "Completed", 0.625)
    backend.play_tuning(
        "lr",
        (tuning("InProgress", InProgress=2), [trial(1, "InProgress"), trial(2, "InProgress")]),
        (tuning("InProgress", InProgress=1, Completed=1), [first, trial(2, "InProgress")]),
        (tuning("Completed", Completed=3), [first, second, third]),
    )
    said = watch_tuning(backend)
    told = [line[10:] for line in said if "  trial " in line and "optimizer.lr=" in line]
    assert told == [
        "trial 0 Completed: val/acc=0.5000, the best so far  optimizer.lr=0.1",
        "trial 1 Completed: val/acc=0.7500, the best so far  optimizer.lr=0.2",
        "trial 2 Completed: val/acc=0.6250  optimizer.lr=0.3",
    ]
    assert [line for line in said if line.endswith(" of 3 trials")] == [
        "2 running of 3 trials",
        "1 completed, 1 running of 3 trials",
        "3 completed of 3 trials",
    ]
    # three trials of 30 s on two instances at a cent a second
    assert said[-1] == "lr: Completed, 3 completed of 3 trials, 1.80 USD at most"


def test_watch_tuning__smaller_is_better_where_the_objective_says_so(backend: ScriptedBackend) -> None:
    trials = [trial(1, "Completed", 0.5), trial(2, "Completed", 0.75)]
    backend.play_tuning("lr", (tuning("Completed", "Minimize", Completed=2), trials))
    assert [line for line in watch_tuning(backend) if "trial 1 " in line and "best" in line] == []


def test_watch_tuning__a_trial_is_told_once_its_objective_is_known(backend: ScriptedBackend) -> None:
    early = trial(1, "Completed", ObjectiveStatus="Pending")
    backend.play_tuning(
        "lr",
        (tuning("InProgress", Completed=1), [early]),
        (tuning("Completed", Completed=1), [trial(1, "Completed", 0.5)]),
    )
    told = [line for line in watch_tuning(backend) if "  trial 0 " in line]
    assert len(told) == 1
    assert "val/acc=0.5000" in told[0]


def test_watch_tuning__failed_is_an_error_with_its_reason(backend: ScriptedBackend) -> None:
    scene = tuning("Failed", NonRetryableError=1)
    failed = Scene({**scene.description, "FailureReason": "No training job succeeded"})
    backend.play_tuning("lr", (failed, [trial(1, "Failed", FailureReason="AlgorithmError: x")]))
    with pytest.raises(JobFailed, match="lr failed: No training job succeeded"):
        watch_tuning(backend)


def test_scripted__times_are_those_of_the_script() -> None:
    assert at(0).timestamp() == START
