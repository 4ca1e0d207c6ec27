"""An error says what it got, what is allowed and what to do: read off the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dogbreed.errors import DogbreedError, RequestError

ROOT = Path(__file__).parents[1]
MODULES = {
    path: ast.parse(path.read_text()) for room in ("dogbreed", "launch") for path in sorted((ROOT / room).rglob("*.py"))
}


def kinds() -> set[str]:
    """The names of DogbreedError and all that is made of it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in MODULES.values()
        for node in ast.walk(tree)
        # One with parts of its own hands on those of its base, which is looked at there.
        if isinstance(node, ast.ClassDef) and not (node.name != "RequestError" and "__init__" in ast.unparse(node))
    }
    found = {DogbreedError.__name__, RequestError.__name__}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def test_errors__are_made_of_all_their_parts() -> None:
    names, seen = kinds(), 0
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names):
                continue
            seen += 1
            given = [*node.args, *node.keywords]
            parts = 4 if node.func.id == RequestError.__name__ else 3
            unpacked = any(isinstance(one, ast.Starred) for one in node.args)
            assert unpacked or len(given) == parts, f"{path}:{node.lineno}: {ast.unparse(node)}"
    assert seen > 100


def test_errors__with_a_part_missing_cannot_be() -> None:
    with pytest.raises(TypeError):
        DogbreedError("got", "allowed")  # type: ignore[call-arg]


def test_commands__end_well() -> None:
    """What is run by `python -m`, but for what no user starts."""
    background = {"launch/process/tuner.py", "launch/process/supervisor.py", "launch/entry.py"}
    delegates = {"launch/plan.py"}  # to mains that do
    for path, tree in MODULES.items():
        name = path.relative_to(ROOT).as_posix()
        is_command = any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body)
        if not is_command or name in background | delegates:
            continue
        [main] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
        assert any("ends_well" in ast.unparse(one) for one in main.decorator_list), name
