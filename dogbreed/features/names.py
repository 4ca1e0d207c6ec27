"""The names that the section `features` of a config may hold, and where features are kept. No torch."""

from __future__ import annotations

import os
from pathlib import Path

from dogbreed.errors import ConfigError

ENGINES = ("torch", "openvino")
PRECISIONS = ("fp32", "mixed", "int8")
DECODERS = ("cpu", "gpu")


def default_root() -> Path:
    """Where features are kept unless another place is named: $DOGBREED_FEATURES, or the user's cache."""
    return Path(os.environ.get("DOGBREED_FEATURES") or "~/.cache/dogbreed/features").expanduser()


def check_names(engine: object, precision: object, decoder: object) -> None:
    """Refuse an engine, a precision or a decoder that does not exist.

    Raises:
        ConfigError: there is no such one.
    """
    for key, value, allowed in (
        ("engine", engine, ENGINES),
        ("precision", precision, PRECISIONS),
        ("decoder", decoder, DECODERS),
    ):
        if value not in allowed:
            raise ConfigError(f"features.{key}={value!r}", ", ".join(allowed), f"set features.{key}")
