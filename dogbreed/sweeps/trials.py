"""From what a sweep proposes to what trains it: configs, recipes, and the trials that share their features."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dogbreed.app import build, parts
from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Value, override_line
from dogbreed.sweeps.recipe import Recipe

#: What a fleet varies from trial to trial. Whatever else a config holds, trials of one group have in common.
VARIED = ("head", "optimizer", "scheduler", "label_smoothing", "seed")
#: What has no part in a trial's numbers.
_OUTWARD: tuple[str, ...] = ("callbacks", "logger", "paths", "trainer", "class_weights", "monitor", "notes", "resume")
_OUTWARD += ("health", "hook", "report")

#: What a fleet computes in.
_DTYPES = {"32": torch.float32, "32-true": torch.float32, "64": torch.float64, "64-true": torch.float64}
#: Settings of the trainer that a fleet has no use for, with the values that change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "gradient_clip_val": (None, 0),
    "accumulate_grad_batches": (1,),
    "devices": (1, "1", "auto"),
    "num_nodes": (1,),
    "strategy": ("auto",),
    "accelerator": ("auto", "cpu", "gpu", "cuda"),
}
#: Settings of the trainer that bear on no number, and those that a fleet follows.
_HARMLESS = (
    *("_target_", "max_epochs", "precision", "log_every_n_steps", "plugins", "use_distributed_sampler"),
    *("deterministic", "profiler", "enable_progress_bar", "enable_model_summary", "enable_checkpointing", "benchmark"),
)
#: Callbacks that only look on.
_ONLOOKERS = (
    "dogbreed.training.frozen.FrozenGuard",
    "dogbreed.training.epochs.EpochLog",
    "dogbreed.training.interruption.ResumableCheckpoint",
    "dogbreed.training.baselines.MeanColourBaseline",
)


class Trial(NamedTuple):
    """A run in a sweep.

    Attributes:
        number: from 0.
        params: what the sweep sets in it.
    """

    number: int
    params: dict[str, Value]

    @property
    def overrides(self) -> list[str]:
        """The same as typed overrides."""
        return [override_line(key, value) for key, value in self.params.items()]


class Configs:
    """The config of each trial.

    Hydra composes what changes the shape of the config, once for each; plain values are set in a copy, since
    composing takes 0.1 s.

    Args:
        compose: overrides -> config, by Hydra.
        fixed: the overrides that all trials share.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], fixed: Sequence[str]) -> None:
        self._compose, self._fixed = compose, list(fixed)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def of(self, params: Mapping[str, Value]) -> DictConfig:
        """The config with these params, the same that Hydra composes from them."""
        base = self._base({})
        shaping = {key: value for key, value in params.items() if not _is_plain(base, key)}
        shaped = self._base(shaping)
        values = {key: value for key, value in params.items() if key not in shaping}
        if not all(_is_plain(shaped, key) for key in values):
            return self._base(params)
        config = copy.deepcopy(shaped)
        for key, value in values.items():
            OmegaConf.update(config, key, value, merge=False)
        return config

    def _base(self, params: Mapping[str, Value]) -> DictConfig:
        lines = tuple(override_line(key, value) for key, value in params.items())
        if lines not in self._composed:
            try:
                self._composed[lines] = self._compose([*self._fixed, *lines])
            except ValueError as error:  # Hydra's word for some mistakes
                raise ConfigError(f"{' '.join(lines)}: {error}", "what --cfg job shows", "correct the space") from error
        return self._composed[lines]


def make_recipe(config: DictConfig) -> Recipe:
    """How a fleet trains what the config describes.

    Raises:
        ConfigError: a value that cannot be trained with.
    """
    for key, least in (("trainer.max_epochs", 1), ("data.batch_size", 1), ("seed", 0), ("data.seed", 0)):
        value = OmegaConf.select(config, key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{key}={value}", f"a whole number >= {least}", f"set {key}")
    if not isinstance(config.label_smoothing, int | float) or not 0 <= config.label_smoothing < 1:
        raise ConfigError(f"label_smoothing={config.label_smoothing}", "in [0, 1)", "set label_smoothing")
    return Recipe(
        make_head=build(config, "head"),
        make_optimizer=build(config, "optimizer"),
        make_scheduler=build(config, "scheduler"),
        batch_size=config.data.batch_size,
        epochs=config.trainer.max_epochs,
        label_smoothing=float(config.label_smoothing),
        seed=config.seed,
        order_seed=config.data.seed,
    )


def find_obstacle(config: DictConfig) -> str | None:
    """What in the config no fleet can do, so that the trial is run alone; None where there is nothing."""
    if config.class_weights is not None:
        return f"class_weights={config.class_weights}"
    for name, callback in parts(config, "callbacks").items():
        if callback.get("_target_") not in _ONLOOKERS:
            return f"callbacks.{name}"
    if OmegaConf.select(config, "hook._target_"):
        return "hook"
    if fail_on := OmegaConf.select(config, "health.fail_on"):
        return f"health.fail_on={list(fail_on)}"
    if str(config.trainer.precision) not in _DTYPES:
        return f"trainer.precision={config.trainer.precision}"
    for name, value in config.trainer.items():
        if name not in _HARMLESS and value not in _NEUTRAL.get(str(name), ()):
            return f"trainer.{name}={value}"
    return None


def group_key(config: DictConfig) -> str:
    """The same for two trials whose features are the same, and which a fleet can train side by side."""
    rest = {key: _resolved(config[key]) for key in config if key not in (*VARIED, *_OUTWARD)}
    rest["trainer"] = [str(config.trainer.precision), str(config.trainer.accelerator)]
    rest["data"].pop("batch_size")
    if rest["data"].get("val_fraction") is None and rest["data"].get("test_fraction") is None:
        rest["data"].pop("seed")  # of the order alone, which a fleet varies, and not of who is split off
    return json.dumps(rest, sort_keys=True, default=str)


def fleet_settings(config: DictConfig) -> dict[str, Any]:
    """The number format and device in which a fleet trains what the config describes."""
    accelerator = config.trainer.accelerator
    cuda = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ConfigError(f"trainer.accelerator={accelerator}, and there is no GPU", "auto or cpu here", "set it")
    return {"dtype": _DTYPES[str(config.trainer.precision)], "device": "cuda" if cuda else "cpu"}


def _is_plain(config: DictConfig, key: str) -> bool:
    """Whether the key holds a value that another one can take the place of without changing the config's shape."""
    try:
        value = OmegaConf.select(config, key)
    except (OmegaConfBaseException, ValueError):  # not to be resolved here, or marks of Hydra's: +key, key@package
        return False
    return value is not None and not isinstance(value, DictConfig | ListConfig)


def _resolved(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
