"""Whether a setting is of the kind that a signature declares, told in the config's own words."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dogbreed.errors import ConfigError

#: Of what kind a value is that YAML spells; texts are sequences, too.
_SPELT = (NoneType, bool, int, float, Sequence, Mapping)
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text (in quotes where it looks like another kind)",
    NoneType: "null",
}


def misfit(value: object, kind: Any) -> str | None:
    """What a type annotation allows, where the value is something else; None where it fits.

    A whole number is a number and true is none. Only what YAML spells is judged, by annotations that YAML can meet:
    true and false, numbers, texts, lists and names with values; what is inside of the latter is not.

    >>> misfit("soon", int | None), misfit(5, float), misfit(True, float)
    ('a whole number, or null', None, 'a number')
    """
    if not _is_spelt(kind) or _fits(value, kind):
        return None
    return _any_of(kind) + (", not empty" if value == "" else "")


def check_kind(key: str, value: object, kind: Any) -> None:
    """Refuse a value of the config that is not what a type annotation allows.

    Raises:
        ConfigError: it is not.
    """
    if (allowed := misfit(value, kind)) is not None:
        raise ConfigError(f"{key}={'null' if value is None else value}", allowed, f"set {key}")


def check_arguments(key: str, arguments: Mapping[str, Any], target: Callable[..., Any]) -> None:
    """Refuse arguments that are not what the target's signature declares; null passes where it is the default.

    Raises:
        ConfigError: one is of another kind.
    """
    for name, (kind, default) in _declared(target).items():
        if name in arguments and not (arguments[name] is None and default is None):
            check_kind(f"{key}.{name}", arguments[name], kind)


def _declared(target: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The annotation and the default of each parameter that has a name; nothing where one of them cannot be told."""
    try:
        parameters = inspect.signature(target, eval_str=True).parameters.values()
    except Exception:  # annotations are code of anybody's, which may be names for checkers alone, or prose
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        each.name: (each.annotation, each.default)
        for each in parameters
        if each.kind in named and each.annotation is not inspect.Parameter.empty
    }


def _taken_apart(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """What an annotation is of, such as list, and what of that: (list, (int,))."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return get_origin(bare) or bare, get_args(bare)


def _is_spelt(kind: Any) -> bool:
    """Whether YAML can spell what the annotation asks for; a class such as torch.device may take a text for it."""
    origin, inner = _taken_apart(kind)
    if origin in (Union, UnionType):
        return any(map(_is_spelt, inner))
    if origin is Literal or origin in (bool, int, float, str) or _is_path(origin) or _is_list(origin):
        return True
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _fits(value: object, kind: Any) -> bool:
    origin, inner = _taken_apart(kind)
    if origin in (Union, UnionType):
        is_no_path = isinstance(value, str) and not value and any(map(_is_path, inner))
        return not is_no_path and any(_fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if not isinstance(origin, type) or not isinstance(value, _SPELT) or issubclass(origin, Enum):
        return True
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # an object, which a target makes that its own signature judges
    if origin in (int, float):
        return isinstance(value, int if origin is int else int | float) and not isinstance(value, bool)
    if _is_path(origin):
        return isinstance(value, str | os.PathLike) and value != ""
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if _is_list(origin):
        return isinstance(value, Sequence) and not isinstance(value, str) and _each_fits(value, origin, inner)
    try:
        return isinstance(value, origin)
    except TypeError:  # a protocol that cannot be asked
        return True


def _each_fits(values: Sequence[Any], origin: type, inner: tuple[Any, ...]) -> bool:
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return len(values) == len(inner) and all(map(_fits, values, inner))
    return all(_fits(value, one) for value in values for one in inner[:1])


def _words(kind: Any) -> Iterable[str]:
    """What each part of an annotation allows, in words."""
    origin, inner = _taken_apart(kind)
    if origin in (Union, UnionType):
        for one in sorted(inner, key=lambda one: one is NoneType):
            yield from _words(one)
    elif origin is Literal:
        yield from ("null" if one is None else str(one) for one in inner)
    elif origin in _WORDS:
        yield _WORDS[origin]
    elif _is_path(origin):
        yield "a path"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield "names with values"
    elif _is_list(origin):
        counted = origin is tuple and bool(inner) and Ellipsis not in inner
        each = " and ".join(dict.fromkeys(map(_any_of, inner if counted else inner[:1])))
        yield f"a list{f' of {len(inner)}' if counted else ''}" + (f", each {each}" if inner else "")
    else:
        name = str(getattr(origin, "__name__", origin))
        yield f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name} by its _target_"


def _any_of(kind: Any) -> str:
    *words, last = dict.fromkeys(_words(kind))
    return f"{', '.join(words)}, or {last}" if words else last


def _is_path(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, os.PathLike)


def _is_list(kind: Any) -> bool:
    """Whether it is what a list of the config is given to, and no array."""
    abstract = isinstance(kind, type) and kind.__module__ == "collections.abc" and issubclass(kind, Iterable)
    return abstract or kind in (list, tuple, set, frozenset)
