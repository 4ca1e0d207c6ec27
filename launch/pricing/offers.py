"""AWS's public price list: which file holds a region's prices, and the prices of training jobs in it.

Source of the format: "Getting price list files using the AWS Price List Bulk API" in the AWS Billing user guide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

from dogbreed.errors import did_you_mean
from launch.errors import LaunchError

INDEX = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/region_index.json"
_FAMILY, _COMPONENT = "ML Instance", "Training"
#: USE1-Train:ml.g5.xlarge; the region's mark is missing in some. Endpoints, notebooks and the like have other words.
_USAGE = re.compile(r"(?:[A-Z0-9]+-)?Train:(ml\.[a-z0-9-]+\.[a-z0-9]+)")


def offer_url(index: Any, index_url: str, region: str) -> str:
    """Where the price list of a region is.

    Args:
        index: the JSON of the region index file.
        index_url: where that is.
        region: such as us-east-1.

    Raises:
        LaunchError: it is no region index, or the region is not in it.
    """
    regions = index.get("regions") if isinstance(index, Mapping) else None
    if not isinstance(regions, Mapping) or not regions:
        raise not_a_price_list(index_url, "it names no regions")
    if region not in regions:
        known = ", ".join(sorted(regions))
        raise LaunchError(f"{index_url} has no region {region}{did_you_mean(region, regions)}", known, "give --region")
    entry = regions[region]
    path = entry.get("currentVersionUrl") if isinstance(entry, Mapping) else None
    if not isinstance(path, str):
        raise not_a_price_list(index_url, f"{region} has no currentVersionUrl")
    return urljoin(index_url, path)


def training_prices(offer: Any, offer_url: str, region: str) -> dict[str, float]:
    """USD an hour of each instance type on demand in training jobs; what is not clear is left out.

    Args:
        offer: the JSON of a region's price list.
        offer_url: where that is.
        region: of the prices that are wanted.

    Raises:
        LaunchError: it is no price list of SageMaker, or has no such price.
    """
    products = offer.get("products") if isinstance(offer, Mapping) else None
    terms = offer.get("terms") if isinstance(offer, Mapping) else None
    on_demand = terms.get("OnDemand") if isinstance(terms, Mapping) else None
    if not isinstance(products, Mapping) or not isinstance(on_demand, Mapping):
        raise not_a_price_list(offer_url, "it lacks products or terms.OnDemand")
    found: dict[str, set[float]] = {}
    for sku, product in products.items():
        instance = _instance(product, region)
        if instance is not None:
            found.setdefault(instance, set()).update(_hourly(on_demand.get(sku)))
    prices = {instance: usd.pop() for instance, usd in sorted(found.items()) if len(usd) == 1}
    if not prices:
        raise not_a_price_list(offer_url, f"it has no training instance in {region}")
    return prices


def not_a_price_list(url: str, reason: str) -> LaunchError:
    """The error for a file that holds something else."""
    return LaunchError(
        got=f"{url} is no price list of Amazon SageMaker: {reason}",
        allowed="the region index of AWS's bulk price list, and the files that it names",
        hint="try again later; until then give sagemaker.price_per_hour",
    )


def _instance(product: Any, region: str) -> str | None:
    """The instance type of a product; None for one that is no training instance of the region."""
    if not isinstance(product, Mapping) or product.get("productFamily") != _FAMILY:
        return None
    attributes = product.get("attributes")
    if not isinstance(attributes, Mapping) or attributes.get("regionCode", region) != region:
        return None
    usage = _USAGE.fullmatch(str(attributes.get("usagetype")))
    return usage[1] if usage and attributes.get("component", _COMPONENT) == _COMPONENT else None


def _hourly(offers: Any) -> Iterator[float]:
    """USD an hour by the newest of the offers of a product."""
    known = [offer for offer in offers.values() if isinstance(offer, Mapping)] if isinstance(offers, Mapping) else []
    newest = max(known, key=lambda offer: str(offer.get("effectiveDate", "")), default={})
    for dimension in (newest.get("priceDimensions") or {}).values():
        if dimension.get("unit") not in ("Hrs", "Hours"):
            continue
        try:
            usd = float(dimension["pricePerUnit"]["USD"])
        except (KeyError, TypeError, ValueError):  # a price in another currency, or none
            continue
        if 0 < usd < math.inf:  # what the free tier covers costs 0
            yield usd
