"""What stands in the files of a run, as typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dogbreed.health.findings import Outcome
from dogbreed.phases import Phase
from dogbreed.reports.reading import Folder

Epoch = dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture; names are class names, probabilities in [0, 1]."""

    path: str
    true: str
    predicted: str
    probability: float
    probability_of_true: float


@dataclass(frozen=True)
class Health:
    """What the rules said, ranked: findings first, each before its consequences."""

    preset: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Spread:
    """How a measurement was distributed over the samples."""

    name: str
    unit: str
    max: float
    p99: float
    p95: float
    p50: float
    min: float


@dataclass(frozen=True)
class Series:
    """A measurement over the run, in percent, or GiB for memory; None for what the machine does not have or tell.

    NaN where a moment was not measured; `seconds` has none.
    """

    seconds: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    memory_gib: tuple[float, ...] = ()
    io_wait: tuple[float, ...] | None = None
    gpu: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Profile:
    """Where the time went; `phases` is the whole run, its parts add up to it.

    `every_s` lies between two samples of the machine; None where there were fewer.
    """

    seconds: float
    phases: Phase
    every_s: float | None
    samples: int
    spreads: tuple[Spread, ...]
    series: Series


@dataclass(frozen=True)
class Data:
    """The pictures: `counts` holds those of each class, by split."""

    root: str
    class_names: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shown:
    """A kept thumbnail: its file in the run's folder, and the photograph that it shows."""

    file: str
    path: str
    true: str
    predicted: str = ""
    probability: float = 0.0


@dataclass(frozen=True)
class Pair:
    """A true class, what it was taken for and how often, with pictures: those confused, and one of the other class."""

    true: str
    predicted: str
    pictures: int
    confused: tuple[Shown, ...] = ()
    example: Shown | None = None


@dataclass(frozen=True)
class Gallery:
    """The kept thumbnails."""

    mistakes: tuple[Shown, ...] = ()
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run's folder as far as it can be read; what cannot be is None or empty, and `folder` knows why."""

    folder: Folder
    config: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: Sequence[Epoch] = ()
    health: Health | None = None
    profile: Profile | None = None
    predictions: Sequence[Prediction] = ()
    data: Data | None = None
    artifact: Mapping[str, Any] = field(default_factory=dict)
    per_class: Sequence[Mapping[str, Any]] = ()
    confused: Sequence[Pair] = ()
    skipped: Sequence[Mapping[str, str]] | None = None
    gallery: Gallery = field(default_factory=Gallery)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in their order; of a run that tells none, those that its predictions name."""
        names = list(self.data.class_names) if self.data is not None else self.artifact.get("class_names") or []
        names = names or [row["class_name"] for row in self.per_class]
        seen = {name for answer in self.predictions for name in (answer.true, answer.predicted)}
        return (*names, *sorted(seen - set(names)))

    def setting(self, key: str) -> Any:
        """A value of the config by its dotted key; None where there is none."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value
