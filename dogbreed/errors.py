"""The errors that a user meets: what was got, what is allowed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DogbreedError(Exception):
    """A mistake that the user can mend; never a defect of the library.

    Args:
        got: what was found, with the path, key or value that shows it.
        allowed: what would have been right.
        hint: what to do next, as a command or a setting where there is one.
    """

    def __init__(self, got: str, allowed: str, hint: str) -> None:
        super().__init__(got, allowed, hint)
        self.got = got
        self.allowed = allowed
        self.hint = hint

    def __str__(self) -> str:
        return legible_lines(f"{self.got}\n  allowed: {self.allowed}\n  what to do: {self.hint}")


class ConfigError(DogbreedError):
    """A setting, an override or an argument that cannot work."""


class DataError(DogbreedError):
    """A data set directory that cannot be used."""


class ImageError(DogbreedError):
    """A picture that cannot be decoded, or must not be."""


class TooLargeError(ImageError):
    """A picture that would take too much memory, or too long, to decode."""


class WeightsError(DogbreedError):
    """Weights that are missing or do not fit the backbone."""


class ArtifactError(DogbreedError):
    """An artifact directory that is missing, damaged or of another version."""


class CheckpointError(DogbreedError):
    """A checkpoint that is missing, damaged or belongs to another run."""


class FrozenError(DogbreedError):
    """A parameter or buffer of a frozen backbone has changed."""


class HealthError(DogbreedError):
    """A rule that was asked to end the run found what it looks for."""


class OutputError(DogbreedError):
    """A file or folder that cannot be written, or is closed to this user."""


class WorkerError(DogbreedError):
    """A process that worked for this one ended before its work."""


class RequestError(DogbreedError):
    """A request over HTTP that is not answered.

    Args:
        status: of the HTTP answer: 400, 404, 405, 408, 413, 415 or 503.
        got: as in every error.
        allowed: as in every error.
        hint: as in every error.
    """

    def __init__(self, status: int, got: str, allowed: str, hint: str) -> None:
        super().__init__(got, allowed, hint)
        self.status = status


#: Parts of words and of emoji, and the space of Chinese and Japanese, that Python does not count as printable.
_JOINING = "\u200c\u200d\u3000"


def legible(text: str) -> str:
    r"""The text on one line, with whatever cannot be seen written out: line ends, what steers a terminal, other bytes.

    Names of files and classes come from elsewhere, and may hold any of it.

    >>> print(legible("a\nb\x1b[31m.jpg"), legible("caf\udce9.jpg"), legible("café 犬.jpg"))
    a\nb\x1b[31m.jpg caf\xe9.jpg café 犬.jpg
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in _JOINING else _escaped(c) for c in text)


def legible_lines(text: str) -> str:
    """The same of a text of several lines, which it keeps."""
    return "\n".join(map(legible, text.split("\n")))


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python writes a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """A suggestion of the known names nearest to `name`, or the empty string.

    >>> did_you_mean("resnet81", ["resnet18", "resnet50", "vgg11"])
    ' (did you mean resnet18, resnet50?)'
    >>> did_you_mean("zebra", ["resnet18"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=limit, cutoff=0.6)
    return f" (did you mean {', '.join(near)}?)" if near else ""
