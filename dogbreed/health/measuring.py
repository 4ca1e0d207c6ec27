"""Statistics of a tensor, in as few passes over it as they take: these are what watching a run costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dogbreed.health.samples import Measure, TensorStats

_SORTED = 10_000  # values that are sorted for the percentiles: sorting all takes ten times as long as all the rest


def summarise(
    values: Tensor,
    collection: str,
    *,
    measure: Measure,
    last: Tensor | None = None,
    percentiles: bool = False,
) -> TensorStats:
    """The statistics of a tensor.

    Args:
        values: of any shape; activations have the batch first and the units (features or channels) second.
        collection: one of COLLECTIONS.
        measure: the tolerances.
        last: the same tensor at its last sample, if there was one of this shape.
        percentiles: whether p05 and p95 are wanted, which cost as much as all the rest.
    """
    values = values.detach()
    flat = values.reshape(-1).float()
    l2 = float(torch.linalg.vector_norm(flat))
    # Each pass over a tensor counts here; these ones are torch's quick ones (var_mean takes as long as all together).
    # Where the norm is finite all values are; where it is not, they may still be.
    kept = flat if math.isfinite(l2) else flat[flat.isfinite()]
    count = len(kept)
    nans = 0 if count == len(flat) else int(flat.isnan().sum())
    low = high = None
    if percentiles and count:
        some = kept[:: -(-count // _SORTED)].sort().values
        low, high = (float(some[round(share * (len(some) - 1))]) for share in (0.05, 0.95))
    sizes, mean = kept.abs(), float(kept.mean()) if count else 0.0
    return TensorStats(
        collection=collection,
        size=len(flat),
        zeros=count - int(torch.count_nonzero(kept)) if count and float(sizes.min()) == 0 else 0,
        nans=nans,
        infs=len(flat) - count - nans,
        mean=mean,
        abs_mean=float(sizes.mean()) if count else 0.0,
        variance=float(torch.linalg.vector_norm(kept - mean)) ** 2 / count if count else 0.0,
        l2=l2 if math.isfinite(l2) else float(torch.linalg.vector_norm(kept.double())),
        p05=low,
        p95=high,
        **_change(flat, None if last is None or last.shape != values.shape else last.reshape(-1), measure),
        active=_active(values, collection, measure),
    )


def _change(flat: Tensor, last: Tensor | None, measure: Measure) -> dict[str, float]:
    """Of a tensor since its last sample: update_l2, update_max and excess; nothing where there is no last one."""
    if last is None or not len(flat):
        return {}
    before = last.float()
    difference = (flat - before).abs_()
    update_max, update_l2 = float(difference.max()), float(torch.linalg.vector_norm(difference))
    excess = float(difference.sub_(before.abs(), alpha=measure.rtol).max())
    if math.isnan(update_max):  # a NaN is a change, also where there was one before: allclose says so too
        update_max = excess = math.inf
    return {"update_l2": update_l2, "update_max": update_max, "excess": excess}


def _active(values: Tensor, collection: str, measure: Measure) -> tuple[float, ...] | None:
    bounds = {"relu_outputs": (0.0, math.inf), "tanh_inputs": measure.tanh, "sigmoid_inputs": measure.sigmoid}
    if collection not in bounds or values.ndim < 2:
        return None
    low, high = bounds[collection]
    inside = (values > low) & (values < high)
    units = inside.float().transpose(0, 1).flatten(1).mean(dim=1)
    return tuple(round(share, 4) for share in units.tolist())
