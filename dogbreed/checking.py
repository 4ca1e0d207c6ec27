"""What a run refuses, told from its config alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dogbreed.app import build, parts
from dogbreed.directions import direction
from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.features.names import check_names
from dogbreed.health.rules.base import Rule
from dogbreed.health.smdebug.config import needs_backbone
from dogbreed.kinds import check_kind

#: Callbacks that choose or stop by a metric.
_CHOOSING = tuple(f"dogbreed.training.interruption.Resumable{name}" for name in ("Checkpoint", "EarlyStopping"))


def check_settings(config: DictConfig) -> None:
    """Refuse now what Lightning would stumble over later."""
    for key, least, most in (
        ("seed", 0, 2**32 - 1),
        ("trainer.max_epochs", 1, None),
        ("trainer.accumulate_grad_batches", 1, None),
        ("trainer.log_every_n_steps", 0, None),
    ):
        value = OmegaConf.select(config, key)
        if not _is_whole(value) or value < least or (most is not None and value > most):
            allowed = f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"
            raise ConfigError(f"{key}={value}", allowed, f"set {key}")
    for key in ("resume", "report", "thumbnails"):
        if not isinstance(config[key], bool):
            raise ConfigError(f"{key}={config[key]}", "true or false", f"set {key}")
    precision = config.sure_precision
    if isinstance(precision, bool) or not isinstance(precision, int | float) or not 0 < precision <= 1:
        raise ConfigError(f"sure_precision={precision}", "above 0, at most 1", "set sure_precision")
    check_paths(config)
    check_kind("notes", config.notes, Sequence[str])
    check_kind("features.root", config.features.root, str | Path | None)
    direction(config.monitor)
    for name, part in parts(config, "callbacks").items():
        if part.get("_target_") in _CHOOSING:
            direction(part.monitor, f"callbacks.{name}.monitor")


def check_paths(config: DictConfig) -> None:
    """Refuse what is no path where the run leaves its files."""
    for name, path in config.paths.items():
        check_kind(f"paths.{name}", path, Path)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def needs_pixels(config: DictConfig) -> str | None:
    """Why a run trains on pixels; None for one that trains on features.

    Raises:
        ConfigError: `features` contradicts itself or the augmentation.
    """
    settings, augmented = config.features, "_target_" in (config.augmentation or {})
    if settings.path not in ("cached", "pixels"):
        raise ConfigError(
            f"features.path={settings.path}", "cached or pixels", "set features=cached or features=pixels"
        )
    for key, least in (("views", 1), ("batch_size", 1), ("seed", 0)):
        value = settings[key]
        whole = _is_whole(value) and value >= least
        if not whole and (value is not None or key == "seed"):
            allowed = f"a whole number >= {least}" + ("" if key == "seed" else ", or null")
            raise ConfigError(f"features.{key}={value}", allowed, f"set features.{key}")
    check_names(settings.engine, settings.precision, settings.decoder)
    views = settings.views
    if views is not None and (views > 1) != augmented:
        raise ConfigError(
            f"features.views={views} with {'an' if augmented else 'no'} augmentation",
            "several views with an augmentation, which draws all but the first; one without",
            "set features.views=10, or augmentation=none" if augmented else "add augmentation=crop_flip",
        )
    if settings.path == "pixels":
        return "features=pixels asks for it"
    if (watched := _watches_backbone(config)) is not None:
        return watched
    if augmented and views is None:
        return "augmentation draws a fresh view of every picture in every epoch (features.views=10: ten, computed once)"
    return None


def _watches_backbone(config: DictConfig) -> str | None:
    """Why a rule or a debugger's hook must see the backbone at work."""
    for name, rule in parts(config, "health.rules").items():
        layers = rule.get("layers", "head")
        if layers not in ("head", "all"):
            key = f"health.rules.{name}.layers"
            raise ConfigError(f"{key}={layers}", "head, or all (the backbone's too, which takes pixels)", f"set {key}")
        if layers == "all":
            return f"health.rules.{name}.layers=all looks at what the backbone computes"
    hook: Any = OmegaConf.to_container(config.hook, resolve=True) if config.hook else None
    return needs_backbone(hook)


def make_rules(config: DictConfig) -> list[Rule]:
    """The rules of the config's section `health`.

    Raises:
        ConfigError: a rule that is none or cannot be made so; health.fail_on names none of them.
    """
    rules: list[Rule] = []
    for name in parts(config, "health.rules"):
        rule = build(config, f"health.rules.{name}")
        if not isinstance(rule, Rule):
            raise ConfigError(
                f"health.rules.{name}, which is no rule",
                "a subclass of dogbreed.health.rules.base.Rule as its _target_",
                f"set health.rules.{name}._target_, or leave it out: ~health.rules.{name}",
            )
        rules.append(rule)
    names = [rule.name for rule in rules]
    check_kind("health.fail_on", config.health.fail_on, Sequence[str] | None)
    for name in config.health.fail_on or ():
        if name not in names:
            raise ConfigError(
                f"health.fail_on: {name}{did_you_mean(str(name), names)}", ", ".join(names), "set health.fail_on"
            )
    every = config.health.every_n_steps
    if not _is_whole(every) or every < 1:
        raise ConfigError(f"health.every_n_steps={every}", "a whole number >= 1", "set health.every_n_steps")
    return rules
