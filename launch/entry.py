"""`python -m launch.entry`: what runs inside the container. Reads the job, trains, keeps what came of it.

Nothing of this library is imported before `main` runs: an import that fails is a failure of the job too, and AWS's
toolkit starts this as a file, from which the library cannot be imported yet. The toolkit also gives it arguments, made
of the hyperparameters; the job's own files, which are read, have them unchanged.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from launch.container import Container

#: How long the training may take to stop. SageMaker ends all after 120 s, and what there is must be kept before that.
#: Source: StopTrainingJob in the API reference.
_GRACE_S = 75.0
#: How long the last lines may take to come through, once the process has ended.
_LAST_LINES_S = 10.0


class Child:
    """The process that trains, or torchrun with several. Signals that ask this one to stop are passed on.

    Args:
        grace_s: how long it may take to stop then, before it is killed.

    Attributes:
        signal: the last one that came; None for none.
    """

    def __init__(self, grace_s: float = _GRACE_S) -> None:
        self.signal: int | None = None
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._several = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self, arguments: list[str], environment: dict[str, str], output: deque[str], *, several: bool) -> int:
        """Its exit code; 128 + N where it ended by signal N, or failed after it was passed on.

        Args:
            arguments: behind `python`.
            environment: beside this process's own.
            output: gets its last lines. All of them go to stdout, as they are and as they come.
            several: whether it is torchrun.
        """
        self._several = several
        self._process = process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # one pipe keeps their order
            env={**os.environ, **environment},
        )
        if self.signal is not None:  # it came too early to be passed on
            self._pass_on(self.signal)
        reader = threading.Thread(target=_copy_lines, args=(process.stdout, output), daemon=True)
        reader.start()
        code = process.wait()
        reader.join(_LAST_LINES_S)  # a process that the training left behind may hold the pipe open for ever
        if self.signal is not None and code != 0:
            return 128 + self.signal
        return code if code >= 0 else 128 - code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            end = threading.Timer(self._grace_s, self._pass_on, (signal.SIGKILL,))
            end.daemon = True
            end.start()
        self.signal = number
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        """Send it to each process that trains, and to no other.

        torchrun would send it to the loaders of their pictures too, and their end is an error in the training.
        """
        import psutil

        if self._process is None:
            return
        training: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):  # it has ended
            training = psutil.Process(self._process.pid).children() if self._several else []
        for process in training or [self._process]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def main() -> int:
    """Run the job; the exit code. Why it failed stands in output/failure; one that was stopped has not failed."""
    from launch.failure import reason_of
    from launch.names import base_directory

    failure = base_directory(os.environ) / "output/failure"
    try:
        failure.unlink(missing_ok=True)
        return _run(Child(), failure)
    except Exception as error:
        from dogbreed.errors import DogbreedError

        if isinstance(error, DogbreedError):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        _write(failure, reason_of(error))
        return 1


def _run(child: Child, failure: Path) -> int:
    from launch.container import read_container
    from launch.failure import ENOUGH, find_reason

    container = read_container(os.environ)
    arguments = container.arguments()
    host = f" on {container.host} of {', '.join(container.hosts)}" if len(container.hosts) > 1 else ""
    _say(f"{container.job}{host}: {shlex.join(['python', *arguments])}")
    output: deque[str] = deque(maxlen=ENOUGH)
    code = child.run(arguments, container.environment(), output, several=container.is_shared)
    stopped = code != 0 and child.signal is not None
    if stopped:
        _say(f"stopped by {signal.Signals(code - 128).name}; it goes on from what is in {container.run_directory}")
    elif code != 0:
        _write(failure, find_reason(code, list(output)))
    try:
        _keep(container)
    except OSError as error:
        if code == 0:
            raise
        _say(f"what the run left could not be kept: {error}")  # how it ended counts for more
    return code


def _keep(container: Container) -> None:
    """Copy the artifact to model/, and the rest of the run's directory to output/data."""
    run, artifact = container.run_directory, container.artifact
    if not container.is_first_host:
        return
    if not run.is_dir():
        _say("the run left nothing to keep")
        return
    if artifact.is_dir():
        shutil.copytree(artifact, container.base / "model", dirs_exist_ok=True)

    def leave_out(folder: str, names: list[str]) -> list[str]:
        return [artifact.name] if Path(folder) == artifact.parent else []

    shutil.copytree(run, container.base / "output/data", ignore=leave_out, dirs_exist_ok=True)
    _say("kept the run" + (" and its artifact" if artifact.is_dir() else "; it has no artifact"))


def _copy_lines(source: IO[bytes], output: deque[str]) -> None:
    """Pass on each line as it comes, and remember it."""
    for line in source:
        output.append(line.decode("utf-8", "replace").rstrip("\r\n"))
        with suppress(BrokenPipeError):  # where nobody reads the log any more, the training goes on all the same
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def _write(failure: Path, reason: str) -> None:
    failure.parent.mkdir(parents=True, exist_ok=True)
    failure.write_text(reason, encoding="utf-8", errors="backslashreplace")


def _say(text: str) -> None:
    print(text, flush=True)


def _start_again() -> None:
    """Become `python -m launch.entry`, which imports from the folder above.

    As a file it would import from its own: there launch/requests.py is `requests`.
    """
    root = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "launch.entry"])


if __name__ == "__main__":
    if not __package__:
        _start_again()
    sys.exit(main())
