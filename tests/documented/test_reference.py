"""The reference knows the commands within commands, by their parsers."""

from __future__ import annotations

import pytest

from docs_build.reference import commands, commands_within


@pytest.mark.parametrize(
    ("command", "within"),
    [
        ("launch.jobs", "cost"),
        ("launch.prices", "refresh"),
        ("launch.process", "interrupt"),
        ("dogbreed.data", "audit"),
        ("dogbreed.health", "replay"),
        ("dogbreed.features", "prune"),
    ],
)
def test_commands_within__are_those_of_the_parser(command: str, within: str) -> None:
    assert within in commands_within(command)


def test_commands_within__are_no_choices_of_options() -> None:
    simple = ["launch.endpoints", "launch.policy", "launch.train", "dogbreed.predict", "dogbreed.train"]
    assert set(simple) <= set(commands())
    assert [commands_within(command) for command in simple] == [[]] * len(simple)
