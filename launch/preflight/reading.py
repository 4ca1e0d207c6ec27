"""Parts of a request that may be anything: what is not there, or of another type, reads as empty or None.

What is wrong with their form is said by launch.preflight.shapes; the other checks go on with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

Part = Mapping[str, object]


def get(request: Part, path: str) -> object:
    """What stands at a path of names with dots between; None where nothing does.

    >>> get({"ResourceConfig": {"InstanceCount": 2}}, "ResourceConfig.InstanceCount")
    2
    """
    value: object = request
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def text(request: Part, path: str) -> str | None:
    """The text at a path."""
    value = get(request, path)
    return value if isinstance(value, str) else None


def whole(request: Part, path: str) -> int | None:
    """The whole number at a path."""
    value = get(request, path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def part(request: Part, path: str) -> Part:
    """The structure or map at a path."""
    value = get(request, path)
    return value if isinstance(value, Mapping) else {}


def parts(request: Part, path: str) -> list[tuple[int, Part]]:
    """The structures in the list at a path, each with its place in it."""
    value = get(request, path)
    found = value if isinstance(value, list) else []
    return [(number, entry) for number, entry in enumerate(found) if isinstance(entry, Mapping)]


def twice(named: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """The (where, name) whose name has stood before.

    >>> twice([("[0]", "a"), ("[1]", "b"), ("[2]", "a"), ("[3]", None)])
    [('[2]', 'a')]
    """
    names = [name for _, name in named]
    return [(where, name) for place, (where, name) in enumerate(named) if name is not None and name in names[:place]]
