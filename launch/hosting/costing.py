"""What an endpoint costs an hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launch.hosting.settings import SERVERLESS, EndpointSettings
from launch.pricing.table import Price, Prices

_NOT_COUNTED = "not counted: storage, traffic, S3, logs, taxes"
_IDLE = "nothing while nobody asks; by the second of answering and by the data, see AWS's price list"


def tell_price(settings: EndpointSettings, region: str, prices: Prices) -> str:
    """What an endpoint will cost an hour, in a line or two."""
    if settings.kind == SERVERLESS:
        return f"it costs {_IDLE}"
    assert settings.instance_type is not None
    assert settings.instance_count is not None
    price = prices.price_of(settings.instance_type, region)
    if settings.price_per_hour is not None:
        price = Price.given(settings.instance_type, region, settings.price_per_hour)
    if price is None:
        return f"{settings.instance_type}: {prices.missing(settings.instance_type, region)}"
    hour = price.usd_per_hour
    most = "" if settings.max_count is None else f", up to {hour * settings.max_count:g} USD with autoscaling"
    until = ""
    if settings.expires_in_h is not None:
        spent = hour * settings.instance_count * settings.expires_in_h
        until = f"; {spent:,.2f} USD until it expires, {settings.expires_in_h:g} h from now"
    count = settings.instance_count
    return (
        f"it costs {hour * count:g} USD an hour{most}{until}\n"
        f"  {count} {price.tell()}, training's price, which an endpoint's is nearly always; {_NOT_COUNTED}"
    )


def hourly_usd(variants: Sequence[Mapping[str, Any]], region: str, prices: Prices) -> float | None:
    """What an endpoint costs an hour now, in USD; None where a price is not known.

    Args:
        variants: of its configuration, with the count of instances that each has now as CurrentInstanceCount.
        region: where it is.
        prices: the table.
    """
    total = 0.0
    for variant in variants:
        if "ServerlessConfig" in variant:
            continue  # see _IDLE
        price = prices.price_of(str(variant.get("InstanceType", "")), region)
        if price is None:
            return None
        total += price.usd_per_hour * int(variant.get("CurrentInstanceCount", variant.get("InitialInstanceCount", 0)))
    return total
