"""What is measured and which way is better. No torch: whatever composes a config needs it."""

from __future__ import annotations

from dogbreed.errors import ConfigError, did_you_mean

#: Every metric and whether less or more of it is better.
DIRECTIONS = {"loss": "min", "acc": "max", "acc_top5": "max", "f1_macro": "max"}


def direction(key: str, setting: str = "monitor") -> str:
    """Whether a metric such as "val/acc", which a setting names, is to be at its "min" or "max".

    >>> direction("val/acc")
    'max'

    Raises:
        ConfigError: it is no metric on val; nothing is chosen on train or test.
    """
    known = {f"val/{name}": mode for name, mode in DIRECTIONS.items()}
    if key not in known:
        raise ConfigError(
            f"{setting}={key}{did_you_mean(str(key), known)}", ", ".join(known), f"set {setting} to one of them"
        )
    return known[key]
