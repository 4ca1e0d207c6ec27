"""What a search would run into after it has been paid for, found before: keys, values and settings of its trials."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dogbreed.checking import check_settings, make_rules, needs_pixels
from dogbreed.errors import DogbreedError
from dogbreed.files import from_here
from dogbreed.sweeps.dimensions import Dimension, Interval, Range, Value, override_line
from dogbreed.sweeps.space import SearchSpace
from launch.preflight.problems import Problem
from launch.sending.experiment import Experiment

_CONFIG = "the config"
#: Folders that hold what is installed.
_INSTALLED = {"site-packages", "dist-packages"}


class Checked(NamedTuple):
    """What the trials of a space are.

    Attributes:
        problems: what is wrong with some of them.
        extras: of the library, that some of them need.
        batch_size: the largest; None where it does not vary.
    """

    problems: tuple[Problem, ...]
    extras: tuple[str, ...]
    batch_size: int | None


def check_config(config: DictConfig, where: str = _CONFIG) -> Iterator[Problem]:
    """What a run of this config would refuse."""
    checks: tuple[Callable[[DictConfig], object], ...] = (check_settings, needs_pixels, make_rules)
    for check in checks:
        try:
            check(config)
        except DogbreedError as error:
            yield Problem(where, error.got, error.allowed, error.hint)


def check_modules(config: DictConfig) -> Iterator[Problem]:
    """Classes of modules that are on this machine alone: in no package that a container could install."""
    for key, target in _targets(OmegaConf.to_container(config)):
        module = target.partition(".")[0]
        if (file := _own_file(module)) is not None:
            yield Problem(
                f"{key}={target}",
                f"{module} is {from_here(file)}, on this machine",
                "dogbreed's own, and what a container installs",
                "in a checkout, move it into dogbreed/ and git add it; or make it a package, and name that in the file "
                "of sagemaker.requirements",
            )


def _targets(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Key -> the class or function that Hydra calls there."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name == "_target_" and isinstance(value, str):
                yield f"{key}_target_", value
            yield from _targets(value, f"{key}{name}.")
    elif isinstance(config, list):
        for number, value in enumerate(config):
            yield from _targets(value, f"{key}{number}.")


def _own_file(module: str) -> Path | None:
    """Where a module is that belongs to no package; None for one that does, and for one that is not here."""
    if module == "dogbreed" or module in sys.stdlib_module_names:
        return None
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no name of a module
        return None
    places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    place = next((Path(place) for place in places if place is not None), None)
    if place is None or _INSTALLED & set(place.parts):
        return None
    # What is installed in place, as by pip install -e, has its files elsewhere; to ask takes 0.4 s.
    return None if module in importlib.metadata.packages_distributions() else place


def check_space(space: SearchSpace, fixed: Sequence[str], config_name: str) -> Checked:
    """Compose and check a trial for each value that can be named, and for both ends of each interval.

    Args:
        space: what varies.
        fixed: the run's own overrides that all trials share.
        config_name: of the primary config; Hydra must be running.
    """
    problems: list[Problem] = []
    extras: set[str] = set()
    for key, dimension in space.dimensions.items():
        for value in _some(dimension):
            line = override_line(key, value)
            try:
                config = hydra.compose(config_name, overrides=[*fixed, line])
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                problems.append(Problem(line, reason, "what --cfg job shows", "correct the search space"))
                continue
            problems += check_config(config, line)
            extras |= set(Experiment.extras_of(config))
    sizes = [value for value in _some(space.dimensions.get("data.batch_size")) if isinstance(value, int)]
    return Checked(tuple(dict.fromkeys(problems)), tuple(sorted(extras)), max(sizes, default=None))


def _some(dimension: Dimension | None) -> list[Value]:
    if dimension is None:
        return []
    if isinstance(dimension, Interval):
        ends: list[Value] = [dimension.low, dimension.high]
        return [int(end) for end in ends if isinstance(end, int | float)] if dimension.whole else ends
    values = list(dimension.values)
    return [values[0], values[-1]] if isinstance(dimension, Range) else values
