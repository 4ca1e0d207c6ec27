"""Environments of AWS's own packages, whose versions are others than ours."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest
from uv import find_uv_bin

#: What torch needs from the environment in front of it.
_SHARED = ("numpy", "scipy", "psutil")


def make_environment(folder: Path, *installations: list[str], shared: tuple[str, ...] = ()) -> Path:
    """The Python of a new environment in `folder`; what it lacks, torch and the like, is found behind it.

    Args:
        folder: where it is made.
        installations: what `pip install` is given, one after the other.
        shared: packages that the first takes in the versions that we have, beside numpy, scipy and psutil.

    Skips where there is no package index.
    """
    uv, environment = find_uv_bin(), folder / "venv"
    python = environment / "bin/python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    first, *others = installations
    ours = [f"{name}=={version(name)}" for name in (*_SHARED, *shared)]
    for wanted in ([*first, *ours], *others):
        made = subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, *wanted], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"cannot install {wanted[-1]}: {made.stderr.strip().splitlines()[0]}")
    inside = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    # A path alone: the editable installation of this library is not followed, only what is brought along counts.
    Path(inside.stdout.strip(), "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python
