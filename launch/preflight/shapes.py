"""A request against AWS's own service model, as it ships with botocore, walked strictly.

botocore itself looks at types, members and minima alone; the model also holds patterns, enums and maxima.
Source: the service model of Amazon SageMaker, offline.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dogbreed.errors import did_you_mean
from launch.errors import missing_extra
from launch.preflight.hints import remedy
from launch.preflight.patterns import matches
from launch.preflight.problems import Problem

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

#: Values that are never shown: people put secrets there.
_PRIVATE = ("Environment[", "HyperParameters[", "Tags[")
_FEW = 12
_LONG = 60


def check_shape(operation: str, request: Mapping[str, object], service: str = "sagemaker") -> list[Problem]:
    """What AWS's service model does not allow in a request.

    Args:
        operation: of the service's API, such as "CreateTrainingJob".
        request: as boto3 takes it.
        service: as boto3 names it.

    Raises:
        LaunchError: botocore is not installed.
    """
    return list(_walk(_service(service).operation_model(operation).input_shape, request, ""))


@functools.cache
def _service(name: str) -> ServiceModel:
    try:
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ImportError as error:
        raise missing_extra("botocore", "sagemaker") from error
    # Only what ships with botocore: somebody's ~/.aws/models is no answer.
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(name, "service-2"))


def _walk(shape: Shape, value: object, where: str) -> Iterator[Problem]:
    types, check = _KINDS[shape.type_name]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        yield _wrong(where, f"a {type(value).__name__}", f"a {shape.type_name}")
    elif check is not None:
        yield from check(shape, value, where)


def _structure(shape: StructureShape, value: Mapping[str, object], where: str) -> Iterator[Problem]:
    members = shape.members
    for name in shape.required_members:
        if name not in value:
            yield _wrong(_below(where, name), "missing", "a value: it is required")
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield _wrong(where, f"{len(value)} members", f"exactly one of {', '.join(members)}")
    for name, entry in value.items():
        if name in members:
            yield from _walk(members[name], entry, _below(where, name))
        else:
            near = did_you_mean(str(name), members)
            allowed = ", ".join(members) if len(members) <= _FEW else f"the members of {shape.name}"
            yield _wrong(_below(where, str(name)), f"there is none{near}", allowed)


def _list(shape: ListShape, value: list[object], where: str) -> Iterator[Problem]:
    yield from _size(shape, len(value), where, "entries")
    for number, entry in enumerate(value):
        yield from _walk(shape.member, entry, f"{where}[{number}]")


def _map(shape: MapShape, value: Mapping[object, object], where: str) -> Iterator[Problem]:
    yield from _size(shape, len(value), where, "entries")
    for key, entry in value.items():
        for problem in _walk(shape.key, key, where):
            yield problem._replace(got=f"the key {_short(key)}: {problem.got}")
        yield from _walk(shape.value, entry, f"{where}[{_short(key)}]")


def _string(shape: StringShape, value: str, where: str) -> Iterator[Problem]:
    if shape.enum and value not in shape.enum:
        few = ", ".join(shape.enum) if len(shape.enum) <= _FEW else f"one of the {len(shape.enum)} of AWS"
        yield _wrong(where, _shown(where, value) + did_you_mean(value, shape.enum), few)
        return
    yield from _size(shape, len(value), where, "characters")
    pattern = shape.metadata.get("pattern")
    if pattern and not matches(pattern, value):
        yield _wrong(where, _shown(where, value), f"what matches {pattern}")


def _number(shape: Shape, value: float, where: str) -> Iterator[Problem]:
    yield from _size(shape, value, where, "")


def _size(shape: Shape, size: float, where: str, unit: str) -> Iterator[Problem]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        allowed = f"{least if least is not None else 'any'} to {most}" if most is not None else f"{least} or more"
        yield _wrong(where, f"{size} {unit}".rstrip(), f"{allowed} {unit}".rstrip())


def _timestamp(shape: Shape, value: object, where: str) -> Iterator[Problem]:
    from botocore.utils import parse_to_aware_datetime

    try:
        parse_to_aware_datetime(value)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        yield _wrong(where, _short(value), "a time")


_Check = Callable[[Any, Any, str], Iterator[Problem]]
#: What Python takes for each type of the model (as botocore's serialisers do), and how it is looked at.
_KINDS: dict[str, tuple[tuple[type, ...], _Check | None]] = {
    "structure": ((dict,), _structure),
    "list": ((list, tuple), _list),
    "map": ((dict,), _map),
    "string": ((str,), _string),
    "integer": ((int,), _number),
    "long": ((int,), _number),
    "float": ((float, Decimal, int), _number),
    "double": ((float, Decimal, int), _number),
    "boolean": ((bool,), None),
    "timestamp": ((object,), _timestamp),
}


def _wrong(where: str, got: str, allowed: str) -> Problem:
    return Problem(where or "request", got, allowed, remedy(where))


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _shown(where: str, value: str) -> str:
    return f"{len(value)} characters" if any(private in where for private in _PRIVATE) else _short(value)


def _short(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= _LONG else f"{shown[:_LONG]}..."
