"""What a job finds in its container, and what it is to run there. No torch, no SDK; files are only read.

Places and files: "How Amazon SageMaker AI Provides Training Information" in AWS's developer guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import override_line
from launch.names import CHANNEL_KEYS, COMMAND, PROCESSES, base_directory
from launch.overrides import to_overrides

#: What a job runs unless it is told otherwise, as arguments behind `python`.
TRAIN = ("-m", "dogbreed.train")
#: In the hyperparameters: the job is a whole sweep.
SWEEPER = "hydra/sweeper"
#: PyTorch's own default for processes that look for each other on several hosts.
_PORT = "29500"


@dataclass(frozen=True)
class Container:
    """A job, as the host that it runs on sees it.

    Attributes:
        base: /opt/ml, or where it is laid out otherwise.
        job: its name.
        hyperparameters: see launch.overrides.
        channels: the names of its channels.
        hosts: all of them, in the order of their names.
        host: this one.
        network: the interface between the hosts; None where nobody says.
        processes: that train together on each host.
        command: what is run, as arguments behind `python`.
        port: where the first host waits for the others.
    """

    base: Path
    job: str
    hyperparameters: Mapping[str, str]
    channels: Sequence[str]
    hosts: Sequence[str]
    host: str
    network: str | None = None
    processes: int = 1
    command: Sequence[str] = TRAIN
    port: str = _PORT

    @property
    def run_directory(self) -> Path:
        """Of the run or the sweep: among the checkpoints, which outlive an interruption."""
        return self.base / "checkpoints" / self.job

    @property
    def artifact(self) -> Path:
        """Where the run, or the winner of the sweep, leaves its artifact."""
        return self.run_directory / ("winner/artifact" if self.is_sweep else "artifact")

    @property
    def is_sweep(self) -> bool:
        """Whether the job is a whole sweep."""
        return SWEEPER in self.hyperparameters

    @property
    def is_shared(self) -> bool:
        """Whether several processes train together."""
        return self.processes * len(self.hosts) > 1

    @property
    def is_first_host(self) -> bool:
        """Whether this host has the process that writes the run's files."""
        return self.host == self.hosts[0]

    def overrides(self) -> list[str]:
        """The job's overrides, and behind them what is known only here.

        Raises:
            ConfigError: a hyperparameter is no JSON, or the channel of the weights has not one file.
        """
        where = "hydra.sweep.dir" if self.is_sweep else "hydra.run.dir"
        here = {where: str(self.run_directory)}
        if tuple(self.command[:2]) == TRAIN:  # what these keys belong to
            here["features.root"] = f"{self.run_directory}.features"
        here |= {key: str(self._content(name)) for name, key in CHANNEL_KEYS.items() if name in self.channels}
        lines = [*to_overrides(self.hyperparameters), *(override_line(key, place) for key, place in here.items())]
        if tuple(self.command[:2]) == TRAIN:
            lines.append("resume=true")
            if len(self.hosts) > 1:
                lines.append(override_line("trainer.num_nodes", len(self.hosts)))
        return lines

    def arguments(self) -> list[str]:
        """What stands behind `python` on this host.

        Raises:
            ConfigError: see `overrides`; or a sweep is to be shared by several processes.
        """
        if self.is_sweep and self.is_shared:
            raise ConfigError(
                f"a sweep in {self.processes} processes on each of {len(self.hosts)} hosts",
                "one process on one host: it trains its trials side by side there",
                "set trainer.devices=1 and sagemaker.instance_count=1",
            )
        command = [*self.command, *(["-m"] if self.is_sweep else []), *self.overrides()]
        return [*self._torchrun(), *command] if self.is_shared else command

    def environment(self) -> dict[str, str]:
        """What the processes need to know beside their arguments."""
        needed = {"PYTHONUNBUFFERED": "1"}  # lines are to be seen as they are printed
        if len(self.hosts) > 1 and self.network is not None:
            needed |= {"NCCL_SOCKET_IFNAME": self.network, "GLOO_SOCKET_IFNAME": self.network}
        return needed

    def _torchrun(self) -> list[str]:
        start = ["-m", "torch.distributed.run", f"--nproc-per-node={self.processes}"]
        if len(self.hosts) == 1:
            return [*start, "--standalone"]  # on a free port
        rank = self.hosts.index(self.host)
        nodes = [f"--nnodes={len(self.hosts)}", f"--node-rank={rank}"]
        return [*start, *nodes, f"--master-addr={self.hosts[0]}", f"--master-port={self.port}"]

    def _content(self, channel: str) -> Path:
        folder = self.base / "input/data" / channel
        if channel != "weights":
            return folder
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        if len(found) != 1:
            names = ", ".join(path.name for path in found[:3]) or "none"
            raise ConfigError(
                f"the channel {channel} has {len(found)} files ({names})",
                "one: the weights",
                f"give a prefix with one file: sagemaker.channels.{channel}=s3://BUCKET/PREFIX/",
            )
        return found[0]


def read_container(environment: Mapping[str, str]) -> Container:
    """The job that this environment and its files describe.

    A file that is not there says nothing: a job may have no hyperparameters and no channels.

    Raises:
        ConfigError: a file or a variable is not as SageMaker and our requests write it.
    """
    base = base_directory(environment)
    resources, channels = _read(base, "resourceconfig"), _read(base, "inputdataconfig")
    hyperparameters = _read(base, "hyperparameters")
    for key, text in hyperparameters.items():
        if not isinstance(text, str):
            raise _wrong(f"hyperparameter {key}={text!r}", "a text, which holds JSON")
    if not environment.get("TRAINING_JOB_NAME"):
        raise _wrong("TRAINING_JOB_NAME is not set", "the job's name")
    host = str(resources.get("current_host", "algo-1"))
    hosts = sorted(map(str, resources.get("hosts", [host])))
    if host not in hosts:
        raise _wrong(f"current_host={host}", f"one of the hosts: {', '.join(hosts)}")
    return Container(
        base=base,
        job=environment["TRAINING_JOB_NAME"],
        hyperparameters=hyperparameters,
        channels=sorted(channels),
        hosts=hosts,
        host=host,
        network=resources.get("network_interface_name"),
        processes=_processes(environment.get(PROCESSES, "1")),
        command=_command(environment.get(COMMAND)),
        port=environment.get("MASTER_PORT", _PORT),
    )


def _read(base: Path, name: str) -> dict[str, Any]:
    file = base / "input/config" / f"{name}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _wrong(f"{file}: {error}", "a JSON file that can be read") from error
    if not isinstance(content, dict):
        raise _wrong(f"{file} holds no names", "a JSON object")
    return content


def _processes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise _wrong(f"{PROCESSES}={text}", "a whole number >= 1")
    return int(text)


def _command(text: str | None) -> tuple[str, ...]:
    if text is None:
        return TRAIN
    try:
        command = json.loads(text)
    except ValueError:
        command = None
    if not (isinstance(command, list) and command and all(isinstance(part, str) for part in command)):
        raise _wrong(f"{COMMAND}={text}", 'arguments behind python as JSON: ["-m", "package.module"]')
    return tuple(command)


def _wrong(got: str, allowed: str) -> ConfigError:
    return ConfigError(got, allowed, "start the job by launch.train or launch.tune")
