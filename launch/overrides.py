"""Hydra's overrides as a job's hyperparameters, and back. Pure: no torch, no SDK.

SageMaker's hyperparameters are texts, by name, in no order. A name is the override's key with its marks (`+`, `~`,
`group@package`); a text is the value as JSON, so that 16 and '16' stay apart: `16` and `"16"`. A sweep, which is no
value, is {"_sweep_": GRAMMAR}.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import render

#: Sections that say how a job is run, and are no part of what it runs.
_SECTIONS = ("sagemaker", "hydra")
#: Of the library's own configs also these: of the launch, or of places that are another's in the container.
OURS = ("dry_run", "detach", "train_best", "best_epochs", "format", "resume", "paths")
#: What SageMaker and its toolkit put beside ours.
FOREIGN = ("_tuning_objective_metric", "sagemaker_")
_SWEEP = "_sweep_"
_DELETED = ""


def overrides_in(arguments: Sequence[str]) -> slice:
    """Where the overrides stand among a command's arguments: Hydra's parser takes them side by side alone.

    >>> overrides_in(["-m", "a=1", "b=2", "--cfg", "job"])
    slice(1, 3, None)
    >>> overrides_in(["--cfg", "job"])
    slice(2, 2, None)
    """
    found = [n for n, argument in enumerate(arguments) if "=" in argument and not argument.startswith("-")]
    return slice(found[0], found[-1] + 1) if found else slice(len(arguments), len(arguments))


def of_the_job(overrides: Iterable[str], *more: str) -> list[str]:
    """The overrides that travel: not those of the launcher (sagemaker.*, hydra.*), nor those of `more`.

    Args:
        overrides: of a command line.
        more: keys, groups and sections that stay as well.

    >>> of_the_job(["seed=1", "sagemaker/job=spot", "hydra.sweeper.n_trials=3", "paths.artifact=x"], *OURS)
    ['seed=1']
    """
    return [line for line in overrides if not _stays(_key(line).lstrip("+~"), more)]


def to_hyperparameters(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides as hyperparameters, the last word on a key counting.

    >>> to_hyperparameters(["optimizer.lr=0.001", "backbone=resnet18", "~health.rules.Overfit", "data.batch_size='16'"])
    {'optimizer.lr': '0.001', 'backbone': '"resnet18"', '~health.rules.Overfit': '', 'data.batch_size': '"16"'}

    Raises:
        ConfigError: an override that cannot be read, or two whose order counts, which hyperparameters do not keep.
    """
    found: dict[str, str] = {}
    for line in overrides:
        override = _parse(line)
        key, text = _key(str(override.input_line)), _text(override)
        same = [known for known in found if _name(known) == _name(key)]
        inner = [known for known in found if _name(known).startswith(f"{_name(key)}.")]
        # A group's choice is composed before all values, wherever it stands.
        if (override.is_delete() and same) or (inner and not text.startswith('"')):
            first = (same if override.is_delete() and same else inner)[0]
            raise ConfigError(
                f"{first} before {line}", "the other way round", f"put {line} before {first}, or leave one out"
            )
        added = [known for known in same if known.startswith("+") and not key.startswith(("+", "~"))]
        for known in same:
            if known[:1] == key[:1] or not known.startswith(("+", "~")):
                del found[known]
        found[added[0] if added else key] = text
    return found


def to_overrides(hyperparameters: Mapping[str, str]) -> list[str]:
    """The overrides again, typed, wholes before their parts; what SageMaker added is left out.

    >>> to_overrides({"backbone": '"resnet18"', "optimizer.lr": "0.001", "sagemaker_program": "x", "scheduler": "null"})
    ['backbone=resnet18', 'scheduler=null', 'optimizer.lr=0.001']

    Raises:
        ConfigError: a text that is no JSON.
    """
    ours = {key: text for key, text in hyperparameters.items() if not key.startswith(FOREIGN)}
    return [_line(key, ours[key]) for key in sorted(ours, key=_order)]


def _order(key: str) -> tuple[int, str, bool]:
    """Wholes before their parts; of one name what deletes first."""
    return _name(key).count("."), _name(key), not key.startswith("~")


def _line(key: str, text: str) -> str:
    if text == _DELETED and key.startswith("~"):
        return key
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"hyperparameter {key}={text}", 'JSON, such as 16, 0.001, "resnet18", null', "quote a text"
        ) from error
    if isinstance(value, dict) and list(value) == [_SWEEP]:
        return f"{key}={value[_SWEEP]}"
    return f"{key}={render_any(value)}"


def render_any(value: Any) -> str:
    """A value in Hydra's grammar, also a list or a dictionary.

    >>> render_any({"first": 1, "names": ["a b", None, True]})
    '{first:1,names:[a b,null,true]}'
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{render(str(key))}:{render_any(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(render_any, value)) + "]"
    return render(value)


def _text(override: Override) -> str:
    if override.is_delete() and override.value() is None:
        return _DELETED
    if override.is_sweep_override():
        return json.dumps({_SWEEP: str(override.input_line).split("=", 1)[1]})
    return json.dumps(_plain(override, override.value()))


def _plain(override: Override, value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, dict):
        if not all(isinstance(key, str | QuotedString) and str(_plain(override, key)) != _SWEEP for key in value):
            raise ConfigError(f"{override.input_line}: a name in it is no text", "texts as names", "put it in quotes")
        return {str(_plain(override, key)): _plain(override, entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(override, entry) for entry in value]
    if isinstance(value, Glob) or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"{override.input_line}: {value} is no JSON", "numbers, texts, lists", "write it out")
    return value


def _parse(line: str) -> Override:
    try:
        return OverridesParser.create().parse_override(line)
    except HydraException as error:
        raise ConfigError(f"the override {line}", "key=value, +key=value, ~key", "correct it") from error


def _key(line: str) -> str:
    return line.split("=", 1)[0]


def _name(key: str) -> str:
    """The key without marks, a group's slashes as they are."""
    return key.lstrip("+~")


def _stays(key: str, more: Sequence[str]) -> bool:
    name = key.split("@")[0]
    if name.split(".")[0].split("/")[0] in _SECTIONS:
        return True
    return any(name == stays or name.startswith((f"{stays}.", f"{stays}/")) for stays in more)
