"""Which settings to try next: Optuna draws them from a search space, the same again when the same values come back."""

from __future__ import annotations

import importlib.metadata
import itertools
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.seeding import derive_seed
from dogbreed.sweeps.dimensions import Choice, Dimension, Interval, Range, Value
from dogbreed.sweeps.space import SearchSpace

#: A value for each dimension of a space.
Setting = dict[str, Value]

SAMPLERS = ("random", "sobol", "grid", "tpe")
# Draws in search of a setting that was not proposed before. TPE insists, and looks at all of them before each.
_TRIES, _TRIES_OF_TPE = 100, 5


class Proposals:
    """Settings of a space in the order in which to try them, each one once.

    What is proposed depends on the space, the sampler, the seed and the values told so far, and on nothing
    else: asked and told the same again, it proposes the same again.

    Args:
        space: what may vary.
        sampler: "random", "sobol" (fills the space evenly), "grid" (every setting) or "tpe" (learns from
            what it is told).
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
        optuna = _optuna()
        self.space = space
        self._ways = {key: _distribution(dimension, optuna) for key, dimension in space.dimensions.items()}
        self._study = optuna.create_study(
            sampler=_make_sampler(optuna, sampler, derive_seed(seed, sampler) % 2**32), direction=f"{direction}imize"
        )
        if sampler == "grid":
            _enqueue_grid(self._study, space)
        self._failed = optuna.trial.TrialState.FAIL
        self._chance = random.Random(derive_seed(seed, "others"))
        self._tries = _TRIES_OF_TPE if sampler == "tpe" else _TRIES
        self._proposed: set[str] = set()
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[Setting]:
        """The next `count` settings, or as many as are left; their values are to be told before the next ask."""
        left = math.inf if self.space.size is None else self.space.size - len(self._proposed)
        drawn = [self._next() for _ in range(int(min(count, left)))]
        self._asked = [trial for _, trial in drawn]
        return [setting for setting, _ in drawn]

    def tell(self, values: Sequence[float | None]) -> None:
        """The values that the settings asked last have reached, in their order; None where one reached nothing."""
        for trial, value in zip(self._asked, values, strict=True):
            self._tell(trial, value)
        self._asked = []

    def learn(self, setting: Setting, value: float) -> None:
        """Take up, before the first ask, what a setting of this space has reached elsewhere; it may be proposed again.

        Args:
            setting: a value for each dimension.
            value: as it would be told.
        """
        trial = _optuna().trial.create_trial(
            params={key: _proposed(dimension, setting[key]) for key, dimension in self.space.dimensions.items()},
            distributions=self._ways,
            value=value,
        )
        self._study.add_trial(trial)

    def _next(self) -> tuple[Setting, Any]:
        """A setting that is new, and Optuna's trial of it."""
        tries = itertools.count() if self.space.size is None else range(self._tries)
        for _ in tries:
            trial = self._study.ask(self._ways)
            setting = self._setting(trial.params)
            if self._is_new(setting):
                return setting, trial
            self._tell(trial, None)
        # The sampler insists on what has been tried: any of the others, of whose value it learns all the same.
        proposed = next(drawn for drawn in self._others() if self._is_new(self._setting(drawn)))
        self._study.enqueue_trial(proposed)
        return self._setting(proposed), self._study.ask(self._ways)

    def _others(self) -> Iterator[dict[str, Any]]:
        """Settings as Optuna would propose them: some at random, then all in their order."""
        countable = {key: _countable(dimension) for key, dimension in self.space.dimensions.items()}
        for _ in range(_TRIES):
            yield {key: self._chance.choice(values) for key, values in countable.items()}
        yield from _products(self.space)

    def _setting(self, proposed: Mapping[str, Any]) -> Setting:
        return {key: _value(dimension, proposed[key]) for key, dimension in self.space.dimensions.items()}

    def _tell(self, trial: Any, value: float | None) -> None:
        self._study.tell(trial, value, state=self._failed if value is None else None)

    def _is_new(self, setting: Setting) -> bool:
        name = repr(sorted(setting.items()))
        new = name not in self._proposed
        self._proposed.add(name)
        return new


def settings_of(space: SearchSpace) -> Iterator[Setting]:
    """Every setting of a space that can be counted, the last dimension changing first, as in Hydra's grid."""
    for proposed in _products(space):
        yield {key: _value(dimension, proposed[key]) for key, dimension in space.dimensions.items()}


def _products(space: SearchSpace) -> Iterator[dict[str, Any]]:
    for proposed in itertools.product(*map(_countable, space.dimensions.values())):
        yield dict(zip(space.dimensions, proposed, strict=True))


def _make_sampler(optuna: Any, name: str, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "sobol":  # after a first setting at random
            return optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
        if name == "tpe":  # what is still running counts as bad, so that a batch does not crowd in one place
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


def _enqueue_grid(study: Any, space: SearchSpace) -> None:
    """Queue every setting; Optuna's GridSampler ends with study.stop(), which ask and tell do not allow."""
    for key, dimension in space.dimensions.items():
        if dimension.size is None:
            raise ConfigError(
                f"sampler=grid over {key}={dimension}",
                "choice(...), range(...) or int(interval(...)), whose values can be counted",
                f"list its values, {key}=choice(...), or use hydra.sweeper.sampler=sobol",
            )
    for proposed in _products(space):
        study.enqueue_trial(proposed)


def _distribution(dimension: Dimension, optuna: Any) -> Any:
    """How Optuna sees a dimension: values by their place, for it takes no others in a stable way."""
    kinds = optuna.distributions
    if isinstance(dimension, Choice):
        return kinds.CategoricalDistribution(tuple(range(dimension.size)))
    if isinstance(dimension, Range):
        return kinds.IntDistribution(0, dimension.size - 1)
    if dimension.whole:
        return kinds.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return kinds.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _countable(dimension: Dimension) -> Sequence[Any]:
    """All that Optuna may propose for a dimension; nothing where there is no end of it."""
    return (dimension.values or ()) if isinstance(dimension, Interval) else range(dimension.size)


def _value(dimension: Dimension, proposed: Any) -> Value:
    if isinstance(dimension, Interval):
        return int(proposed) if dimension.whole else float(proposed)
    return dimension.values[proposed]


def _proposed(dimension: Dimension, value: Value) -> Any:
    """The reverse of `_value`."""
    if isinstance(dimension, Interval):
        return value
    return [(type(known), known) for known in dimension.values].index((type(value), value))


def _optuna() -> Any:
    """Optuna, ready to draw; its Sobol sequence is SciPy's."""
    hint = "pip install 'dogbreed[sweeps]'"
    try:
        import optuna
        import scipy  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"a sweep, but {error.name} is not installed", "Optuna 5 or newer, SciPy", hint) from error
    if int(importlib.metadata.version("optuna").split(".")[0]) < 5:
        raise ConfigError(f"a sweep with Optuna {optuna.__version__}", "Optuna 5 or newer", hint)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its Sobol warns of a dimension with one value
    return optuna
