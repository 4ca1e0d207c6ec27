"""stdout and stderr: whether anybody reads them, and with which styles, and what is left in them when nobody does."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TextIO

#: Styles of a terminal, as ANSI codes.
BOLD, RED, YELLOW = "1", "31", "33"


def styled(text: str, style: str, stream: TextIO | None) -> str:
    """The text in a style where somebody looks at it and wants styles (no-color.org), else as it is."""
    return f"\033[{style}m{text}\033[0m" if style and takes_styles(stream) else text


def takes_styles(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that can show styles, and NO_COLOR does not forbid them."""
    looked_at = stream is not None and not stream.closed and stream.isatty()
    return looked_at and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_output_broken(error: Exception) -> bool:
    """Whether `error` says that stdout or stderr cannot be written: nobody reads the pipe, or its disk is full."""
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    if isinstance(error, BrokenPipeError):
        return any(_is_unread(stream) for stream in (sys.stdout, sys.stderr))
    return _is_stuck(sys.stdout)


def drop_unprinted() -> None:
    """Forget what cannot be written any more: Python would complain of it as it ends, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:  # closed
            pass


def _is_unread(stream: TextIO) -> bool:
    """Whether nobody reads a pipe any more: only this tells its error from that of a pipe to another process."""
    try:
        poll = select.poll()
        poll.register(stream, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll, or no file
        return False


def _is_stuck(stream: TextIO) -> bool:
    """Whether nothing can be printed any more."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return True
    except ValueError:  # closed
        return False
    return False
