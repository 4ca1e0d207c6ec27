"""All endpoints of an account in a region: what they are, whose they are, whether anyone asks them, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.table import Table

from dogbreed.tables import print_table
from launch.aws.errors import asking_aws
from launch.hosting.costing import hourly_usd
from launch.hosting.reading import kind_of
from launch.hosting.requests import ARTIFACT_TAG, OURS_TAG, OWNER_TAG, expiry
from launch.hosting.resources import CONFIG, ENDPOINT, Hosting, arn_of
from launch.pricing.table import Prices
from launch.views.telling import duration

_AT_ONCE = 8
_DAY_S = 24 * 3600
_QUERIES = 500  # of one GetMetricData


@dataclass(frozen=True)
class Listed:
    """An endpoint in a line.

    Attributes:
        name: of the endpoint.
        status: as AWS says it.
        kind: "realtime", "serverless" or "asynchronous"; empty where its configuration is gone.
        age_s: seconds since it was made.
        expires: when it does, in UTC; None for never.
        owner: whom to ask about it; empty where nobody says.
        artifact: which classifier it is; likewise.
        is_ours: whether launch.deploy made it.
        usd_per_hour: what it costs now; None where a price is not known.
        variants: the names of its variants, by which its traffic is counted.
        asked: how often it was, in the last 24 hours; None where that is not known.
    """

    name: str
    status: str
    kind: str
    age_s: float
    expires: datetime | None
    owner: str
    artifact: str
    is_ours: bool
    usd_per_hour: float | None
    variants: tuple[str, ...]
    asked: int | None = None

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over, whoever deployed it; never so of what launch.deploy has not made."""
        return self.is_ours and self.expires is not None and self.expires <= now

    def cells(self, now: datetime) -> tuple[str, ...]:
        """For a table; see COLUMNS."""
        asked = "?" if self.asked is None else f"{self.asked:,}"
        cost = "?" if self.usd_per_hour is None else f"{self.usd_per_hour:g} USD"
        return self.name, self.status, self.kind, duration(self.age_s), self._expiry(now), self.owner, asked, cost

    def _expiry(self, now: datetime) -> str:
        if self.expires is None:
            return "never" if self.is_ours else ""
        left = (self.expires - now).total_seconds()
        return f"in {duration(left)}" if left > 0 else f"EXPIRED {duration(-left)} ago"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "kind": self.kind,
            "age_s": round(self.age_s),
            "expires": None if self.expires is None else self.expires.isoformat(),
            "owner": self.owner,
            "artifact": self.artifact,
            "is_ours": self.is_ours,
            "asked_24h": self.asked,
            "usd_per_hour": self.usd_per_hour,
        }


COLUMNS = ("endpoint", "status", "kind", "age", "expires", "owner", "asked in 24 h", "cost an hour")


def list_endpoints(hosting: Hosting, part: str = "") -> list[Listed]:
    """The endpoints with this part in their names, the newest first, without their traffic."""
    prices = Prices.load()

    def look(name: str) -> Listed | None:
        found = hosting.describe(ENDPOINT, name)
        if found is None:
            return None
        tags = hosting.tags(arn_of(ENDPOINT, found))
        config = hosting.describe(CONFIG, found["EndpointConfigName"]) if found.get("EndpointConfigName") else None
        return Listed(
            name=name,
            status=found["EndpointStatus"],
            kind="" if config is None else kind_of(config),
            age_s=(datetime.now(timezone.utc) - found["CreationTime"]).total_seconds(),
            expires=expiry(tags),
            owner=tags.get(OWNER_TAG, ""),
            artifact=tags.get(ARTIFACT_TAG, ""),
            is_ours=OURS_TAG in tags,
            usd_per_hour=None if config is None else hourly_usd(_now(found, config), hosting.region, prices),
            variants=tuple(variant["VariantName"] for variant in found.get("ProductionVariants", [])),
        )

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [one for one in pool.map(look, hosting.names(ENDPOINT, part)) if one is not None]


def with_traffic(endpoints: Sequence[Listed], session: Any) -> list[Listed]:
    """The same, with how often each was asked in the last 24 hours, by CloudWatch.

    Raises:
        LaunchError: CloudWatch refuses.
    """
    pairs = [(one.name, variant) for one in endpoints for variant in one.variants]
    counted = dict.fromkeys((one.name for one in endpoints), 0)
    end = datetime.now(timezone.utc)
    with asking_aws("asking CloudWatch for the traffic"):
        client = session.client("cloudwatch")
        for start in range(0, len(pairs), _QUERIES):
            some = pairs[start : start + _QUERIES]
            pages = client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[_query(number, *pair) for number, pair in enumerate(some)],
                StartTime=end - timedelta(seconds=_DAY_S),
                EndTime=end,
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    counted[some[int(result["Id"][1:])][0]] += round(sum(result["Values"]))
    return [replace(one, asked=counted[one.name]) for one in endpoints]


def print_endpoints(endpoints: Sequence[Listed]) -> None:
    """Print a table, and what all cost together."""
    now = datetime.now(timezone.utc)
    table = Table(*COLUMNS, box=None)
    for one in endpoints:
        table.add_row(*one.cells(now))
    print_table(table)
    known = [one.usd_per_hour for one in endpoints if one.usd_per_hour is not None]
    unknown = len(endpoints) - len(known)
    more = f", and {unknown} whose price is not known: python -m launch.prices refresh" if unknown else ""
    print(f"together: {sum(known):g} USD an hour{more}; without storage, traffic, and what serverless ones answer")


def _query(number: int, name: str, variant: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}]
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions}
    return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}


def _now(endpoint: Mapping[str, Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variants of a configuration, with the instances that each has now."""
    counts = {
        variant["VariantName"]: {"CurrentInstanceCount": variant["CurrentInstanceCount"]}
        for variant in endpoint.get("ProductionVariants", [])
        if "CurrentInstanceCount" in variant
    }
    return [{**variant, **counts.get(variant["VariantName"], {})} for variant in config["ProductionVariants"]]
