"""Why a job failed, in what AWS keeps of it: the first 1,024 characters of output/failure. Pure."""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dogbreed.errors import DogbreedError

#: Characters that become the job's FailureReason. Source: "How Amazon SageMaker AI Processes Training Output" in AWS's
#: developer guide.
LONGEST = 1024
#: Lines of an output that are enough to find the reason in: a traceback of every process, and what is said behind it.
ENOUGH = 2000

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?')
#: What PyTorch puts before each line of an uncaught exception where several processes train.
_RANK = re.compile(r"\[rank(\d+)\]: ?")
#: torchrun's own exceptions say only that one of its processes failed,
_TORCHRUN = "torch.distributed.elastic."
#: and its table by which signal, where it was one.
_SIGNALLED = re.compile(r"Signal (\d+) \(SIG[A-Z]+\) received by PID")


class _Error(NamedTuple):
    """An error that an output tells.

    Attributes:
        line: the number of the line that it begins at.
        message: of one or more lines.
        place: where it was raised; empty for a user's mistake.
    """

    line: int
    message: str
    place: str = ""


def find_reason(code: int, output: Sequence[str]) -> str:
    """Why a process failed, at most 1,024 characters, the most telling first.

    That is the last error that it told: a user's mistake, or an exception and the place where it was raised. Where
    several processes trained, it is that of the first which had one: the others' follow from it.

    Args:
        code: the exit code, 128 + N for signal N.
        output: the last lines that it printed.

    >>> raised = ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "    g()", "KeyError: 1"]
    >>> print(find_reason(1, ["epoch=0", *raised]))
    KeyError: 1
    at a.py:3 in f
    >>> find_reason(137, ["epoch=0"])
    'ended by SIGKILL, as the system does where memory is used up; the last line: epoch=0'
    """
    several = any(_RANK.match(line) for line in output)
    ends = [list(_mistakes(output))[-1:], list(_exceptions(_of_first_rank(output) if several else output))[-1:]]
    errors = sorted(error for found in ends for error in found)
    if errors and code != 128 + signal.SIGKILL:  # which nothing that was printed before can explain
        return _tell(errors[0 if several else -1])
    signalled = next((found for line in output if (found := _SIGNALLED.search(line))), None)
    what = _describe(128 + int(signalled[1]) if signalled else code)
    last = next((line.strip() for line in reversed(output) if line.strip()), "")
    return shorten(f"{what}; the last line: {last}" if last and not signalled else what)


def reason_of(error: Exception) -> str:
    """The same of an exception that was raised here."""
    if isinstance(error, DogbreedError):
        return shorten(f"error: {error}")
    return find_reason(1, "".join(traceback.format_exception(error)).splitlines())


def shorten(text: str, most: int = LONGEST) -> str:
    """The beginning of `text`, with dots where something is left out.

    >>> shorten("a long story", 8)
    'a lon...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."


def _tell(error: _Error) -> str:
    place = shorten(f"\nat {error.place}", LONGEST // 2) if error.place else ""
    return shorten(error.message, LONGEST - len(place)) + place


def _mistakes(output: Sequence[str]) -> Iterator[_Error]:
    """Users' mistakes, as dogbreed.app.fail tells them: `error: ...`, and lines that are indented."""
    for start, line in enumerate(output):
        if line.startswith("error: "):
            end = start + 1
            while end < len(output) and output[end].startswith("  "):
                end += 1
            yield _Error(start, "\n".join(output[start:end]))


def _of_first_rank(output: Sequence[str]) -> list[str]:
    """The lines of that process alone which was the first to have an exception; the others are empty."""
    ranks = [found[1] if (found := _RANK.match(line)) else None for line in output]
    first = next(rank for rank in ranks if rank is not None)
    return [_RANK.sub("", line, count=1) if rank == first else "" for rank, line in zip(ranks, output, strict=True)]


def _exceptions(output: Sequence[str]) -> Iterator[_Error]:
    """Exceptions with a traceback as Python prints it; without torchrun's own, and those that are cut off."""
    for start, line in enumerate(output):
        if line == _TRACEBACK:
            error = _exception(output, start)
            if error is not None and not error.message.startswith(_TORCHRUN):
                yield error


def _exception(output: Sequence[str], start: int) -> _Error | None:
    place = ""
    for number, line in enumerate(output[start + 1 :], start + 1):
        if found := _FRAME.fullmatch(line):
            place = f"{found['file']}:{found['line']}" + (f" in {found['function']}" if found["function"] else "")
        elif line and not line.startswith(" "):
            return _Error(start, "\n".join(_message(output[number:])), place)
    return None


def _message(lines: Sequence[str]) -> Iterator[str]:
    """The lines of an exception's message: up to an empty one, or the next error."""
    yield lines[0]
    for line in lines[1:]:
        if not line.strip() or line.startswith((_TRACEBACK, "Exception ignored", "error: ")):
            return
        yield line


def _describe(code: int) -> str:
    """An exit code in words."""
    if code == 128 + signal.SIGKILL:
        return "ended by SIGKILL, as the system does where memory is used up"
    if code - 128 in set(signal.Signals):
        return f"ended by {signal.Signals(code - 128).name}"
    return f"exit code {code}"
