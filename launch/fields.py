"""Checks of single settings: each gives what is wrong, or None. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from dogbreed.errors import ConfigError, did_you_mean


class Wrong(ConfigError):
    """Several settings that cannot be, by their own names."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].got, errors[0].allowed, errors[0].hint)
        self.all = errors


def refuse(errors: Sequence[ConfigError | None]) -> None:
    """Raises a Wrong with all that were found."""
    found = [error for error in errors if error is not None]
    if found:
        raise Wrong(found)


def one_of(name: str, value: object, allowed: Sequence[str]) -> ConfigError | None:
    """Whether it is one of a few words."""
    if value in allowed:
        return None
    return wrong(name, value, ", ".join(allowed) + did_you_mean(str(value), allowed))


def whole(name: str, value: object, least: int) -> ConfigError | None:
    """Whether it is a whole number that is large enough."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return None
    return wrong(name, value, f"a whole number >= {least}")


def truth(name: str, value: object) -> ConfigError | None:
    """Whether it is true or false."""
    return None if isinstance(value, bool) else wrong(name, value, "true or false")


def positive(name: str, value: object) -> ConfigError | None:
    """Whether it is a number above 0, and not infinite; None may stand for it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (number and 0 < value < math.inf):  # type: ignore[operator]  # a number by now
        return None
    return wrong(name, value, "a number above 0")


def text(name: str, value: object) -> ConfigError | None:
    """Whether it is a text; None may stand for it."""
    if value is None or isinstance(value, str):
        return None
    return wrong(name, value, f"a text, in quotes: \"...{name}='{value}'\"")


def texts(name: str, value: object) -> Iterator[ConfigError]:
    """Whether it is texts by their names."""
    if not isinstance(value, Mapping):
        yield wrong(name, value, "names and texts")
        return
    for key, text in value.items():
        if text is not None and not isinstance(text, str):
            yield wrong(f"{name}.{key}", text, f"a text, in quotes: \"...{name}.{key}='{text}'\"")


def wrong(name: str, value: object, allowed: str) -> ConfigError:
    """What is wrong with a setting, by its own name."""
    return ConfigError(f"{name}={value}", allowed, name)
