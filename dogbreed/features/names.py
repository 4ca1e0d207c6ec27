"""The names that the section `features` of a config may hold. No torch."""

from __future__ import annotations

from dogbreed.errors import ConfigError

ENGINES = ("torch", "openvino")
PRECISIONS = ("fp32", "mixed", "int8")
DECODERS = ("cpu", "gpu")


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
