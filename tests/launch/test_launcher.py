"""Hydra's own tests of a launcher, on the process backend.

Of LauncherTestSuite one test is left out: test_sweep_with_custom_resolver returns the value of a function that exists
in the test's own process only, by a resolver registered there; a job elsewhere has neither. Where the other tests name
a function of their own, the jobs run the module that they name beside it, which can be imported elsewhere.
IntegrationTestSuite is left out: it writes scripts into a folder, and a job runs modules that travel with the code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.test_utils.launcher_common_tests import LauncherTestSuite

pytestmark = pytest.mark.slow

_REHEARSED = ["hydra.searchpath=[pkg://dogbreed.conf]", "hydra.launcher.backend=process", "hydra.launcher.poll_s=0.2"]
_MODULE = "hydra.launcher.module=hydra.test_utils.a_module"


@pytest.fixture(autouse=True)
def jobs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path / "jobs"))


@pytest.mark.parametrize(("launcher_name", "overrides"), [("sagemaker", [*_REHEARSED, _MODULE])])
class TestSageMakerLauncher(LauncherTestSuite):
    """The suite, less what cannot be."""

    test_sweep_with_custom_resolver: Any = None
