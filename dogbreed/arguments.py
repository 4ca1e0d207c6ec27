"""What the commands' arguments may be, and which secrets they may not hold."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.streams import RED, styled

_TELLING = re.compile(
    r"secret|password|passphrase|passwd|credential|(api|private|access)_?key|(^|[_.-])token([_.-]|$)"
    r"|_(key|pat|pass|pwd)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(file|path|dir|url|uri)$", re.IGNORECASE)  # where one is, and not the secret itself
_IN_URL = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_LEAST = 8  # characters: shorter values stand in anything


_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A command's parser, whose errors name what is near to a mistyped option, command or choice."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does it."""
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Ends the command with exit code 2."""
        if wrong := _CHOICE.search(message):
            message += did_you_mean(wrong[1], re.findall(r"[^\s',]+", wrong[2]))
        known = {option for parser in self.every() for option in parser.options()}
        for word in [word.partition("=")[0] for word in self._given if word.startswith("--")]:
            if not any(option.startswith(word) for option in known):  # argparse takes an option cut short
                near = [option for option in known if did_you_mean(word[2:], [option[2:]])]  # dashes make all alike
                message += f"; there is no {word}{did_you_mean(word, near, limit=1)}"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {styled('error:', RED, sys.stderr)} {message}\n")

    def options(self) -> dict[str, argparse.Action]:
        """Each option as it is typed, with what it does."""
        return {option: action for action in self._actions for option in action.option_strings}

    def commands(self) -> dict[str, Parser]:
        """The parser of each command within this one, by its name."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
        }

    def every(self) -> Iterator[Parser]:
        """This one, and those of the commands within it."""
        yield self
        for parser in self.commands().values():
            yield from parser.every()


def positive(text: str) -> int:
    """A whole number above 0, for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def port(text: str) -> int:
    """A port to listen on, 0 for any free one, for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    value = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return value


def tells_of_a_secret(name: str) -> bool:
    """Whether a variable, a key or a tag of this name holds a secret.

    >>> [name for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "TOKENIZERS", "AWS_WEB_IDENTITY_TOKEN_FILE")
    ...     if tells_of_a_secret(name)]
    ['AWS_SECRET_ACCESS_KEY', 'HF_TOKEN']
    """
    return bool(_TELLING.search(name)) and not _PLACE.search(name)


def check_no_secret(overrides: Iterable[str], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse overrides that hold a secret of the environment: a config is written down, sent and shown.

    Raises:
        ConfigError: one of them does.
    """
    for line in overrides:
        for name, value in secrets_of(environment):
            if value in line:
                raise secret(f"{line.replace(value, '***').split('=')[0]} holds the value of ${name}")


def secrets_of(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name and value of each secret: by the name of its variable, or as the password in a URL."""
    for name, value in environment.items():
        found = [value] if tells_of_a_secret(name) else _IN_URL.findall(value)
        yield from ((name, one) for one in found if len(one) >= _LEAST)


def secret(got: str) -> ConfigError:
    """The error for a secret in a config."""
    return ConfigError(
        got,
        "no secret in a config: it is written to config.yaml, and becomes a job's hyperparameters",
        "leave it out; what needs it finds it in the environment, or in a job by the role or AWS Secrets Manager",
    )
