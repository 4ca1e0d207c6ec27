"""What smdebug saves and when: from conf/hook, or from the job's own file; both become SageMaker's debughookconfig."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.health.smdebug.names import means_backbone

MODES = ("train", "eval")
#: smdebug's own collections, and ours, which are filled by the type of the layers and not by their names.
BUILT_IN = ("losses", "weights", "biases", "gradients")
BY_LAYER = ("inputs", "relu_outputs", "tanh_inputs", "sigmoid_inputs", "activation_inputs")

_SECTION = ("out_dir", "save_interval", "save_steps", "save_all", "collections")
_KEYS = ("save_interval", "save_steps", "include_regex", "modules", "tensors", "layers", "reductions")
_REDUCTIONS = ("min", "max", "mean", "std", "variance", "sum", "prod", "l1_norm", "l2_norm")
_NEVER = 2**31 - 1  # as the first step to save: smdebug has no word for a mode that is not saved


@dataclass(frozen=True)
class Collection:
    """Tensors that are saved together.

    Attributes:
        name: of the collection.
        parameters: by SageMaker's names, every value a string.
        layers: whose layers fill it: "head" or "all"; None for one that goes by the tensors' names.
        modules: import paths of the types of layers; empty for those that its name says.
        tensors: "inputs" or "outputs" of such layers; None for what its name says.
    """

    name: str
    parameters: Mapping[str, str]
    layers: str | None = None
    modules: tuple[str, ...] = ()
    tensors: str | None = None

    @property
    def regexes(self) -> list[str]:
        """The regular expressions by which it takes tensors, as smdebug reads them."""
        return [part.strip() for part in self.parameters.get("include_regex", "").split(",") if part.strip()]


@dataclass(frozen=True)
class HookConfig:
    """All that smdebug is told.

    Attributes:
        out_dir: a folder, or s3://bucket/prefix.
        save_all: whether every tensor is saved; a job may also say it by a collection that is called all.
        collections: what is saved.
        content: the same in the format of debughookconfig.json.
        source: where it was read, for messages.
    """

    out_dir: str
    save_all: bool
    collections: tuple[Collection, ...]
    content: Mapping[str, Any]
    source: str


def from_settings(
    out_dir: str,
    save_interval: Mapping[str, int | None],
    save_steps: Mapping[str, Sequence[int]],
    save_all: bool,
    collections: Mapping[str, Mapping[str, Any] | None],
) -> HookConfig:
    """What conf/hook/smdebug.yaml says.

    Args:
        out_dir: see `HookConfig`.
        save_interval: batches between two saves, for "train" and "eval"; None: never.
        save_steps: batches that are saved whatever the interval is, for the same.
        save_all: see `HookConfig`.
        collections: name -> what differs for it: save_interval, save_steps, include_regex, reductions, layers,
            modules, tensors; None leaves it out.

    Raises:
        ConfigError: a key or a value is none that there is.
    """
    general = {
        "save_interval": _mapping(save_interval, "hook.save_interval"),
        "save_steps": _mapping(save_steps, "hook.save_steps"),
    }
    collections = _mapping(collections, "hook.collections")
    chosen = [_collection(name, entry, general) for name, entry in collections.items() if entry is not None]
    if save_all:
        chosen.append(Collection("all", _when("hook", general)))
    content = {
        "LocalPath": out_dir,
        "HookParameters": {"save_all": "true"} if save_all else {},
        "CollectionConfigurations": [
            {"CollectionName": each.name, "CollectionParameters": dict(each.parameters)} for each in chosen
        ],
    }
    return HookConfig(out_dir, save_all, tuple(chosen), content, "conf/hook")


def job_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration that SageMaker gave this job; None outside such a job, or for one without a hook.

    >>> job_file({"SAGEMAKER_BASE_DIR": "/nowhere"}) is None
    True
    """
    given = environment.get("SMDEBUG_CONFIG_FILE_PATH")
    if given:
        return Path(given)
    found = Path(environment.get("SAGEMAKER_BASE_DIR", "/opt/ml"), "input/config/debughookconfig.json")
    return found if found.is_file() else None


def from_job(file: Path, environment: Mapping[str, str] = os.environ) -> HookConfig:
    """What a job's own debughookconfig.json says.

    A collection of one of our names without a regular expression is filled by the type of the layers.

    Raises:
        ConfigError: it cannot be read, is another file, or holds what is no regular expression.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = [
            (entry["CollectionName"], dict(entry.get("CollectionParameters") or {}))
            for entry in content.get("CollectionConfigurations") or []
        ]
        if not all(isinstance(values.get("include_regex", ""), str) for _, values in entries):
            raise TypeError("an include_regex is no text")
        parameters = content.get("HookParameters") or {}
        save_all = str(parameters.get("save_all", "false")).lower() == "true"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error or type(error).__name__}",
            "the DebugHookConfig of a SageMaker job, as JSON",
            "mend the job's request, or unset SMDEBUG_CONFIG_FILE_PATH",
        ) from error
    collections = tuple(
        Collection(name, values, "all" if name in BY_LAYER and "include_regex" not in values else None)
        for name, values in entries
    )
    for each in collections:
        for regex in each.regexes:
            if reason := _unfit(regex):
                raise ConfigError(
                    f"{file}: include_regex {regex} of the collection {each.name}: {reason}",
                    "regular expressions, between commas",
                    "mend the DebugHookConfig of the job's request",
                )
    # smdebug takes its own collection of that name for every tensor, whatever save_all says.
    save_all = save_all or any(each.name == "all" for each in collections)
    base = environment.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    content.setdefault("LocalPath", f"{base}/output/tensors")
    return HookConfig(content["LocalPath"], save_all, collections, content, str(file))


def needs_backbone(settings: Mapping[str, Any] | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why a hook must see the backbone at work, and so the pictures; None where features are enough.

    A regular expression that can match nothing of the head or the loss is taken to mean the backbone.

    Args:
        settings: the section `hook` of the config; None or empty for none.
        environment: of a job, which may bring its own configuration.

    Raises:
        ConfigError: the settings, or the job's file, make no sense.

    >>> hook = {"out_dir": "smdebug", "save_interval": {"train": 50}, "save_steps": {}, "save_all": False}
    >>> needs_backbone({**hook, "collections": {"relu_outputs": {"layers": "all"}}}, {})
    'hook.collections.relu_outputs.layers=all reads what the backbone computes of each picture'
    """
    if not settings:
        return None
    file = job_file(environment)
    config = _from_section(settings) if file is None else from_job(file, environment)
    where = "hook.collections." if file is None else f"{file}: "
    if config.save_all:
        said = "hook.save_all=true" if file is None else f"{file}: save_all, or the collection all,"
        return f"{said} saves what the backbone computes of each picture"
    for each in config.collections:
        if each.layers == "all":
            return f"{where}{each.name}.layers=all reads what the backbone computes of each picture"
        for regex in each.regexes:
            if means_backbone(regex):
                return f"{where}{each.name} ({regex}) reads what the backbone computes of each picture"
    return None


def _from_section(settings: Mapping[str, Any]) -> HookConfig:
    for key in _SECTION:
        if key not in settings:
            raise ConfigError(f"hook has no {key}", ", ".join(_SECTION), "choose hook=smdebug, which has them all")
    return from_settings(**{key: settings[key] for key in _SECTION})


def _collection(name: str, entry: Mapping[str, Any], general: Mapping[str, Mapping[str, Any]]) -> Collection:
    key = f"hook.collections.{name}"
    entry = _mapping(entry, key)
    for unknown in entry.keys() - set(_KEYS):
        raise _wrong(f"{key}.{unknown}{did_you_mean(unknown, _KEYS)}", ", ".join(_KEYS), key)
    parameters = _when(
        key, {part: {**general[part], **_mapping(entry.get(part) or {}, f"{key}.{part}")} for part in general}
    )
    if regexes := _listed(entry, "include_regex", key):
        parameters["include_regex"] = ",".join(_checked(regex, f"{key}.include_regex") for regex in regexes)
    if reductions := _listed(entry, "reductions", key):
        for reduction in reductions:
            if reduction.removeprefix("abs_") not in _REDUCTIONS:
                allowed = ", ".join(_REDUCTIONS) + ", each also as abs_..."
                raise _wrong(f"{key}.reductions={reduction}{did_you_mean(reduction, _REDUCTIONS)}", allowed, key)
        parameters["reductions"] = ",".join(reductions)
    layers, tensors, modules = entry.get("layers"), entry.get("tensors"), tuple(_listed(entry, "modules", key))
    if name in BY_LAYER or modules:
        if layers not in ("head", "all"):
            raise _wrong(f"{key}.layers={layers}", "head, or all (the backbone's too, which takes pixels)", key)
        if modules and tensors not in ("inputs", "outputs"):
            raise _wrong(f"{key}.tensors={tensors}", "inputs or outputs, of the modules", key)
    elif layers is not None or tensors is not None or (name not in BUILT_IN and not regexes):
        known = (*BUILT_IN, *BY_LAYER)
        allowed = f"{', '.join(known)}; or one of your own with include_regex, or with modules, tensors and layers"
        raise _wrong(f"{key}{did_you_mean(name, known)} does not say which tensors", allowed, key)
    return Collection(name, parameters, layers, modules, tensors)


def _when(key: str, entry: Mapping[str, Any]) -> dict[str, str]:
    """Intervals and steps of both modes as SageMaker's parameters."""
    return dict(pair for mode in MODES for pair in _when_in(key, mode, entry))


def _when_in(key: str, mode: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("save_interval", "save_steps"):
        for unknown in entry[name].keys() - set(MODES):
            raise _wrong(f"{key}.{name}.{unknown}", " and ".join(MODES), f"{key}.{name}")
    interval, steps = entry["save_interval"].get(mode), entry["save_steps"].get(mode) or ()
    if interval is not None and (not _is_whole(interval) or interval < 1):
        place = f"{key}.save_interval.{mode}"
        raise _wrong(f"{place}={interval}", "a whole number of steps >= 1, or null for never", place)
    if not isinstance(steps, Sequence):
        raise _wrong(f"{key}.save_steps.{mode}={steps}", "a list of whole numbers", f"{key}.save_steps.{mode}")
    if not all(_is_whole(step) and step >= 0 for step in steps):
        raise _wrong(f"{key}.save_steps.{mode}={list(steps)}", "whole numbers >= 0", f"{key}.save_steps.{mode}")
    yield f"{mode}.save_interval", str(_NEVER if interval is None else interval)
    yield f"{mode}.start_step", str(_NEVER if interval is None else 0)
    if steps:
        yield f"{mode}.save_steps", ",".join(map(str, steps))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(f"{key}={value}", "settings by their names, such as {} for none", key)
    return value


def _listed(entry: Mapping[str, Any], name: str, key: str) -> list[str]:
    value = entry.get(name) or ()
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, Sequence) or not all(isinstance(part, str) for part in found):
        raise _wrong(f"{key}.{name}={value}", "text, or a list of it", f"{key}.{name}")
    return list(found)


def _unfit(regex: str) -> str | None:
    """Why it is no regular expression; None where it is one."""
    try:
        re.compile(regex)
    except (re.error, OverflowError) as error:  # the second of a count that is too large
        return str(error)
    return None


def _checked(regex: str, key: str) -> str:
    if reason := _unfit(regex):
        raise _wrong(f"{key}={regex}: {reason}", "a regular expression", key)
    if "," in regex:
        raise _wrong(f"{key}={regex}", "no comma, at which smdebug splits: write a list of several", key)
    return regex


def _wrong(got: str, allowed: str, key: str) -> ConfigError:
    return ConfigError(got, allowed, f"set {key}")
