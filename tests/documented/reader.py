"""Follows a page from top to bottom, as its reader would, in a fresh folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.documented.pages import Page, differs
from tests.documented.substitutions import PORT, as_run, as_script, filled_in, lay_out, runs_elsewhere

#: Seconds until a command in the background has said its first word.
_PATIENCE_S = 120

#: What a page has its reader say, and therefore says.
_SAID = ("DOGBREED_ROLE", "AWS_REGION", "AWS_DEFAULT_REGION")

_OPENING = f"""
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
began() {{ for _ in $(seq {10 * _PATIENCE_S}); do [ -s "$1" ] && return 0; sleep 0.1; done; return 1; }}
"""


class Misled(AssertionError):
    """A reader of the page would not get what it says."""


def follow(page: Page, folder: Path, python: Path) -> list[tuple[str, str]]:
    """Every command of the page with what it said, stdout and stderr in the order of a terminal.

    Args:
        page: to follow.
        folder: an empty one, in which everything happens.
        python: a folder with the `python` to use.

    Raises:
        Misled: a command failed, or said something else than the page shows; the first that did.
    """
    place, logs = folder / "place", folder / "logs"
    place.mkdir()
    logs.mkdir()
    with ExitStack() as until_the_end:
        environment = _environment(python, folder)
        texts = [step.command or step.script for step in page.steps]
        lay_out(place, texts, lambda command: _make(command, place, environment))
        if any("python -m launch." in text or "from launch" in text for text in texts):
            environment |= until_the_end.enter_context(_aws(folder))
            environment = {name: value for name, value in environment.items() if name not in _SAID}
        script, logged = _as_script(page, place, logs)
        ended = subprocess.run(["bash", "-c", script], cwd=place, env=environment, stdin=subprocess.DEVNULL)
    said = {line: log.read_text() for line, _, log in logged if log.exists()}
    if ended.returncode:
        line, what, _ = logged[len(said) - 1]
        raise Misled(f"{page.name}:{line}: exit code {ended.returncode} of\n  {what}\n{said[line]}")
    for step in page.steps:
        fence = "\n".join(said.get(other.line, "").rstrip("\n") for other in page.steps if other.fence == step.fence)
        if wrong := differs(filled_in(step.output), fence):
            raise Misled(f"{page.name}:{step.line}: where the page shows\n  {wrong}\nit says\n{fence}")
    return [(what, said[line]) for line, what, _ in logged]


def _as_script(page: Page, place: Path, logs: Path) -> tuple[str, list[tuple[int, str, Path]]]:
    """What bash is to run, with the line, the words and the log of each command; the first that fails ends it."""
    port, script, logged = _free_port(), _OPENING, []
    for step in page.steps:
        log = logs / f"{step.line:04d}"
        if step.file:
            saved = log.with_suffix(".saved")
            saved.write_text(filled_in(step.text))
            script += f'mkdir -p "$(dirname {step.file})" && cp {saved} {step.file}\n'
            continue
        if step.script:  # it stands in the page's folder, whose modules it may import
            (place / f".line_{step.line}.py").write_text(as_script(step.script).replace(PORT, str(port)))
            command = f"python {place}/.line_{step.line}.py"
        elif runs_elsewhere(step.command):
            continue
        else:
            command = as_run(step.command, port)
        wait = f"began {log}\n" if command.endswith("&") else ""
        script += f"exec >{log} 2>&1\n{command}\n{wait}code=$?; [ $code = 0 ] || exit $code\n"
        logged.append((step.line, step.command or f"the script in line {step.line}", log))
    return script, logged


def _environment(python: Path, folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(python), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DOGBREED_"))}
    return {**kept, "PATH": path, "DOGBREED_FEATURES": str(folder / "features"), "HF_HUB_OFFLINE": "1"}


def _make(command: str, place: Path, environment: dict[str, str]) -> None:
    made = subprocess.run(["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, f"{command}\n{made.stderr}"


@contextmanager
def _aws(folder: Path) -> Iterator[dict[str, str]]:
    import boto3

    from launch.standin import stand_in

    with stand_in(folder / "aws") as environment:
        where, keys = environment["AWS_ENDPOINT_URL"], {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        store = boto3.Session(region_name="us-east-1", **keys).resource("s3", endpoint_url=where)
        bucket = store.Bucket(filled_in("sagemaker-us-east-1-ACCOUNT"))
        bucket.create()  # as the page on IAM has its reader do
        try:
            yield environment
        finally:  # for the next page of this process: moto knows a bucket's name in all its servers
            bucket.objects.delete()
            bucket.delete()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
