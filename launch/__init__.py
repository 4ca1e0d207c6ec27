"""Sends the same configs elsewhere: to SageMaker, or to a process on this machine laid out as its container is.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dogbreed.interrupts import ctrl_c

if TYPE_CHECKING:
    from launch.hosting.temporary import endpoint

__all__ = ["endpoint"]

ctrl_c.hear_early(__name__)


def __getattr__(name: str) -> Any:
    if name != "endpoint":
        raise AttributeError(f"module 'launch' has no attribute {name!r}")
    return importlib.import_module("launch.hosting.temporary").endpoint
