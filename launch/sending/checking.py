"""What a search would run into after it has been paid for, found before: keys, values and settings of its trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dogbreed.checking import check_settings, make_rules, needs_pixels
from dogbreed.errors import DogbreedError
from dogbreed.sweeps.dimensions import Dimension, Interval, Range, Value, override_line
from dogbreed.sweeps.space import SearchSpace
from launch.preflight.problems import Problem
from launch.sending.experiment import Experiment, refuse_folders, without_hydra
from launch.sending.modules import check_modules
from launch.settings import JobSettings

_CONFIG = "the config"


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


def check_config(config: DictConfig, settings: JobSettings, where: str = _CONFIG) -> Iterator[Problem]:
    """What a run of this config would refuse, or not find in a job of these settings."""
    checks: tuple[Callable[[DictConfig], object], ...] = (check_settings, needs_pixels, make_rules)
    for check in checks:
        try:
            check(config)
        except DogbreedError as error:
            yield Problem(where, error.got, error.allowed, error.hint)
    yield from check_modules(config, settings)


def check_space(space: SearchSpace, fixed: Sequence[str], config_name: str, settings: JobSettings) -> Checked:
    """Compose and check a trial for each value that can be named, and for both ends of each interval.

    Args:
        space: what varies.
        fixed: the run's own overrides that all trials share.
        config_name: of the primary config; Hydra must be running.
        settings: of the jobs.
    """
    problems: list[Problem] = []
    extras: set[str] = set()
    for key, dimension in space.dimensions.items():
        for value in _some(dimension):
            line = override_line(key, value)
            try:
                composed = hydra.compose(config_name, overrides=[*fixed, line], return_hydra_config=True)
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                problems.append(Problem(line, reason, "what --cfg job shows", "correct the search space"))
                continue
            try:
                refuse_folders(composed.hydra.runtime)
            except DogbreedError as error:
                problems.append(Problem("the search space", error.got, error.allowed, error.hint))
            config = without_hydra(composed)
            problems += check_config(config, settings, line)
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
