"""Checks of settings: each gives what is wrong, or None. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import TYPE_CHECKING

from dogbreed.errors import ConfigError, did_you_mean

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
    for field in fields(settings):
        kind, name, value = str(field.type), field.name, getattr(settings, field.name)
        may_be_null = "None" in kind
        if kind.startswith("str"):
            yield from _text(name, value, may_be_null=may_be_null)
        elif kind == "bool":
            yield None if isinstance(value, bool) else wrong(name, value, "true or false")
        elif kind.startswith(("int", "float")):
            yield _number(name, value, int if kind.startswith("int") else int | float, may_be_null=may_be_null)
        elif kind == "Sequence[str]":
            if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
                yield wrong(name, value, f"a list of texts: {name}=[ONE,ANOTHER]")
        elif kind.startswith("Mapping[str, str"):
            if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
                for key, text in value.items():
                    yield from _text(f"{name}.{key}", text, may_be_null=may_be_null)
            else:
                yield wrong(name, value, "names and texts")


def _text(name: str, value: object, *, may_be_null: bool) -> Iterator[ConfigError]:
    if value is None and not may_be_null:
        yield wrong(name, "null", "a text")
    elif value is not None and not isinstance(value, str):
        yield wrong(name, value, f"a text, in quotes: \"...{name}='{value}'\"")


def _number(name: str, value: object, kind: type | UnionType, *, may_be_null: bool) -> ConfigError | None:
    if (isinstance(value, kind) and not isinstance(value, bool)) or (value is None and may_be_null):
        return None
    return wrong(name, "null" if value is None else value, "a whole number" if kind is int else "a number")


def wrong(name: str, value: object, allowed: str) -> ConfigError:
    """What is wrong with a setting, by its own name."""
    return ConfigError(f"{name}={value}", allowed, name)
