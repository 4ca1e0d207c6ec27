"""What to change, as Hydra overrides made from what was measured and from the run's own settings."""

from __future__ import annotations

from dogbreed.health.samples import Facts

RATE = "optimizer.lr"


def one_digit(value: float) -> str:
    """The number rounded to one significant digit, as an override writes it.

    >>> one_digit(0.00317), one_digit(0.096), one_digit(3e-5)
    ('0.003', '0.1', '3e-05')
    """
    return f"{float(f'{value:.0e}'):g}"


def number(facts: Facts, key: str) -> float | None:
    """The run's setting of `key` where it is known and a number."""
    value = facts.settings.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def scaled_rate(facts: Facts, factor: float) -> tuple[str, ...]:
    """The learning rate times `factor` as an override; nothing where the rate is not known, or zero.

    >>> scaled_rate(Facts(settings={"optimizer.lr": 3.0}), 0.001)
    ('optimizer.lr=0.003',)
    """
    rate = number(facts, RATE)
    return (f"{RATE}={one_digit(rate * factor)}",) if rate else ()


def usual_rate(facts: Facts) -> tuple[str, ...]:
    """The optimizer's learning rate in conf/ as an override, where the run's is another by a factor of 10 or more."""
    rate, usual = number(facts, RATE), facts.defaults.get(RATE)
    if rate is None or not isinstance(usual, int | float) or 0.1 * usual < rate < 10 * usual:
        return ()
    return (f"{RATE}={usual:g}",)


def more_views(facts: Facts) -> tuple[str, ...]:
    """Overrides that show the head ten views of each training picture, unless its pictures vary already."""
    varied = any(key.startswith("augmentation.") for key in facts.settings)
    return () if varied or not facts.settings else ("augmentation=crop_flip", "features.views=10")


def early_stopping(facts: Facts) -> tuple[str, ...]:
    """The override that ends a run whose monitor no longer improves, unless the run has it."""
    has = any(key.startswith("callbacks.early_stopping.") for key in facts.settings)
    return () if has or not facts.settings else ("callbacks=early_stopping",)
