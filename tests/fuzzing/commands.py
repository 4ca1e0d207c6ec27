"""How a command ends that is run in this process."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from tests.fuzzing.case import wrong

_CLEAR = re.compile(r"(?s).*error: .+\n {2}allowed: .+\n {2}what to do: .+\n")


def ends(main: Callable[[], Any]) -> str:
    """ "right" where it ends well, "refused" where it ends with one clear error; else Wrong, or what it raises."""
    out, err = io.StringIO(), io.StringIO()
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main() or 0
    except SystemExit as end:
        code = end.code or 0
    finally:  # Hydra leaves a handler on a stream that is gone now
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    said = err.getvalue()
    if "Traceback" in said:
        wrong("a traceback is shown", said)
    if code == 0:
        return "right"
    if code == 2 and "usage:" in said:
        return "refused"
    # A dry run tells on stdout what a job would be refused for.
    if code == 1 and "\nproblem: " in out.getvalue():
        return "refused"
    if code != 1 or not _CLEAR.fullmatch(said):
        wrong("no clear error", f"{code}: {said or out.getvalue()}")
    return "refused"
