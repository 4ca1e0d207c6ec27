"""A composed config as work for somewhere else: what travels, what it reads, how many processes it takes."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from dogbreed.directions import DIRECTIONS
from dogbreed.errors import ConfigError
from dogbreed.kinds import check_kind
from dogbreed.runs import command
from dogbreed.training.epoch_line import BEST_EPOCH, EPOCH_METRIC_PATTERN, epoch_line
from launch.names import CHANNEL_KEYS
from launch.overrides import OURS, of_the_job, to_hyperparameters
from launch.settings import JobSettings, TunerSettings, make_settings

#: The sweeper that runs in a single process, and so in a single job.
FLEET = "fleet"
#: The bucket of the process backend that is this machine's own files.
LOCAL = "s3://local"
#: Pictures that are drawn wherever a run needs them, and pictures in a folder: by name, as their module loads torch.
_DRAWN, _FOLDER = (f"dogbreed.data.datamodule.{name}" for name in ("SampleDataModule", "BreedDataModule"))

#: Settings that planning a job reads itself; the others are for the run to judge.
_READ_HERE = {"data._target_": str, "data.root": str | Path | None, "data.batch_size": int, "monitor": str}


@dataclass(frozen=True)
class Experiment:
    """A composed config and how it is to be run.

    Attributes:
        config: of the run.
        overrides: those of the command line that are the run's own.
        sweeper: overrides that make the job a sweep of its own; empty for a run.
        settings: of the job.
        tuner: of a tuning job; None where there is none to come.
        name: what to call it.
        command: what Python runs, where it is another task than `dogbreed.train`, of which nothing else is known.
        section: of the config that has the settings.
    """

    config: DictConfig
    overrides: Sequence[str]
    sweeper: Sequence[str]
    settings: JobSettings
    tuner: TunerSettings | None
    name: str
    command: Sequence[str] = ()
    section: str = "sagemaker"

    @property
    def hyperparameters(self) -> dict[str, str]:
        """What the job is told: its overrides, less those that a channel takes the place of."""
        taken = [CHANNEL_KEYS[name] for name in self.channels if name in CHANNEL_KEYS]
        return to_hyperparameters([*of_the_job(self.overrides, *taken, *([] if self.command else OURS)), *self.sweeper])

    @property
    def local_command(self) -> str:
        """The line that runs the same here."""
        if self.command:
            return shlex.join(["python", *self.command, *self.overrides])
        return command("dogbreed.train", [*(["-m"] if self.sweeper else []), *self.sweeper, *self.overrides])

    @property
    def extras(self) -> list[str]:
        """The library's extras that the container needs for this config."""
        if self.command:
            return []
        return [*(["sweeps"] if self.sweeper else []), *self.extras_of(self.config)]

    @staticmethod
    def extras_of(config: DictConfig) -> list[str]:
        """The extras that a run of `config` needs."""
        needed = {
            "smdebug": OmegaConf.select(config, "hook._target_") is not None,
            "openvino": config.features.engine == "openvino",
            "gpu": config.features.decoder == "gpu",
        }
        return [name for name, is_needed in needed.items() if is_needed]

    @property
    def channels(self) -> dict[str, str]:
        """Channel -> s3:// prefix of what the job reads.

        Raises:
            ConfigError: it reads files that are on this machine only.
        """
        if not self.command and (exclude := self.config.data.get("exclude")):
            raise ConfigError(
                f"data.exclude={exclude} is on this machine",
                "a data set in the store without the files of the list",
                "python -m launch.upload FOLDER --exclude FILE, and leave data.exclude out",
            )
        found = {name: uri for name, uri in self.settings.channels.items() if uri is not None}
        for name, path in ({} if self.command else _files_of(self.config)).items():
            if name in found:
                continue
            if self.settings.on_aws:
                raise ConfigError(
                    f"{CHANNEL_KEYS[name]}={path} is on this machine",
                    "what a job at AWS can read",
                    f"python -m launch.upload {path}, which says the setting to add: sagemaker.channels.{name}=s3://...",
                )
            found[name] = str(path)
        return {name: self._uri(name, uri) for name, uri in found.items()}

    def channels_known(self, name: str) -> bool:
        """Whether a channel was given."""
        return self.settings.channels.get(name) is not None

    @cached_property
    def data_bytes(self) -> int | None:
        """The size of the pictures on this machine; None where there are none."""
        found = None if self.command else _files_of(self.config).get("data")
        if found is None or not found.is_dir():
            return None
        return sum(path.stat().st_size for path in found.rglob("*") if path.is_file())

    def _uri(self, name: str, uri: str) -> str:
        if uri.startswith("s3://"):
            return uri
        if self.settings.on_aws:
            raise ConfigError(
                f"sagemaker.channels.{name}={uri}", "s3://BUCKET/PREFIX", "python -m launch.upload FOLDER"
            )
        if not Path(uri).exists():
            raise ConfigError(f"{CHANNEL_KEYS.get(name, name)}={uri}: there is none", "what exists here", "correct it")
        return f"{LOCAL}{Path(uri).resolve()}"

    @property
    def processes(self) -> int:
        """Processes that train together on each host.

        Raises:
            ConfigError: several, and the config does not share the training out.
        """
        if self.command:
            return 1
        devices, nodes = str(self.config.trainer.devices), self.config.trainer.num_nodes
        if not devices.isdigit() or int(devices) < 1:
            allowed = "how many processes a host starts, as a whole number"
            raise ConfigError(f"trainer.devices={devices}", allowed, "set trainer.devices=1")
        if nodes not in (1, self.settings.instance_count):
            raise ConfigError(
                f"trainer.num_nodes={nodes} on {self.settings.instance_count} instances",
                "as many as there are instances, which the job sees to",
                "leave it out, and set sagemaker.instance_count",
            )
        processes = int(devices)
        together = processes * self.settings.instance_count
        if together > 1 and self.config.trainer.strategy == "auto":
            raise ConfigError(
                f"{together} processes with trainer.strategy=auto",
                "a strategy that shares the training out",
                f"add trainer=ddp trainer.devices={processes}, or one instance and trainer.devices=1",
            )
        return processes


def read_experiment(config: DictConfig, hydra: Any) -> Experiment:
    """The experiment of launch.plan, launch.train and launch.tune.

    Args:
        config: composed from conf/launch.yaml.
        hydra: Hydra's own part of it, with the command line's overrides and which file of which group.

    Raises:
        ConfigError: settings that cannot be.
    """
    refuse_folders(hydra.runtime)
    values: dict[str, Any] = OmegaConf.to_container(config.sagemaker, resolve=True)  # type: ignore[assignment]
    tuner = make_settings(TunerSettings, values.pop("tuner"), "sagemaker.tuner")
    settings = make_settings(JobSettings, values, "sagemaker")
    sweeper = [line for line in hydra.overrides.hydra if re.match(r"\+*hydra[/.]sweeper", line)]
    chosen = hydra.runtime.choices.get("hydra/sweeper")
    if chosen == FLEET and not any(line.startswith("hydra/sweeper=") for line in sweeper):
        sweeper.insert(0, f"hydra/sweeper={FLEET}")  # an experiment's file has chosen it
    if sweeper and chosen != FLEET:
        raise ConfigError(
            f"hydra/sweeper={chosen} in one job",
            "fleet: features once, all trials side by side",
            "hydra/sweeper=fleet; or launch.tune for a job a trial",
        )
    for key, kind in _READ_HERE.items():
        check_kind(key, OmegaConf.select(config, key), kind)
    overrides = of_the_job(hydra.overrides.task, *OURS)
    return Experiment(config, overrides, sweeper, settings, tuner, experiment_name(hydra.runtime.choices))


def refuse_folders(runtime: Any) -> None:
    """Refuse choices from a folder of the user's own: a job has the library's alone.

    A search space becomes ranges, and the job's own settings a request, before anything is sent: both may lie there.

    Args:
        runtime: hydra.runtime of what was composed.

    Raises:
        ConfigError: there is such a choice.
    """
    ours = resources.files("dogbreed.conf")
    for source in runtime.config_sources:
        if source.schema != "file" or source.provider == "main":
            continue
        for group, option in runtime.choices.items():
            file = f"{group}/{option}.yaml"
            travels = not group.startswith(("hydra/", "sagemaker", "search_space"))
            if travels and Path(source.path, file).is_file() and not ours.joinpath(file).is_file():
                raise ConfigError(
                    f"{group}={option} is a file in {source.path}, on this machine (--config-dir)",
                    "those of conf/, which travel with the library's code",
                    "in a checkout, move it into conf/, and what it names into dogbreed/ (a head into "
                    "dogbreed/models/heads.py), git add both",
                )


def without_hydra(config: DictConfig) -> DictConfig:
    """A job's config as its task sees it."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def experiment_name(choices: Mapping[str, Any]) -> str:
    """What to call an experiment: by its file, else by what it trains on what.

    >>> experiment_name({"experiment": None, "data": "dogs133", "backbone": "resnet18"})
    'dogs133-resnet18'
    >>> experiment_name({})
    'task'
    """
    chosen = (
        [choices.get("experiment")] if choices.get("experiment") else [choices.get("data"), choices.get("backbone")]
    )
    return "-".join(str(choice) for choice in chosen if choice) or "task"


def metric_definitions() -> list[dict[str, str]]:
    """What AWS reads off the log: every metric of every split, by the library's own pattern."""
    names = [f"{split}/{metric}" for split in ("train", "val", "test") for metric in DIRECTIONS]
    return [{"Name": name, "Regex": EPOCH_METRIC_PATTERN.format(name=name)} for name in names]


def example_lines() -> list[str]:
    """Lines as a run prints them, to try patterns on."""
    row = {f"{split}/{metric}": 0.5 for split in ("train", "val") for metric in DIRECTIONS}
    last = {f"{split}/{metric}": 0.25 for split in ("val", "test") for metric in DIRECTIONS}
    return [epoch_line({"epoch": 0, "step": 10, **row}), f"{BEST_EPOCH}{epoch_line(last)}"]


def _files_of(config: DictConfig) -> dict[str, Path]:
    """Channel -> what the config reads on this machine; a drawn sample is drawn there."""
    found = {}
    root = OmegaConf.select(config, "data.root")
    if root is not None and not _is_drawn(config.data._target_):
        found["data"] = Path(os.path.expanduser(root))
    weights = config.backbone.weights
    if isinstance(weights, str) and (os.sep in weights or Path(weights).exists()):
        found["weights"] = Path(os.path.expanduser(weights))
    return found


def _is_drawn(target: str) -> bool:
    """Whether a data module draws its pictures, so that none have to travel."""
    if target in (_DRAWN, _FOLDER):
        return target == _DRAWN
    from dogbreed.data.datamodule import SampleDataModule

    try:
        return issubclass(get_class(target), SampleDataModule)
    except (ImportError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"data._target_={target}: {reason}", "the name of a data module", "set data._target_"
        ) from error
