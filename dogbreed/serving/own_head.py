"""How an artifact is asked whose head is the user's own: by Python, for no command imports a class of theirs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def module_of_own_head(about: Mapping[str, Any]) -> str | None:
    """The module of the head's class, by an artifact's description; None of a head of ours, or where it is not told."""
    module = about.get("head_module")
    return module if isinstance(module, str) and module.split(".")[0] != "dogbreed" else None


def ask_in_python(module: str, artifact: str, picture: str) -> str:
    """What asks an artifact whose head is a class of this module.

    >>> print(ask_in_python("mine", "runs/a/artifact", "dog.jpg"))
    python -c 'import mine; from dogbreed import Predictor; print(Predictor.load("runs/a/artifact")("dog.jpg").breed)'
    """
    places = (json.dumps(text, ensure_ascii=False) for text in (artifact, picture))  # in ", as the shell's quotes are '
    ask = "print(Predictor.load({})({}).breed)".format(*places)
    return shlex.join(["python", "-c", f"import {module}; from dogbreed import Predictor; {ask}"])
