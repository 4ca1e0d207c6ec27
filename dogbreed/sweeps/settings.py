"""How to sweep: the fields of hydra.sweeper, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.halving import Halving
from dogbreed.sweeps.space import SearchSpace

#: The one parameter that is no part of a setting: every setting is tried with each of its values.
SEED = "seed"


@dataclass(frozen=True)
class Settings:
    """How to sweep. The values stand in conf/hydra/sweeper/.

    Attributes:
        fleet: train side by side in this process; otherwise each trial is a job of Hydra's launcher.
        n_trials: how many, counting each seed of a setting.
        sampler: random, sobol, grid or tpe.
        batch: trials in a wave; what a wave has reached is known to the next.
        seed: of the proposals.
        halving: {first, factor} to stop hopeless trials, or None.
        winner: whether the winner is trained alone at the end, tested once and saved.

    Raises:
        ConfigError: a value that cannot be.
    """

    fleet: bool
    n_trials: int
    sampler: str
    batch: int
    seed: int
    halving: Mapping[str, int] | None
    winner: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """The settings of these names.

        Raises:
            ConfigError: a name that does not exist, or one that is missing.
        """
        names = [field.name for field in fields(cls)]
        for name in (*values, *names):
            if name not in values or name not in names:
                what = "missing" if name in names else f"there is none{did_you_mean(name, names)}"
                raise ConfigError(f"hydra.sweeper.{name}: {what}", ", ".join(names), "correct hydra.sweeper")
        return cls(**values)

    def __post_init__(self) -> None:
        for name, least in (("n_trials", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                raise ConfigError(f"{name}={value}", f"a whole number >= {least}", f"set hydra.sweeper.{name}")
        for name in ("fleet", "winner"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name}={getattr(self, name)}", "true or false", f"set hydra.sweeper.{name}")
        self.make_halving()

    def make_halving(self) -> Halving | None:
        """Who is stopped when; None where all trials run to their end."""
        cuts = self.halving
        if cuts is None:
            return None
        if not isinstance(cuts, Mapping) or set(cuts) != {"first", "factor"} or not all(map(_is_whole, cuts.values())):
            raise ConfigError(
                f"halving={cuts}",
                "null, or two whole numbers: {first: epochs before the first cut, factor: the best 1/factor go on}",
                "'hydra.sweeper.halving={first:1,factor:3}'",
            )
        if not self.fleet:
            raise ConfigError("halving, but each trial is a job", "halving in the fleet", "use hydra/sweeper=fleet")
        return Halving(**cuts)

    def plan(self) -> dict[str, Any]:
        """What may not change when a sweep goes on."""
        content = asdict(self)
        return {name: content[name] for name in ("fleet", "sampler", "batch", "seed", "halving")}

    def count(self, space: SearchSpace, seeds: int) -> int:
        """How many settings of `space` to try, each with `seeds` seeds.

        Raises:
            ConfigError: n_trials is less than the seeds, or less than the grid.
        """
        wanted = self.n_trials // seeds
        if wanted == 0:
            raise self._too_few(f"{seeds} seeds", "a trial for each seed at least", seeds)
        if space.size is None:
            return wanted
        if self.sampler == "grid" and space.size > wanted:
            raise self._too_few(f"a grid of {space.size * seeds}", "the whole grid", space.size * seeds)
        return min(wanted, space.size)

    def _too_few(self, what: str, allowed: str, needed: int) -> ConfigError:
        return ConfigError(f"n_trials={self.n_trials} for {what}", allowed, f"hydra.sweeper.n_trials={needed}")


def seeds_of(space: SearchSpace) -> list[Value]:
    """The seeds with each of which every setting is tried; [None] where the seed does not vary.

    Raises:
        ConfigError: they cannot be counted.
    """
    if SEED not in space.dimensions:
        return [None]
    values = space.dimensions[SEED].values
    if values is None:
        raise ConfigError(f"seed={space.dimensions[SEED]}", "seeds that can be counted", "list them: seed=0,1,2")
    return list(values)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
