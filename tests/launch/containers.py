"""A container of our own for tests: a folder that is laid out as SageMaker's is, and the entry started in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from launch.overrides import to_hyperparameters

JOB = "job-1"


class Container:
    """A container of our own: `base` stands for /opt/ml."""

    def __init__(
        self,
        base: Path,
        overrides: list[str] | None = None,
        channels: Mapping[str, Path] | None = None,
        hosts: tuple[str, ...] = ("algo-1",),
        host: str = "algo-1",
        **environment: str,
    ) -> None:
        self.base, self.run_directory = base, base / "checkpoints" / JOB
        self.environment = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": JOB, **environment}
        resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"}
        self.write("resourceconfig", resources)
        self.write("inputdataconfig", {name: {"TrainingInputMode": "File"} for name in channels or {}})
        self.write("hyperparameters", to_hyperparameters(overrides or []))
        for name, folder in (channels or {}).items():
            (base / "input/data").mkdir(parents=True, exist_ok=True)
            (base / "input/data" / name).symlink_to(folder)

    def write(self, name: str, content: object) -> None:
        file = self.base / "input/config" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))

    def start(self, *start: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(map(str, start or (sys.executable, "-m", "launch.entry"))),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",  # what is no UTF-8 must come through too
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
        )

    def run(self, *start: object, stop_at: str = "", by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and output; a signal is sent once a line begins with `stop_at`."""
        process, lines = self.start(*start), []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if stop_at and line.startswith(stop_at):
                process.send_signal(by)
        return process.wait(), "".join(lines)

    def restart(self) -> None:
        """All is new but the checkpoints, as where a spot instance was taken away."""
        for name in ("model", "output"):
            shutil.rmtree(self.base / name, ignore_errors=True)

    @property
    def failure(self) -> str:
        return (self.base / "output/failure").read_text()

    @property
    def has_failed(self) -> bool:
        return (self.base / "output/failure").exists()

    @property
    def metrics(self) -> dict[str, float]:
        content: dict[str, float] = json.loads((self.base / "output/data/metrics.json").read_text())
        return content
