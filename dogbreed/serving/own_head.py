"""How an artifact is asked whose head is the user's own: by Python, for no command imports a class of theirs."""

from __future__ import annotations

import json
import keyword
import shlex

#: Where the heads are that every command knows.
HEADS = "dogbreed.models.heads"

#: The module of a class that a notebook or a script defines; nothing can import it from there.
_NOWHERE = ("__main__", "__mp_main__")
_PLACEHOLDER = "YOUR_MODULE"


def module_of_own_head(module: object) -> str | None:
    """The module of a head of the user's own, as a command may name it; None of our heads, and of what names no module.

    >>> module_of_own_head("mine.heads"), module_of_own_head(HEADS), module_of_own_head("os; import evil")
    ('mine.heads', None, None)
    >>> module_of_own_head("__main__")  # to be replaced by where the class is put
    'YOUR_MODULE'
    """
    if not isinstance(module, str) or module == HEADS:
        return None
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split(".")):
        return None  # an artifact may come from anybody
    return _PLACEHOLDER if module in _NOWHERE else module


def ask_in_python(module: str, artifact: str, picture: str) -> str:
    """What asks an artifact whose head is a class of this module.

    >>> print(ask_in_python("mine", "runs/a/artifact", "dog.jpg"))
    python -c 'import mine; from dogbreed import Predictor; print(Predictor.load("runs/a/artifact")("dog.jpg").breed)'
    """
    places = (json.dumps(text, ensure_ascii=False) for text in (artifact, picture))  # in ", as the shell's quotes are '
    ask = "print(Predictor.load({})({}).breed)".format(*places)
    return shlex.join(["python", "-c", f"import {module}; from dogbreed import Predictor; {ask}"])
