"""Values of a config beside the annotations of those who take them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import pydantic
import pytest
import torch
from omegaconf import OmegaConf

from dogbreed.errors import ConfigError
from dogbreed.kinds import check_arguments, misfit

VALUES: list[Any] = [
    *[None, True, False, 0, 5, -1, 1.5, float("nan"), "", "xyz", "5", [], [5], [1.5, 2], ["x", None], {}],
    *[{"a": 1}, {"a": "b"}, {1: "a"}, [[5]], {"a": None}, [{"a": "b"}], 64],
]
KINDS = [
    *[bool, int, float, str, int | None, bool | str, str | float, Literal["a", "xyz"], Literal[64, "xyz"] | None],
    *[list[int], list[Any], Sequence[str], Sequence[int] | None, dict[Any, Any], list[list[int]]],
    *[Mapping[Any, Any] | None, Any, int | list[float]],
]
T = TypeVar("T")


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_misfit__agrees_with_pydantic(kind: Any) -> None:
    judge = pydantic.TypeAdapter(kind, config=pydantic.ConfigDict(strict=True))

    def is_valid(value: Any) -> bool:
        try:
            judge.validate_python(value)
        except pydantic.ValidationError:
            return False
        return True

    assert [misfit(value, kind) is None for value in VALUES] == [is_valid(value) for value in VALUES]


@pytest.mark.parametrize(
    ("value", "kind", "allowed"),
    [
        (5, str | Path | None, "a text (in quotes where it looks like another kind), a path, or null"),
        ("", Path | str, "a path, or a text (in quotes where it looks like another kind), not empty"),
        ("", os.PathLike[str] | None, "a path, or null, not empty"),
        ("a/b", Path, None),
        ([1, 2, 3], tuple[float, float], "a list of 2, each a number"),
        ([1, 2], tuple[float, float], None),
        ([1, 2, 3], tuple[float, ...], None),
        (True, int | np.ndarray, "a whole number, or a ndarray by its _target_"),
        ({"a": 1}, int | np.ndarray, "a whole number, or a ndarray by its _target_"),
        ({"_target_": "numpy.zeros"}, int | np.ndarray, None),
        (np.zeros(3), int | np.ndarray, None),
        ("xyz", Callable[[], int], None),  # what it stands for is the target's own affair
        ("cpu", torch.device | None, None),
        (5, torch.device | str, "a device by its _target_, or a text (in quotes where it looks like another kind)"),
        (0.1, Annotated[float, "a rate"], None),
        ("fast", Annotated[float, "a rate"] | None, "a number, or null"),
        ("red", Colour | int, None),
        ({5}, set[int], None),
        (np.float32(5), float, None),
        (Path("x"), str, None),
        (5, Counter[str], "names with values"),
        (
            [5, "x"],
            tuple[str, int],
            "a list of 2, each a text (in quotes where it looks like another kind) and a whole number",
        ),
        (len, Callable[[], int], None),
        (object(), T, None),
        (17, Literal[16, "16", None], "16, or null"),
        ([5], Mapping[str, int], "names with values"),
        ([5], dict, "names with values"),
        (5, list, "a list"),
    ],
)
def test_misfit__says_what_is_allowed(value: object, kind: Any, allowed: str | None) -> None:
    assert misfit(value, kind) == allowed


def test_misfit__takes_what_a_config_holds() -> None:
    held = OmegaConf.create({"texts": ["a"], "names": {"a": 1}})

    assert misfit(held.texts, Sequence[str]) is None
    assert misfit(held.texts, Sequence[int]) is not None
    assert misfit(held.names, Mapping[str, int]) is None
    assert misfit(held.names, Sequence[int]) is not None


class Made:
    """Takes a number that may be left out, and more."""

    def __init__(self, size: int, share: float = None, *rest: int, plain=0, **more: str) -> None:  # type: ignore[assignment]  # noqa: RUF013
        self.all = (size, share, rest, plain, more)


def test_check_arguments__names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"head\.size=big\n  allowed: a whole number\n  what to do: set head\.size"):
        check_arguments("head", {"size": "big"}, Made)


@pytest.mark.parametrize(
    "arguments",
    [{"size": 5}, {"share": None}, {"plain": "anything"}, {"unknown": 5}, {}],
    ids=["right", "the default", "not annotated", "not declared", "none"],
)
def test_check_arguments__leaves_the_rest_to_the_call(arguments: dict[str, Any]) -> None:
    check_arguments("head", arguments, Made)


def prosaic(size: "how large it is") -> None:  # type: ignore[valid-type]  # noqa: F722
    """Takes a size."""


@dataclass
class Unhashable:
    """Made to be called."""

    def __call__(self, size: int) -> None: ...


@pytest.mark.parametrize("target", [dict, prosaic], ids=["none", "prose"])
def test_check_arguments__of_what_has_no_kinds(target: Callable[..., Any]) -> None:
    check_arguments("head", {"size": "big"}, target)


def test_check_arguments__of_an_object_that_is_called() -> None:
    with pytest.raises(ConfigError, match=r"head\.size=big"):
        check_arguments("head", {"size": "big"}, Unhashable())
