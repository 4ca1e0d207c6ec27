"""What an estimate rests on, each value with its source: nothing of this is hidden in code."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Span:
    """A range: what is estimated lies from `low` to `high`.

    >>> Span(1, 2) + Span(3, 5)
    Span(low=4, high=7)
    >>> 2 * Span(1, 2)
    Span(low=2, high=4)
    """

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __rmul__(self, factor: float) -> Span:
        return Span(factor * self.low, factor * self.high)

    def times(self, other: Span) -> Span:
        """The product of two that are not below 0."""
        return Span(self.low * other.low, self.high * other.high)

    def tell(self, digits: int = 2) -> str:
        """Both ends in so many significant digits; one number where they look the same.

        >>> Span(3, 8).tell(), Span(0.1234, 0.1235).tell(), Span(87.6, 1234.6).tell()
        ('3 to 8', '0.12', '88 to 1,235')
        """
        low, high = (_number(value, digits) for value in (self.low, self.high))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Assumed(Span):
    """A range that is taken for granted.

    Attributes:
        unit: of its ends.
        source: why.
        date: since when.
    """

    unit: str
    source: str
    date: str

    def line(self, name: str) -> str:
        """The assumption in one line.

        >>> Assumed(3, 8, "min", "seen once", "2026-11").line("starting")
        'starting: 3 to 8 min (seen once)'
        """
        return f"{name}: {self.tell()} {self.unit} ({self.source})"


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of AWS and of machines; the values and their sources are in assumptions.csv.

    Attributes:
        starting_minutes: billed before the script runs.
        spot_saving: share of the price on demand that spot capacity saves.
        storage_usd_per_gb_month: of the volume of an instance.
        decoded_per_vcpu: pictures that a vCPU decodes in a second.
        core_gflops: what a core of the machine here computes in a second.
        vcpu_share: what a vCPU does of a core of the machine here.
        gpu_efficiency: what a network reaches of a GPU's peak.
        fleet_share: what a head costs among many, of what it costs alone.
    """

    starting_minutes: Assumed
    spot_saving: Assumed
    storage_usd_per_gb_month: Assumed
    decoded_per_vcpu: Assumed
    core_gflops: Assumed
    vcpu_share: Assumed
    gpu_efficiency: Assumed
    fleet_share: Assumed

    @classmethod
    def load(cls) -> Assumptions:
        """Those that come with the library."""
        found = {
            row["name"]: Assumed(float(row["low"]), float(row["high"]), row["unit"], row["source"], row["date"])
            for row in _rows("assumptions.csv")
        }
        return cls(**{field.name: found[field.name] for field in fields(cls)})


def peak_tflops(gpu: str) -> float | None:
    """A GPU's peak in fp32 in TFLOP/s, from gpus.csv; None for one that is not in it.

    Args:
        gpu: its name, alone or as CUDA says it.

    >>> peak_tflops("T4"), peak_tflops("NVIDIA A10G"), peak_tflops("Tesla V100-SXM2-16GB"), peak_tflops("K80")
    (8.1, 31.2, 15.7, None)
    """
    words = gpu.replace("-", " ").split()
    return next((float(row["fp32_tflops"]) for row in _rows("gpus.csv") if row["gpu"] in words), None)


def _number(value: float, digits: int) -> str:
    return f"{value:,.0f}" if value >= 10**digits else f"{value:.{digits}g}"


def _rows(name: str) -> list[dict[str, str]]:
    with open(Path(__file__).with_name(name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
