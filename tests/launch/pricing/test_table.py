from __future__ import annotations

from pathlib import Path

import pytest

import launch.pricing
from dogbreed.errors import ConfigError
from launch.pricing.table import Price, Prices, default_table

G5 = Price("ml.g5.xlarge", "us-east-1", 1.408, "a source", "2026-11")


def test_prices__of_the_library_name_their_source_and_date() -> None:
    rows = Prices.load().rows
    assert G5.usd_per_hour in [price.usd_per_hour for price in rows if price.instance_type == "ml.g5.xlarge"]
    for price in rows:
        assert price.instance_type.startswith("ml.")
        assert price.source
        assert price.date >= "2026-0"


def test_prices__another_regions_price_is_not_taken_for_this_ones() -> None:
    prices = Prices([G5])
    assert prices.price_of("ml.g5.xlarge", "us-east-1") == G5
    assert prices.price_of("ml.g5.xlarge", "eu-central-1") is None
    told = prices.missing("ml.g5.xlarge", "eu-central-1")
    assert "1.408 in us-east-1" in told
    assert "give price_per_hour" in told
    assert "refresh --region eu-central-1 ml.g5.xlarge" in told


def test_prices__unknown_instance_is_said_to_be_so() -> None:
    assert Prices([G5]).missing("ml.g9.xlarge", "us-east-1").startswith("price unknown in us-east-1: give")


def test_prices__written_and_read_are_the_same(tmp_path: Path) -> None:
    prices = Prices([G5, Price("ml.m5.large", "us-east-1", 0.1 + 0.2, 'said "so", twice', "2026-11-21")])
    prices.save(tmp_path / "prices.csv")
    assert Prices.load(tmp_path / "prices.csv").rows == prices.rows


def test_prices__updated_replaces_rows_of_the_same_instance_and_region() -> None:
    newer = Price("ml.g5.xlarge", "us-east-1", 1.3, "b", "2027-01-01")
    elsewhere = Price("ml.g5.xlarge", "eu-west-1", 1.6, "b", "2027-01-01")
    assert Prices([G5]).updated([newer, elsewhere]).elsewhere("ml.g5.xlarge") == [newer, elsewhere]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "instance_type,region,usd_per_hour,source,date\n",
        "instance_type,region,usd_per_hour,source,date\nml.g5.xlarge,us-east-1,free,a,2026-11\n",
        "instance_type,region,usd_per_hour,source,date\nml.g5.xlarge,us-east-1,-1,a,2026-11\n",
        "instance_type,region,usd_per_hour,source,date\nml.g5.xlarge,us-east-1,nan,a,2026-11\n",
        "instance_type,region,usd_per_hour,source,date\nml.g5.xlarge,us-east-1,1,,2026-11\n",
        "instance_type,region\nml.g5.xlarge,us-east-1\n",
    ],
)
def test_prices__damaged_table_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=str(path)):
        Prices.load(path)


def test_prices__missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv"):
        Prices.load(tmp_path / "none.csv")


def test_default_table__can_be_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOGBREED_PRICES", raising=False)
    assert default_table() == Path(launch.pricing.__file__).with_name("prices.csv")
    monkeypatch.setenv("DOGBREED_PRICES", str(tmp_path / "mine.csv"))
    assert default_table() == tmp_path / "mine.csv"
