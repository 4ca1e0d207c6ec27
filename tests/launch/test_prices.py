"""`python -m launch.prices` against a server that speaks as AWS's price list does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from launch.prices import main
from launch.pricing.table import Price, Prices

INDEX = "/offers/v1.0/aws/AmazonSageMaker/current/region_index.json"
OFFER = "/offers/v1.0/aws/AmazonSageMaker/20261120000000/{}/index.json"
OLD = Price("ml.g5.xlarge", "us-east-1", 1.0, "an old source", "2026-11")


def product(sku: str, usage: str, component: str, instance: str, region: str = "us-east-1") -> dict[str, Any]:
    attributes = {"usagetype": usage, "component": component, "regionCode": region, "instanceName": instance}
    attributes |= {"servicecode": "AmazonSageMaker", "operation": "RunInstance", "locationType": "AWS Region"}
    return {"sku": sku, "productFamily": "ML Instance", "attributes": attributes}


def term(sku: str, usd: str, since: str = "2026-11-01T00:00:00Z", unit: str = "Hrs") -> dict[str, Any]:
    rate = f"{sku}.{since}.6YS6EN2CT7"
    dimension = {"rateCode": rate, "unit": unit, "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": usd}}
    return {f"{sku}.{since}": {"sku": sku, "effectiveDate": since, "priceDimensions": {rate: dimension}}}


def offer() -> dict[str, Any]:
    products = [
        product("A", "USE1-Train:ml.g5.xlarge", "Training", "ml.g5.xlarge"),
        product("B", "USE1-Host:ml.g5.xlarge", "Hosting", "ml.g5.xlarge"),
        product("C", "USE1-Train:ml.p6-b200.48xlarge", "Training", "ml.p6-b200.48xlarge"),
        product("D", "USE1-Train:ml.m5.large", "Training", "ml.m5.large"),
        product("E", "EUC1-Train:ml.c5.xlarge", "Training", "ml.c5.xlarge", "eu-central-1"),
        product("F", "USE1-Train:ml.g6.xlarge", "Training", "ml.g6.xlarge"),
        product("G", "USE1-Train:ml.g6.xlarge", "Training", "ml.g6.xlarge"),
        product("I", "USE1-Studio:Train-ml.t3.medium", "Studio", "ml.t3.medium"),
    ]
    found: dict[str, Any] = {one["sku"]: one for one in products}
    found["H"] = {"sku": "H", "productFamily": "ML Storage", "attributes": {"usagetype": "USE1-Train:VolumeUsage.gp2"}}
    terms = {sku: term(sku, "9.99") for sku in "BEFI"} | {"C": term("C", "113.93"), "G": term("G", "8.88")}
    terms["A"] = term("A", "1.3330000000") | term("A", "1.2", since="2025-01-01T00:00:00Z")
    terms["D"] = term("D", "0.1150000000") | term("D", "0.0000000000", since="2020-01-01T00:00:00Z")
    terms["H"] = term("H", "0.14", unit="GB-Mo")
    return {
        "formatVersion": "v1.0",
        "offerCode": "AmazonSageMaker",
        "publicationDate": "2026-11-20T00:00:00Z",
        "products": found,
        "terms": {"OnDemand": terms, "Reserved": {}},
    }


class Site:
    """A web site of files that a test may change."""

    def __init__(self) -> None:
        regions = {
            region: {"regionCode": region, "currentVersionUrl": OFFER.format(region)}
            for region in ("us-east-1", "eu-central-1")
        }
        index = {"formatVersion": "v1.0", "publicationDate": "2026-11-20T00:00:00Z", "regions": regions}
        self.files = {INDEX: json.dumps(index).encode(), OFFER.format("us-east-1"): json.dumps(offer()).encode()}
        self.status: dict[str, int] = {}
        self.missing_bytes = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = site.files.get(self.path)
                self.send_response(site.status.get(self.path, 200 if content is not None else 404))
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if content:
                    cut = site.missing_bytes if self.path != INDEX else 0
                    self.wfile.write(content[: len(content) - cut])

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.index = f"http://127.0.0.1:{self.server.server_port}{INDEX}"
        self.offer = f"http://127.0.0.1:{self.server.server_port}{OFFER.format('us-east-1')}"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "prices.csv"
    Prices([OLD]).save(path)
    return path


def refresh(table: Path, url: str, *arguments: str) -> int:
    return main(["refresh", "--url", url, "--file", str(table), "--region", "us-east-1", *arguments])


def test_refresh__renews_the_rows_of_the_table(table: Path, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    before = date.today().isoformat()
    assert refresh(table, site.index) == 0
    [price] = Prices.load(table).rows
    assert before <= price.date <= date.today().isoformat()
    assert price == Price("ml.g5.xlarge", "us-east-1", 1.333, site.offer, price.date)
    assert "ml.g5.xlarge: 1.333 USD an hour, before 1 (2026-11)" in capsys.readouterr().out


def test_refresh__adds_what_is_named(table: Path, site: Site) -> None:
    assert refresh(table, site.index, "ml.p6-b200.48xlarge", "ml.m5.large") == 0
    prices = {price.instance_type: price.usd_per_hour for price in Prices.load(table).rows}
    assert prices == {"ml.g5.xlarge": 1.0, "ml.m5.large": 0.115, "ml.p6-b200.48xlarge": 113.93}


def test_refresh__keeps_what_the_list_no_longer_has(
    table: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Price("ml.p2.xlarge", "us-east-1", 1.1, "an old source", "2026-11")
    Prices([OLD, gone]).save(table)
    assert refresh(table, site.index) == 0
    assert gone in Prices.load(table).rows
    assert "left as they were: ml.p2.xlarge" in capsys.readouterr().out


@pytest.mark.parametrize("instance", ["ml.g5.xlarg", "ml.c5.xlarge", "ml.g6.xlarge", "ml.t3.medium"])
def test_refresh__instance_that_is_not_clearly_there_is_an_error(
    table: Path, site: Site, instance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_bytes()
    assert refresh(table, site.index, "ml.m5.large", instance) == 1
    assert f"not in AWS's price list of us-east-1: {instance}" in capsys.readouterr().err
    assert table.read_bytes() == before


def spoil_index(site: Site) -> None:
    site.files[INDEX] = b'{"regions": {}}'


def spoil_server(site: Site) -> None:
    site.status[INDEX] = 503


def spoil_offer_server(site: Site) -> None:
    del site.files[OFFER.format("us-east-1")]


def spoil_json(site: Site) -> None:
    site.files[OFFER.format("us-east-1")] = b'{"products": {'


def spoil_text(site: Site) -> None:
    site.files[OFFER.format("us-east-1")] = b"\xff\xfe\xfa not text"


def spoil_download(site: Site) -> None:
    site.missing_bytes = 100


def spoil_kind(site: Site) -> None:
    site.files[OFFER.format("us-east-1")] = b"[1, 2]"


def spoil_products(site: Site) -> None:
    site.files[OFFER.format("us-east-1")] = b'{"products": {"A": null, "B": {}}, "terms": {"OnDemand": {"A": 1}}}'


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_index, "it names no regions"),
        (spoil_server, "HTTP 503"),
        (spoil_offer_server, "HTTP 404"),
        (spoil_json, "is no price list"),
        (spoil_text, "is no price list"),
        (spoil_download, "the connection ended after"),
        (spoil_kind, "it lacks products"),
        (spoil_products, "it has no training instance"),
    ],
)
def test_refresh__whatever_fails_leaves_the_old_table_and_one_error(
    table: Path, site: Site, spoil: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_bytes()
    spoil(site)
    assert refresh(table, site.index) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("error:") == 1
    assert table.read_bytes() == before
    assert [path.name for path in table.parent.iterdir()] == [table.name]


def test_refresh__no_network_is_one_error(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}{INDEX}"
        assert refresh(table, url) == 1
    assert "Connection refused; the table is as it was" in capsys.readouterr().err


def test_refresh__unknown_region_is_named_with_the_near_ones(
    table: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refresh(table, site.index, "--region", "eu-centrall-1") == 1
    assert "did you mean eu-central-1?" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["file:///etc/hostname", "pricing.example"])
def test_refresh__only_web_addresses(table: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refresh(table, url) == 1
    assert "https://" in capsys.readouterr().err


def test_refresh__table_that_cannot_be_written_is_one_error(
    tiny_disk: Path, table: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_disk / "prices.csv"
    path.write_bytes(table.read_bytes())
    assert refresh(path, site.index) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert path.read_bytes() == table.read_bytes()


def test_show__lists_all_or_one(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Prices([OLD, Price("ml.m5.large", "us-east-1", 0.115, "b", "2026-11")]).save(table)
    assert main(["show", "--file", str(table)]) == 0
    assert "ml.m5.large" in capsys.readouterr().out
    assert main(["show", "ml.g5.xlarge", "--file", str(table)]) == 0
    out = capsys.readouterr().out
    assert "an old source" in out
    assert "ml.m5.large" not in out


def test_show__unknown_instance_is_one_error_with_the_near_ones(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "ml.g5.xlarg", "--file", str(table)]) == 1
    assert "did you mean ml.g5.xlarge?" in capsys.readouterr().err


def test_prices__need_no_torch_and_no_sdk() -> None:
    heavy = "{'torch', 'boto3', 'botocore', 'sagemaker', 'hydra'}"
    program = (
        f"import sys, launch.prices, launch.pricing.compare, launch.pricing.bill; print({heavy} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
