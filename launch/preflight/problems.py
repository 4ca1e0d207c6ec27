"""What is found wrong with a request, and what must be known beside the request to find it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dogbreed.errors import ConfigError


class Problem(NamedTuple):
    """Something in a request that AWS, the container or the user's purse will not take.

    Attributes:
        where: path in the request, such as ResourceConfig.InstanceType, or a setting, such as data.batch_size.
        got: what stands there; never a text that may be a secret.
        allowed: what would be right.
        hint: what to do, by the setting to change.
        fatal: whether the job must not be sent; otherwise it is worth a look.
    """

    where: str
    got: str
    allowed: str
    hint: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.got}\n  allowed: {self.allowed}\n  what to do: {self.hint}"


@dataclass(frozen=True)
class Context:
    """What a request alone does not say; None is not known, and its checks are left out.

    Attributes:
        precision: as in trainer.precision, such as "16-mixed".
        batch_size: pictures in a step of one process.
        devices: processes that each host starts.
        accelerator: as in trainer.accelerator.
        monitor: the metric that chooses the best epoch.
        log_lines: lines as the library's logger prints them.
        tensor_names: the names of the model's tensors, as smdebug saves them.
        hook: the collections of the config's hook: name -> its regular expressions; None for no hook.
        pictures_bytes: what the channel `data` holds.
    """

    precision: str | None = None
    batch_size: int | None = None
    devices: int | None = None
    accelerator: str | None = None
    monitor: str | None = None
    log_lines: Sequence[str] | None = None
    tensor_names: Sequence[str] | None = None
    hook: Mapping[str, Sequence[str]] | None = None
    pictures_bytes: int | None = None


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """The fatal ones first, then by where they are; none twice.

    >>> [each.where for each in ordered([Problem("b", "", "", ""), Problem("a", "", "", "", False)])]
    ['b', 'a']
    """
    return sorted(dict.fromkeys(problems), key=lambda problem: (not problem.fatal, problem.where))


def told(problems: Sequence[Problem]) -> list[str]:
    """Lines that tell them, or that there are none."""
    if not problems:
        return ["nothing is wrong with it"]
    return [f"{'problem' if problem.fatal else 'note'}: {problem}" for problem in problems]


def refuse(problems: Iterable[Problem]) -> None:
    """Raise a ConfigError with all that is fatal."""
    fatal = [problem for problem in problems if problem.fatal]
    if len(fatal) == 1:
        (problem,) = fatal
        raise ConfigError(f"{problem.where}: {problem.got}", problem.allowed, problem.hint)
    if fatal:
        told = "\n".join(f"  {problem.where}: {problem.got} (allowed: {problem.allowed})" for problem in fatal)
        hints = "; ".join(dict.fromkeys(problem.hint for problem in fatal))
        raise ConfigError(f"{len(fatal)} problems:\n{told}", "none", hints)
