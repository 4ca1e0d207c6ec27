"""What a job could not import: a module that lies loose on this machine, in no package that is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dogbreed.files import from_here
from launch.preflight.problems import Problem
from launch.settings import JobSettings

#: Packages that travel with every job.
_OURS = {"dogbreed", "launch", "hydra_plugins"}
#: Folders that hold what is installed.
_INSTALLED = {"site-packages", "dist-packages"}


def check_modules(config: DictConfig, settings: JobSettings) -> Iterator[Problem]:
    """Classes that no job finds; none where the user says what a job imports, by an image, packages or a path."""
    theirs = settings.image is not None or settings.requirements is not None or "PYTHONPATH" in settings.environment
    if theirs or not settings.on_aws:
        return
    for key in _targets(OmegaConf.to_container(config)):
        target = OmegaConf.select(config, key, throw_on_resolution_failure=False)
        module = str(target).partition(".")[0]
        if (file := _own_file(module)) is not None:
            yield Problem(
                f"{key}={target}",
                f"{module} is {from_here(file)}, on this machine",
                "dogbreed's own, and what a container installs",
                "in a checkout, move it into dogbreed/ and git add it; or have it in your own sagemaker.image",
            )


def _targets(config: Any, key: str = "") -> Iterator[str]:
    """The keys of what Hydra calls."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name == "_target_":
                yield f"{key}_target_"
            yield from _targets(value, f"{key}{name}.")
    elif isinstance(config, list):
        for number, value in enumerate(config):
            yield from _targets(value, f"{key}{number}.")


def _own_file(module: str) -> Path | None:
    """Where a module is that belongs to no package; None for one that is not here, or is installed.

    An installed one may be in the container, too: that is not known here.
    """
    if module in _OURS or module in sys.stdlib_module_names:
        return None
    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # no name of a module
        return None
    places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    place = next((Path(place) for place in places if place is not None), None)
    if place is None or _INSTALLED & set(place.parts) or _is_installed(module):
        return None
    return place


@cache
def _is_installed(module: str) -> bool:
    """Whether a package brings it: one that is installed in place, as by pip install -e, has its files elsewhere."""
    try:
        distribution(module)
    except (PackageNotFoundError, ValueError):
        return module in packages_distributions()  # takes 0.4 s
    return True
