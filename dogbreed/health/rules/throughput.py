"""Overrides that let the machine do more, made from what was measured and from the run's own settings."""

from __future__ import annotations

import math

from dogbreed.health.rules.remedies import number
from dogbreed.health.samples import Facts

_WORKERS = 16  # beyond that more loader processes rarely help (the library's own choice ends there too)
#: Advice beside the overrides.
HEADS = "a head on features is too little work for a GPU: train many at once (python -m dogbreed.train -m ...)"
LEARNING_RATE = "a larger batch usually wants a larger optimizer.lr"


def more_workers(facts: Facts, running: float, least: float = 0.0) -> tuple[str, ...]:
    """The override for a loader process for each core, at most 16 but at least `least`, where that is more.

    Args:
        facts: of the run.
        running: loader processes that it has.
        least: loader processes that a rule asks for.

    >>> more_workers(Facts(cores=4), running=1)
    ('data.num_workers=4',)
    >>> more_workers(Facts(cores=4), running=4), more_workers(Facts(cores=4, features=True), running=0)
    ((), ())
    """
    if facts.features or not facts.cores:
        return ()
    wanted = max(min(facts.cores, _WORKERS), math.ceil(least))
    return (f"data.num_workers={wanted}",) if wanted > running else ()


def larger_batch(facts: Facts, room: float = 2.0) -> tuple[str, ...]:
    """The override for a batch of 2, 4 or 8 times the size, as far as there is room for it.

    >>> larger_batch(Facts(settings={"data.batch_size": 32}), room=5.0)
    ('data.batch_size=128',)
    """
    size = number(facts, "data.batch_size")
    factor = 2 ** min(3, max(1, math.floor(math.log2(room)))) if math.isfinite(room) and room > 0 else 8
    return (f"data.batch_size={int(size) * factor}",) if size else ()


def fewer_reads(facts: Facts) -> tuple[str, ...]:
    """The overrides with which each picture is decoded once, or each feature is half as many bytes.

    >>> fewer_reads(Facts(settings={"features.path": "pixels"}, features=False))
    ('features.path=cached',)
    """
    if facts.features:
        return ("features.dtype=float16",) if facts.settings.get("features.dtype") == "float32" else ()
    if facts.settings.get("features.path") == "pixels":
        return ("features.path=cached", *_views(facts))
    return _views(facts)  # cached, yet an augmentation takes pixels


def _views(facts: Facts) -> tuple[str, ...]:
    augmented = any(key.startswith("augmentation.") for key in facts.settings)
    return ("features.views=10",) if augmented and facts.settings.get("features.views") is None else ()
