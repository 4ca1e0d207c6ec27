"""What is kept of a job: between whoever asks for it and whoever runs it there are only files."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dogbreed.files import write_json, writing

State = dict[str, Any]

#: Notes to whoever runs a job.
STOP, INTERRUPT = "stop", "interrupt"
#: Options beside a request: seconds between SIGTERM and SIGKILL, the store's folder, the tuning job's name or null.
GRACE, STORE, TUNING_JOB = "grace_s", "store", "tuning_job"
#: In the state of a tuning job: each trial's job, and what was chosen for it.
TRIALS = "Trials"
#: Below the backend's directory: the folders of training jobs and of tuning jobs.
JOBS, TUNINGS = "jobs", "tuning"
#: Who runs them.
SUPERVISOR, TUNER = "launch.process.supervisor", "launch.process.tuner"

#: How JSON has a datetime: {_TIME: TEXT}.
_TIME = "datetime!"
_REQUEST, _OPTIONS, _STATE, _ATTENDED = "request.json", "options.json", "state.json", "attended"


class Folder:
    """The folder of a training job or a tuning job.

    Args:
        path: of it; its name is the job's.

    Attributes:
        log: what a training job printed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"

    @property
    def name(self) -> str:
        """The job's name."""
        return self.path.name

    def job(self, name: str) -> Folder:
        """The folder of a training job of the same backend."""
        return Folder(self.path.parents[1] / JOBS / name)

    @property
    def exists(self) -> bool:
        """Whether there is such a job."""
        return (self.path / _STATE).exists()

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return _read(self.path / _REQUEST)

    @property
    def bases(self) -> list[Path]:
        """Where each host of a training job has what is /opt/ml in the container; the first one's has the results."""
        others = range(2, self.request["ResourceConfig"].get("InstanceCount", 1) + 1)
        return [self.path / "ml", *(self.path / f"ml-{number}" for number in others)]

    @property
    def options(self) -> dict[str, Any]:
        """What the backend was told beside the request."""
        return _read(self.path / _OPTIONS)

    @property
    def state(self) -> State:
        """What has become of it so far, times as datetimes."""
        return _read(self.path / _STATE)

    def write_state(self, state: State) -> None:
        """Keep a state: the whole of it, or the one before."""
        write_json(self.path / _STATE, _written(state))

    def ask(self, what: str) -> None:
        """Leave a note to whoever runs the job: STOP or INTERRUPT."""
        (self.path / what).touch()

    def is_asked(self, what: str) -> bool:
        """Whether there is such a note."""
        return (self.path / what).exists()

    def answer(self, what: str) -> None:
        """Take the note away."""
        (self.path / what).unlink(missing_ok=True)

    @property
    def is_attended(self) -> bool:
        """Whether the process that runs the job is alive.

        It holds a lock, which the system gives back when it ends, however it ends; another process with the same
        number holds none.
        """
        with open(self.path / _ATTENDED) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def begin(
    path: Path, request: Mapping[str, Any], options: Mapping[str, Any], state: State, attendant: str
) -> Folder | None:
    """The folder of a new job, and a process of its own that runs it, which outlives this one; None: the name is taken.

    Args:
        path: of the folder.
        request: what was asked for.
        options: what the attendant has to know beside it.
        state: the first.
        attendant: the module that runs the job, given the folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with writing(path):
        temporary.mkdir(parents=True)
    new = Folder(temporary)
    try:
        write_json(temporary / _REQUEST, dict(request))
        write_json(temporary / _OPTIONS, dict(options))
        new.write_state(state)
        # The lock is there before the job is, so that nobody finds it unattended: the attendant inherits it.
        lock = os.open(temporary / _ATTENDED, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                os.rename(temporary, path)
            except OSError:  # only one of two with the same name finds the place free
                if path.exists():
                    return None
                raise
            _start(path, attendant, lock)
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Folder(path)


def _start(path: Path, attendant: str, lock: int) -> None:
    with open(path / f"{attendant.rsplit('.', 1)[-1]}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", attendant, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # neither Ctrl-C nor the end of the terminal reaches it
            pass_fds=[lock],
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), object_hook=_with_time)
    return content


def _with_time(entries: dict[str, Any]) -> Any:
    return datetime.fromisoformat(entries[_TIME]) if list(entries) == [_TIME] else entries


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, dict):
        return {key: _written(entry) for key, entry in value.items()}
    return [_written(entry) for entry in value] if isinstance(value, list) else value
