"""Questions and answers as every way of asking gives them. No torch: who only asks needs none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean

#: Of a probability. Batches of another size move the seventh.
DIGITS = 6

_LONGEST_NAME = 1000  # of a breed; a folder's has 255 at most, and in millions of letters likeness is looked for long


@dataclass(frozen=True)
class Wish:
    """What may be asked about a picture.

    Attributes:
        top_k: how many candidates, 1 or more.
        correct_breed: the breed that it is said to show, as people write it or by its class name; compared with.
        correct_index: the same by its index.
    """

    top_k: int = 5
    correct_breed: str | None = None
    correct_index: int | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k}", "1 or more", "ask for at least one candidate")
        if self.correct_breed is not None and self.correct_index is not None:
            raise ConfigError("correct_breed and correct_index", "one of the two", "leave one out")

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Wish:
        """The wish that a query string or a JSON object holds.

        Raises:
            ConfigError: an option does not exist, or has a value of the wrong kind.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = did_you_mean(name[:80], known)
                raise ConfigError(f"the option {name[:80]!r}{near}", ", ".join(known), "leave it out")
        given = {name: value for name, value in options.items() if value is not None}
        breed = given.pop("correct_breed", None)
        if breed is not None and not (isinstance(breed, str) and len(breed) <= _LONGEST_NAME):
            raise ConfigError(f"correct_breed={breed!r:.80}", "a breed's name", "name it as a text")
        return cls(correct_breed=breed, **{name: _whole(name, value) for name, value in given.items()})


def _whole(name: str, value: Any) -> int:
    """A whole number of JSON, or of at most nine digits of a query string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    raise ConfigError(f"{name}={value!r:.80}", "a whole number", f"set {name}")


@dataclass(frozen=True)
class Candidate:
    """One class with its probability, in [0, 1]."""

    breed: str
    class_name: str
    index: int
    probability: float


@dataclass(frozen=True)
class LookAlike:
    """A class that the answer is often confused with.

    `share`, in [0, 1], is the mean probability that val's pictures of either class gave to the other.
    """

    breed: str
    class_name: str
    index: int
    share: float


@dataclass(frozen=True)
class Comparison:
    """How the class that was said to be correct fared.

    Attributes:
        breed: as people write it.
        class_name: its folder name in the training data.
        index: its position among the classes.
        probability: that it was given, in [0, 1].
        rank: its place among all classes by probability, 1 for the answer.
        right: whether it is the answer.
    """

    breed: str
    class_name: str
    index: int
    probability: float
    rank: int
    right: bool


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        breed: the most probable class as people write it.
        class_name: its folder name in the training data.
        index: its position among the classes.
        probability: calibrated, in [0, 1].
        top_k: the most probable classes, the answer first.
        unsure: whether answers this probable are right less often than was asked for when the model was trained.
        look_alikes: the classes that the answer is most often confused with.
        model: which classifier answered: its backbone and the start of its weights' checksum.
        correct: how the class that was asked about fared; None where none was.
    """

    breed: str
    class_name: str
    index: int
    probability: float
    top_k: tuple[Candidate, ...]
    unsure: bool
    look_alikes: tuple[LookAlike, ...]
    model: str
    correct: Comparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; without `correct` where nothing was compared."""
        content = {**asdict(self), "top_k": list(map(asdict, self.top_k))}
        content["look_alikes"] = list(map(asdict, self.look_alikes))
        if self.correct is None:
            del content["correct"]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Prediction:
        """The prediction that `to_dict` wrote.

        Raises:
            ValueError: the content is no prediction.
        """
        try:
            rest: dict[str, Any] = {**content}
            top_k = tuple(Candidate(**one) for one in rest.pop("top_k"))
            look_alikes = tuple(LookAlike(**one) for one in rest.pop("look_alikes"))
            correct = rest.pop("correct", None)
            compared = None if correct is None else Comparison(**correct)
            return cls(**rest, top_k=top_k, look_alikes=look_alikes, correct=compared)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no prediction: {error}") from error


def to_json(content: Any) -> str:
    """The one way in which answers become JSON: one line, non-ASCII letters as they are."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
