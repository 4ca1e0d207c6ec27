"""What the tests of the documentation share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented.interpreter import quick_python


@pytest.fixture(scope="session")
def python() -> Iterator[Path]:
    """A folder with a `python` that starts at once."""
    with quick_python() as folder:
        yield folder
