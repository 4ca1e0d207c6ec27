"""Jobs of this machine: real processes that run small programs in the place of a training."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.names import ARCHIVE
from launch.process.backend import ProcessBackend
from launch.process.folders import Folder
from launch.requests import Place, Work, build_training_job, build_tuning_job
from launch.settings import JobSettings, TunerSettings

CONF = Path(__file__).parents[3] / "conf" / "sagemaker"
PLACE = Place("arn:aws:iam::123456789012:role/none", "dogbreed", "none", "us-east-1")
METRICS = [{"Name": "val/acc", "Regex": r"(?:^|\s)val/acc=([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan))"}]
#: What a program has at hand: its container, its hyperparameters, a log that is not held back.
HEAD = """
import json, os, pathlib, signal, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
told = json.loads((base / "input/config/hyperparameters.json").read_text())
job = os.environ["TRAINING_JOB_NAME"]
def say(text):
    print(text, flush=True)
"""


def values_in(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONF / file).read_text())
    return content


def pack(program: str) -> bytes:
    """A code archive with `program` as the job's entry."""
    files = {"launch/start.sh": "exec python3 launch/entry.py", "launch/entry.py": HEAD + program}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


@dataclass(frozen=True)
class Bench:
    """A backend in a folder of its own, and small jobs for it."""

    directory: Path
    backend: ProcessBackend
    settings: JobSettings
    place: Place = PLACE

    def tuner(self, **values: Any) -> TunerSettings:
        return TunerSettings(**values_in("tuner/bayesian.yaml") | {"n_trials": 3} | values)

    def work(self, program: str, **more: Any) -> Work:
        code = f"s3://dogbreed/code/{len(list(self.backend.store.files('s3://dogbreed/code/')))}/"
        self.backend.store.put_bytes(f"{code}{ARCHIVE}", pack(program))
        given: dict[str, Any] = {
            "hyperparameters": {},
            "code": code,
            "channels": {},
            "metrics": METRICS,
            "launch": "one",
        }
        return Work(**given | more)

    def request(self, program: str, name: str = "job", settings: Mapping[str, Any] | None = None, **more: Any) -> dict:
        return build_training_job(
            name, replace(self.settings, **settings or {}), self.place, self.work(program, **more)
        )

    def start(self, program: str, name: str = "job", **more: Any) -> None:
        self.backend.create_training_job(self.request(program, name, **more))

    def run(self, program: str, name: str = "job", **more: Any) -> dict[str, Any]:
        self.start(program, name, **more)
        return self.wait(name)

    def look(self, name: str = "job") -> dict[str, Any]:
        description = self.backend.describe_training_job(name)
        assert description is not None
        return description

    def wait(self, name: str = "job", statuses: Sequence[str] = ("Completed", "Failed", "Stopped")) -> dict[str, Any]:
        """The description, once the job has one of these statuses or secondary statuses."""
        return self._until(lambda: self.look(name), ("TrainingJobStatus", "SecondaryStatus"), statuses)

    def wait_for_line(self, text: str, name: str = "job") -> None:
        end = time.monotonic() + 120
        while not any(text in line.text for line in self.backend.log_lines(name, None)[0]):
            assert time.monotonic() < end, (self.look(name), self.log(name))
            time.sleep(0.05)

    def log(self, name: str = "job") -> list[str]:
        return [line.text for line in self.backend.log_lines(name, None)[0]]

    def tuning_request(
        self,
        program: str,
        ranges: Mapping[str, Any],
        name: str = "tuning",
        tuner: Mapping[str, Any] | None = None,
        direction: str = "max",
        epochs: int = 1,
        **more: Any,
    ) -> dict[str, Any]:
        work = self.work(program, **more)
        return build_tuning_job(
            name,
            self.settings,
            self.tuner(**tuner or {}),
            self.place,
            work,
            ranges=ranges,
            objective="val/acc",
            direction=direction,
            epochs=epochs,
        )

    def tune(self, program: str, ranges: Mapping[str, Any], name: str = "tuning", **more: Any) -> dict[str, Any]:
        self.backend.create_tuning_job(self.tuning_request(program, ranges, name, **more))
        return self.wait_for_tuning(name)

    def wait_for_tuning(self, name: str = "tuning") -> dict[str, Any]:
        def look() -> dict[str, Any]:
            description = self.backend.describe_tuning_job(name)
            assert description is not None
            return description

        return self._until(look, ("HyperParameterTuningJobStatus",), ("Completed", "Failed", "Stopped"))

    def _until(self, look: Any, keys: Sequence[str], statuses: Sequence[str]) -> dict[str, Any]:
        end = time.monotonic() + 300
        while True:
            description: dict[str, Any] = look()
            if any(description[key] in statuses for key in keys):
                return description
            assert time.monotonic() < end, description
            time.sleep(0.05)

    def close(self) -> None:
        """Stop whatever still runs."""
        folders = [Folder(path) for path in self.directory.glob("[jt]*/[!.]*")]
        for folder in folders:
            folder.ask("stop")
        end = time.monotonic() + 120
        while any(folder.is_attended for folder in folders) and time.monotonic() < end:
            time.sleep(0.05)


def make_bench(directory: Path) -> Iterator[Bench]:
    settings = JobSettings(**values_in("job/default.yaml") | {"backend": "process"})
    made = Bench(directory, ProcessBackend(directory, grace_s=1.0), settings)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A backend of one's own, with a second between SIGTERM and SIGKILL; what it started ends with the test."""
    yield from make_bench(tmp_path / "the jobs")


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The same for all tests of a file."""
    yield from make_bench(tmp_path_factory.mktemp("shared") / "jobs")
