"""Which settings to try next: drawn from a search space, the same again when the same values come back."""

from __future__ import annotations

import importlib.metadata
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.seeding import derive_seed
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Range, Value
from dogbreed.sweeps.space import SearchSpace

#: A value for each dimension of a space.
Setting = dict[str, Value]

_TRIES = 100  # draws in search of a setting that was not proposed before


class Sampler(Protocol):
    """Draws settings from a space, one after the other."""

    def draw(self) -> tuple[Setting, Any]:
        """A setting, and what `tell` recognises it by."""

    def tell(self, token: Any, value: float | None) -> None:
        """Learn what a setting reached; None where it reached nothing."""


class Proposals:
    """Settings of a space in the order in which to try them, each one once.

    What is proposed depends on the space, the sampler, the seed and the values told so far, and on nothing
    else: asked and told the same again, it proposes the same again.

    Args:
        space: what may vary.
        sampler: "random", "sobol" (fills the space evenly), "grid" (every setting) or "tpe" (learns from
            what it is told; needs Optuna).
        seed: of the draws.
        direction: "min" or "max", of the values told.

    Raises:
        ConfigError: there is no such sampler, it cannot draw from this space, or Optuna is missing.
    """

    def __init__(self, space: SearchSpace, sampler: str, *, seed: int, direction: str) -> None:
        if sampler not in SAMPLERS:
            raise ConfigError(
                f"sampler={sampler}{did_you_mean(str(sampler), SAMPLERS)}",
                ", ".join(SAMPLERS),
                "set hydra.sweeper.sampler",
            )
        self.space = space
        self._sampler = SAMPLERS[sampler](space, seed, direction)
        self._proposed: set[str] = set()
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[Setting]:
        """The next `count` settings, or as many as are left; their values are to be told before the next ask."""
        left = math.inf if self.space.size is None else self.space.size - len(self._proposed)
        drawn = [self._next() for _ in range(int(min(count, left)))]
        self._asked = [token for _, token in drawn]
        return [setting for setting, _ in drawn]

    def tell(self, values: Sequence[float | None]) -> None:
        """The values that the settings asked last have reached, in their order; None where one reached nothing."""
        for token, value in zip(self._asked, values, strict=True):
            self._sampler.tell(token, value)
        self._asked = []

    def _next(self) -> tuple[Setting, Any]:
        for _ in range(_TRIES):
            setting, token = self._sampler.draw()
            if self._is_new(setting):
                return setting, token
            self._sampler.tell(token, None)
        # The sampler insists on what has been tried: take what is left in its order.
        return next((setting, None) for setting in settings_of(self.space) if self._is_new(setting))

    def _is_new(self, setting: Setting) -> bool:
        name = repr(sorted(setting.items()))
        new = name not in self._proposed
        self._proposed.add(name)
        return new


def settings_of(space: SearchSpace) -> Iterator[Setting]:
    """Every setting of a space that can be counted, the last dimension changing first, as in Hydra's grid."""
    values = [dimension.values or () for dimension in space.dimensions.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(space.dimensions, chosen, strict=True))


class _Points:
    """Turns points of the unit cube into settings."""

    def __init__(self, space: SearchSpace, points: Iterator[Sequence[float]]) -> None:
        self._space, self._points = space, points

    def draw(self) -> tuple[Setting, None]:
        point = next(self._points)
        dimensions = self._space.dimensions.items()
        return {key: dimension.at(share) for (key, dimension), share in zip(dimensions, point, strict=True)}, None

    def tell(self, token: None, value: float | None) -> None:
        """Nothing to learn."""


def _random(space: SearchSpace, seed: int, direction: str) -> Sampler:
    rng = np.random.default_rng(derive_seed(seed, "random"))
    return _Points(space, (rng.random(len(space.dimensions)).tolist() for _ in itertools.count()))


def _sobol(space: SearchSpace, seed: int, direction: str) -> Sampler:
    most = torch.quasirandom.SobolEngine.MAXDIM
    if len(space.dimensions) > most:
        raise ConfigError(f"{len(space.dimensions)} dimensions", f"at most {most} with sobol", "use sampler=random")
    if not space.dimensions:
        return _Points(space, itertools.repeat(()))
    engine = torch.quasirandom.SobolEngine(len(space.dimensions), scramble=True, seed=derive_seed(seed, "sobol"))
    return _Points(space, (engine.draw(1, dtype=torch.float64)[0].tolist() for _ in itertools.count()))


class _Grid:
    """Every setting in turn."""

    def __init__(self, space: SearchSpace, seed: int, direction: str) -> None:
        for key, dimension in space.dimensions.items():
            if dimension.size is None:
                raise ConfigError(
                    f"sampler=grid over {key}={dimension}",
                    "choice(...), range(...) or int(interval(...)), whose values can be counted",
                    f"list its values, {key}=choice(...), or use hydra.sweeper.sampler=sobol",
                )
        self._settings = settings_of(space)

    def draw(self) -> tuple[Setting, None]:
        return next(self._settings), None

    def tell(self, token: None, value: float | None) -> None:
        """Nothing to learn."""


class _Tpe:
    """Optuna's tree-structured Parzen estimator: looks around the settings that did best."""

    def __init__(self, space: SearchSpace, seed: int, direction: str) -> None:
        optuna = _optuna()
        self._space = space
        self._ways = {key: _distribution(dimension, optuna.distributions) for key, dimension in _items(space)}
        self._failed = optuna.trial.TrialState.FAIL
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar counts as experimental in Optuna 4
            # What is still running counts as bad, so that a batch does not crowd in one place.
            sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "tpe") % 2**32, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, direction=f"{direction}imize")

    def draw(self) -> tuple[Setting, Any]:
        trial = self._study.ask(self._ways)
        return {key: _value(dimension, trial.params[key]) for key, dimension in _items(self._space)}, trial

    def tell(self, token: Any, value: float | None) -> None:
        if token is not None:
            self._study.tell(token, value, state=None if value is not None else self._failed)


def _items(space: SearchSpace) -> list[tuple[str, Dimension]]:
    return list(space.dimensions.items())


def _distribution(dimension: Dimension, distributions: Any) -> Any:
    """How Optuna sees a dimension: values by their number, for it takes no others in a stable way."""
    if isinstance(dimension, Choice):
        return distributions.CategoricalDistribution(tuple(range(dimension.size)))
    if isinstance(dimension, Range):
        return distributions.IntDistribution(0, dimension.size - 1)
    if dimension.whole:
        return distributions.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _value(dimension: Dimension, proposed: Any) -> Value:
    if isinstance(dimension, Interval):
        return int(proposed) if dimension.whole else float(proposed)
    return dimension.values[proposed]


def _optuna() -> Any:
    hint = "pip install 'dogbreed[sweeps]', or use hydra.sweeper.sampler=sobol, which needs nothing more"
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("sampler=tpe, but Optuna is not installed", "Optuna 4 or newer", hint) from error
    if int(importlib.metadata.version("optuna").split(".")[0]) < 4:
        raise ConfigError(f"sampler=tpe with Optuna {optuna.__version__}", "Optuna 4 or newer", hint)
    return optuna


#: Every sampler by its name in the config.
SAMPLERS: dict[str, Callable[[SearchSpace, int, str], Sampler]] = {
    "random": _random,
    "sobol": _sobol,
    "grid": _Grid,
    "tpe": _Tpe,
}
