"""What a container does before the entry runs: start.sh, and the Dockerfile of one's own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "launch/Dockerfile").read_text()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of unpacked code with the real start.sh, whose entry tells its process."""
    (tmp_path / "launch").mkdir()
    shutil.copy(ROOT / "launch/start.sh", tmp_path / "launch")
    (tmp_path / "launch/__init__.py").touch()
    (tmp_path / "launch/entry.py").write_text("import os; print('entry', os.getpid())")
    return tmp_path


def start(code: Path, **environment: str) -> tuple[int, str, int]:
    """Exit code, output, and the number of the process that was started."""
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
    process = subprocess.Popen(
        ["bash", code / "launch/start.sh"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **own, "SAGEMAKER_BASE_DIR": str(code / "ml"), **environment},
    )
    output, _ = process.communicate()
    return process.returncode, output, process.pid


def test_start__becomes_the_entry_which_so_gets_the_signals(code: Path) -> None:
    ended, output, pid = start(code)
    assert ended == 0
    assert output == f"entry {pid}\n"


def test_start__installs_first(code: Path) -> None:
    (code / "requirements.txt").write_text("pip\n")
    ended, output, _ = start(code)
    assert ended == 0, output
    assert output.startswith("entry")


def test_start__install_that_fails_is_the_reason_of_the_failure(code: Path) -> None:
    (code / "requirements.txt").write_text("no-such-package==1\n")
    ended, output, _ = start(code)
    assert ended == 1
    assert "entry" not in output
    failure = (code / "ml/output/failure").read_text()
    assert failure.startswith("requirements.txt could not be installed\nERROR: ")
    assert "no-such-package" in failure


def test_start__installs_nothing_where_it_is_told_so(code: Path) -> None:
    (code / "requirements.txt").write_text("no-such-package==1\n")
    ended, output, _ = start(code, DOGBREED_INSTALL="no")
    assert ended == 0, output


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.M)


def sources() -> list[str]:
    """What the Dockerfile copies, from the root of the checkout."""
    return [source for line in instructions("COPY") for source in line.split()[:-1]]


def test_dockerfile__copies_what_is_there() -> None:
    assert sources()
    assert [source for source in sources() if not (ROOT / source).exists()] == []


def test_dockerfile__starts_the_entry() -> None:
    (entry,) = instructions("ENTRYPOINT")
    python, option, module = json.loads(entry)
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None


@pytest.mark.slow
def test_dockerfile__installs_from_what_it_copies(tmp_path: Path) -> None:
    for source in sources():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source)
        else:
            shutil.copy(ROOT / source, tmp_path)
    (line,) = instructions("RUN")
    _, install, *options = shlex.split(line)
    pip = [sys.executable, "-m", "pip", install, "--dry-run", "--quiet", *options]
    resolved = subprocess.run(pip, cwd=tmp_path, capture_output=True, text=True)
    assert resolved.returncode == 0, resolved.stderr
