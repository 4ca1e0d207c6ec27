"""Checks of settings: each gives what is wrong, or None. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.kinds import misfit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Wrong(ConfigError):
    """Several settings that cannot be, by their own names."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].got, errors[0].allowed, errors[0].hint)
        self.all = errors


def refuse(errors: Sequence[ConfigError | None]) -> None:
    """Raises a Wrong with all that were found, the first of each setting."""
    found: dict[str, ConfigError] = {}
    for error in errors:
        if error is not None:
            found.setdefault(error.hint, error)
    if found:
        raise Wrong([*found.values()])


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


def positive(name: str, value: object) -> ConfigError | None:
    """Whether it is a number above 0, and not infinite; None may stand for it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (number and 0 < value < math.inf):  # type: ignore[operator]  # a number by now
        return None
    return wrong(name, value, "a number above 0")


def typed(settings: DataclassInstance) -> Iterator[ConfigError | None]:
    """Whether all is of the kind that the dataclass declares; `whole` and `positive` say more of numbers, before it."""
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, Mapping) and get_origin(kind) is Mapping:
            of_key, of_value = get_args(kind)
            for key, entry in value.items():  # each by itself, for others may be secret
                yield _of_kind(f"the name {key} in {name}", key, of_key) or _of_kind(f"{name}.{key}", entry, of_value)
        else:
            yield _of_kind(name, value, kind)


def _of_kind(name: str, value: object, kind: object) -> ConfigError | None:
    allowed = misfit(value, kind)
    return None if allowed is None else wrong(name, "null" if value is None else value, allowed)


def wrong(name: str, value: object, allowed: str) -> ConfigError:
    """What is wrong with a setting, by its own name."""
    return ConfigError(f"{name}={value}", allowed, name)
