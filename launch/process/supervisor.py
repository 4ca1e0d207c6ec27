"""`python -m launch.process.supervisor FOLDER`: runs one training job from its start to its end, as SageMaker would."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from dogbreed.errors import DogbreedError
from launch.files.stores import FolderStore
from launch.process.describing import training_arn
from launch.process.ending import end_processes
from launch.process.folders import GRACE, INTERRUPT, STOP, STORE, Folder
from launch.process.logs import LogKeeper, final_metrics, read_lines
from launch.process.results import LONGEST_REASON, failure_reason, fetch_checkpoints, store_results, store_while_running
from launch.process.starting import command_of, environment_of, start
from launch.process.status import Story, now
from launch.process.tree import host_names, lay_out

_LOOK_S = 0.05
_LAST_LINES_S = 10.0  # for a process that has left the job, environment and all, and holds the pipe
_RUNTIME, _WAIT = "MaxRuntimeExceeded", "MaxWaitTimeExceeded"


class Supervisor:
    """Runs the job of a folder.

    Args:
        folder: of it.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._request = folder.request
        self._bases = folder.bases
        self._grace_s = float(folder.options[GRACE])
        self._store = FolderStore(Path(folder.options[STORE]))
        self._story = Story(folder)
        self._hosts = host_names(self._request["ResourceConfig"].get("InstanceCount", 1))

    def run(self) -> None:
        """Run it, again after each interruption, until it has ended; nothing of it runs afterwards."""
        try:
            while not self._folder.is_asked(STOP):
                if not self._attempt():
                    return
            self._story.step("Stopping")
            self._story.step("Stopped")
        except Exception as error:
            traceback.print_exc()
            end_processes(self._bases)
            self._story.step("Failed", FailureReason=f"InternalServerError: {error!r}"[:LONGEST_REASON])

    def _attempt(self) -> bool:
        """Whether the job was interrupted and is to be run again; if not, it has ended."""
        try:
            self._prepare()
            commands = [command_of(self._request, base, self._store) for base in self._bases]
        except DogbreedError as error:
            self._story.step("Failed", FailureReason=f"ClientError: {error.got}")
            return False
        self._story.step("Training")
        why, code = self._train(commands)
        if why == INTERRUPT:
            store_while_running(self._store, self._request, self._bases[0])
            self._folder.answer(INTERRUPT)
            self._story.step("Starting")
            return True
        self._finish(why, code)
        return False

    def _prepare(self) -> None:
        started = {} if "TrainingStartTime" in self._story.state else {"TrainingStartTime": now()}
        self._story.step("Downloading", **started)
        for base, host in zip(self._bases, self._hosts, strict=True):
            lay_out(base, self._request, self._hosts, host, self._store.path)
            fetch_checkpoints(self._store, self._request, base)

    def _train(self, commands: Sequence[Sequence[str]]) -> tuple[str | None, int]:
        """Why SageMaker ended the job, None where it ended by itself, and its exit code."""
        arn = training_arn(self._folder.name)
        shared = {} if len(self._hosts) == 1 else {"MASTER_PORT": str(_free_port())}
        processes = []
        for command, base, host in zip(commands, self._bases, self._hosts, strict=True):
            processes.append(start(command, environment_of(self._request, base, host, arn) | shared, base))
        keepers = [_keep_log(process, self._folder.log) for process in processes]
        why = self._wait(processes, keepers)
        if why is not None:
            self._story.step("Interrupted" if why == INTERRUPT else "Stopping")
            _terminate(processes, self._grace_s)
        codes = [process.poll() for process in processes]
        end_processes(self._bases)  # with the first process of a container all others end
        for process, keeper in zip(processes, keepers, strict=True):
            process.wait()
            keeper.join(_LAST_LINES_S)
        code = next((code for code in codes if code), 0)  # of the host that failed, not of those that it took along
        return why, code if code >= 0 else 128 - code

    def _wait(self, processes: Sequence[subprocess.Popen[bytes]], keepers: Sequence[LogKeeper]) -> str | None:
        while True:
            codes = [process.poll() for process in processes]
            if None not in codes or any(codes):  # one host that fails ends them all
                return None
            why = self._reason_to_end()
            if why is not None:
                return why
            for keeper in keepers:
                if keeper.error is not None:
                    raise keeper.error
            time.sleep(_LOOK_S)

    def _reason_to_end(self) -> str | None:
        if self._folder.is_asked(STOP):
            return STOP
        moment, state, limits = now(), self._story.state, self._request["StoppingCondition"]
        most = limits.get("MaxRuntimeInSeconds")
        if most is not None and (moment - state["TrainingStartTime"]).total_seconds() > most:
            return _RUNTIME
        most = limits.get("MaxWaitTimeInSeconds")
        if most is not None and (moment - state["CreationTime"]).total_seconds() > most:
            return _WAIT
        return INTERRUPT if self._folder.is_asked(INTERRUPT) else None

    def _finish(self, why: str | None, code: int) -> None:
        base = self._bases[0]
        self._story.step("Uploading")
        lines, _ = read_lines(self._folder.log, None)
        metrics = final_metrics(lines, self._request["AlgorithmSpecification"].get("MetricDefinitions", []))
        more: dict[str, object] = {"FinalMetricDataList": metrics} if metrics else {}
        try:
            store_while_running(self._store, self._request, base)
            store_results(self._store, self._request, base, self._folder.path)
        except DogbreedError as error:
            self._story.step("Failed", FailureReason=f"ClientError: Artifact upload failed: {error.got}", **more)
            return
        if why is None and code != 0:
            self._story.step("Failed", FailureReason=failure_reason(base, code), **more)
        else:
            self._story.step({None: "Completed", STOP: "Stopped"}.get(why, why or ""), **more)


def _keep_log(process: subprocess.Popen[bytes], path: Path) -> LogKeeper:
    assert process.stdout is not None
    keeper = LogKeeper(process.stdout, path)
    keeper.start()
    return keeper


def _terminate(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    """SIGTERM to the first process of each container, and time to end by itself."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + grace_s
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    Supervisor(Folder(Path(sys.argv[1]))).run()
