"""What the commands' arguments may be, and which secrets they may not hold."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from dogbreed.errors import ConfigError

_TELLING = re.compile(
    r"secret|password|passphrase|passwd|credential|(api|private|access)_?key|(^|[_.-])token([_.-]|$)"
    r"|_(key|pat|pass|pwd)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(file|path|dir|url|uri)$", re.IGNORECASE)  # where one is, and not the secret itself
_IN_URL = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_LEAST = 8  # characters: shorter values stand in anything


def positive(text: str) -> int:
    """A whole number above 0, for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
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
