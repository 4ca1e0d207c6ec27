"""What is asked of SageMaker: fields and checks; the values live in conf/sagemaker/. Pure: no torch, no SDK."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.kinds import check_kind
from launch.fields import Wrong, one_of, positive, refuse, typed, whole, wrong

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BACKENDS = ("sagemaker", "process")
INPUT_MODES = ("File", "FastFile")
STRATEGIES = ("Bayesian", "Random", "Hyperband", "Grid")
WARM_STARTS = ("IdenticalDataAndAlgorithm", "TransferLearning")

_Settings = TypeVar("_Settings", bound="DataclassInstance")


@dataclass(frozen=True)
class JobSettings:
    """How a training job is run; each field is described beside its value in conf/sagemaker/job/default.yaml."""

    backend: str
    process_dir: str | None
    region: str | None
    role: str | None
    bucket: str | None
    prefix: str
    image: str | None
    pytorch_version: str
    requirements: str | None
    instance_type: str
    instance_count: int
    volume_size_gb: int
    max_run_s: int
    spot: bool
    max_wait_s: int | None
    keep_alive_s: int
    retries: int
    checkpoints: bool
    input_mode: str
    channels: Mapping[str, str | None]
    environment: Mapping[str, str]
    tags: Mapping[str, str]
    subnets: Sequence[str]
    security_groups: Sequence[str]
    kms_key: str | None
    network_isolation: bool
    encrypt_traffic: bool
    debugger: str | None
    tensorboard: bool
    max_parallel: int
    poll_s: float
    budget_usd: float | None
    price_per_hour: float | None
    expected_minutes: float | None
    measured_run: str | None

    def __post_init__(self) -> None:
        refuse([*self._words(), *self._numbers(), *typed(self)])
        refuse([*self._others()])

    def _words(self) -> Iterator[ConfigError | None]:
        yield one_of("backend", self.backend, BACKENDS)
        yield one_of("input_mode", self.input_mode, INPUT_MODES)

    def _numbers(self) -> Iterator[ConfigError | None]:
        for name, least in (("instance_count", 1), ("volume_size_gb", 1), ("max_run_s", 120), ("keep_alive_s", 0)):
            yield whole(name, getattr(self, name), least)
        for name, least in (("retries", 0), ("max_parallel", 1)):
            yield whole(name, getattr(self, name), least)
        yield None if self.max_wait_s is None else whole("max_wait_s", self.max_wait_s, 1)
        for name in ("poll_s", "budget_usd", "price_per_hour", "expected_minutes"):
            yield positive(name, getattr(self, name))

    def _others(self) -> Iterator[ConfigError | None]:
        if self.debugger not in (None, "existing_customer"):
            yield wrong("debugger", self.debugger, "null, or existing_customer: AWS closed it to new ones")
        if bool(self.subnets) != bool(self.security_groups):
            yield wrong("subnets", list(self.subnets), "subnets and security_groups, both or neither")
        if not re.fullmatch(r"[A-Za-z0-9/._-]*", self.prefix):
            yield wrong("prefix", self.prefix, "letters, digits, / . _ and -")

    @property
    def on_aws(self) -> bool:
        """Whether the job runs at AWS, and costs."""
        return self.backend == "sagemaker"


@dataclass(frozen=True)
class TunerSettings:
    """How a tuning job searches; each field is described beside its value in conf/sagemaker/tuner/bayesian.yaml."""

    strategy: str
    n_trials: int
    max_parallel: int
    early_stopping: bool
    warm_start_from: Sequence[str]
    warm_start_type: str
    min_epochs: int | None
    max_runtime_s: int | None
    seed: int

    def __post_init__(self) -> None:
        refuse([*self._problems()])

    def _problems(self) -> Iterator[ConfigError | None]:
        yield one_of("strategy", self.strategy, STRATEGIES)
        yield one_of("warm_start_type", self.warm_start_type, WARM_STARTS)
        for name, least in (("n_trials", 1), ("max_parallel", 1), ("seed", 0)):
            yield whole(name, getattr(self, name), least)
        for name, least in (("min_epochs", 1), ("max_runtime_s", 120)):
            yield None if getattr(self, name) is None else whole(name, getattr(self, name), least)
        yield from typed(self)


def make_settings(kind: type[_Settings], values: Mapping[str, Any], section: str) -> _Settings:
    """The settings that a section of the config holds.

    Args:
        kind: a dataclass of settings, which checks them by launch.fields.
        values: the section's plain values.
        section: its name, for errors: "sagemaker" or "hydra.launcher".

    Raises:
        ConfigError: a name that does not exist, one that is missing, or a value that cannot be.
    """
    names: list[str] = [field.name for field in fields(kind)]
    check_kind(section, values, Mapping)
    for name in (*values, *names):
        if name not in values or name not in names:
            what = "missing" if name in names else f"there is none{did_you_mean(name, names)}"
            raise ConfigError(f"{section}.{name}: {what}", ", ".join(names), f"correct {section}")
    try:
        return kind(**values)
    except Wrong as error:  # say each by the name that the user set
        got = "; ".join(f"{section}.{each.got}" for each in error.all)
        allowed = "; ".join(dict.fromkeys(each.allowed for each in error.all))
        raise ConfigError(got, allowed, f"set {', '.join(f'{section}.{each.hint}' for each in error.all)}") from None


def renamed(text: str, section: str) -> str:
    """A message about settings by the name of another section than `sagemaker`.

    >>> renamed("set sagemaker.spot=true, not sagemaker.amazonaws.com; sagemaker/job=spot", "hydra.launcher")
    'set hydra.launcher.spot=true, not sagemaker.amazonaws.com; sagemaker/job@hydra.launcher=spot'
    """
    names = "|".join(["tuner", *(field.name for field in fields(JobSettings))])
    text = re.sub(rf"\bsagemaker\.(?=({names})\b)", f"{section}.", text)
    text = re.sub(r"\bsagemaker/job=", f"sagemaker/job@{section}=", text)
    return re.sub(r"\bsagemaker/tuner=", f"sagemaker/tuner@{section}.tuner=", text)
