"""What an instance costs an hour: a table in which each row says where it is from, and since when."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from dogbreed.errors import ConfigError
from dogbreed.files import write_csv

TABLE = "prices.csv"


@dataclass(frozen=True)
class Price:
    """What one instance costs in a training job.

    Attributes:
        instance_type: such as ml.g5.xlarge.
        region: where; prices differ from region to region.
        usd_per_hour: on demand.
        source: who says so.
        date: when that was so, YYYY-MM or YYYY-MM-DD.
    """

    instance_type: str
    region: str
    usd_per_hour: float
    source: str
    date: str

    @classmethod
    def given(cls, instance_type: str, region: str, usd_per_hour: float) -> Price:
        """The price that the user set."""
        return cls(instance_type, region, usd_per_hour, "sagemaker.price_per_hour", date.today().isoformat())

    def tell(self) -> str:
        """One line with its source.

        >>> Price("ml.g5.xlarge", "us-east-1", 1.408, "AWS's price list", "2026-11").tell()
        "ml.g5.xlarge in us-east-1: 1.408 USD an hour (AWS's price list, 2026-11)"
        """
        return f"{self.instance_type} in {self.region}: {self.usd_per_hour:g} USD an hour ({self.source}, {self.date})"


COLUMNS = tuple(field.name for field in fields(Price))


class Prices:
    """A table of prices, one for each instance type and region.

    Args:
        prices: its rows; of two for the same instance and region the last one counts.
    """

    def __init__(self, prices: Iterable[Price]) -> None:
        self._rows = {(price.instance_type, price.region): price for price in prices}

    @classmethod
    def load(cls, path: Path | None = None) -> Prices:
        """The table at `path`; None for `default_table`.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        path = path or default_table()
        try:
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError) as error:
            raise _damaged(path, str(error)) from error
        if not rows:
            raise _damaged(path, "it has no rows")
        return cls(_price(path, number, row) for number, row in enumerate(rows, 2))

    @property
    def rows(self) -> list[Price]:
        """By instance type, then region; within a family from the cheapest up."""
        return sorted(self._rows.values(), key=lambda price: (_family(price), price.region, price.usd_per_hour))

    def price_of(self, instance_type: str, region: str) -> Price | None:
        """The price of an instance in a region; None where the table has none, for another region's is not it."""
        return self._rows.get((instance_type, region))

    def elsewhere(self, instance_type: str) -> list[Price]:
        """What it costs in the regions that are known, the cheapest first."""
        found = (price for price in self._rows.values() if price.instance_type == instance_type)
        return sorted(found, key=lambda price: price.usd_per_hour)

    def missing(self, instance_type: str, region: str) -> str:
        """A line for who asked for a price that is not there: what is known elsewhere, and how to get it."""
        known = ", ".join(f"{price.usd_per_hour:g} in {price.region}" for price in self.elsewhere(instance_type))
        beside = f" ({known})" if known else ""
        return (
            f"price unknown in {region}{beside}: give price_per_hour, or "
            f"python -m launch.prices refresh --region {region} {instance_type}"
        )

    def updated(self, prices: Iterable[Price]) -> Prices:
        """A table with these rows in the place of older ones."""
        return Prices([*self._rows.values(), *prices])

    def save(self, path: Path) -> None:
        """Write the table, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_csv(path, [asdict(price) for price in self.rows], COLUMNS)


def default_table() -> Path:
    """The table that is used: $DOGBREED_PRICES, or the one that comes with the library."""
    named = os.environ.get("DOGBREED_PRICES")
    return Path(named).expanduser() if named else Path(__file__).with_name(TABLE)


def _family(price: Price) -> str:
    return price.instance_type.rpartition(".")[0]


def _price(path: Path, number: int, row: Mapping[str | None, str | None]) -> Price:
    texts = {name: (row.get(name) or "").strip() for name in COLUMNS}
    try:
        usd = float(texts["usd_per_hour"])
    except ValueError:
        usd = math.nan
    if not (0 < usd < math.inf) or not all(texts.values()):
        raise _damaged(path, f"line {number} is {','.join(map(str, row.values()))}")
    return Price(texts["instance_type"], texts["region"], usd, texts["source"], texts["date"])


def _damaged(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        got=f"the prices in {path} cannot be read: {reason}",
        allowed=f"rows of {','.join(COLUMNS)}, each of them filled",
        hint="correct it, or name another table in DOGBREED_PRICES",
    )
