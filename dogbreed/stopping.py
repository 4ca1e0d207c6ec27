"""The end of a run before its time: what goes on from there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.commands import explain, tell
from dogbreed.errors import OutputError, WorkerError
from dogbreed.files import from_here
from dogbreed.interrupts import ctrl_c
from dogbreed.runs import command, is_first_process
from dogbreed.streams import is_output_broken
from dogbreed.training.interruption import LAST


class Stopped(SystemExit):
    """A signal came, and what was under way has ended in order.

    Args:
        where: it was then, for the line that says so.
    """

    def __init__(self, where: str = "") -> None:
        self.number = signal.SIGINT if ctrl_c.came else signal.SIGTERM
        super().__init__(128 + self.number)
        self.where = where


@contextmanager
def continuable(config: DictConfig, overrides: list[str]) -> Iterator[None]:
    """Say how a run of dogbreed.train goes on that a signal ends, or the machine: a full disk, a dead worker.

    A trial of a sweep is left to the sweep, which says how all of it goes on.

    Raises:
        Stopped: a signal came.
    """
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        yield
        return
    kept = [entry for entry in overrides if not entry.startswith(("resume=", "hydra.run.dir="))]
    directory = Path(config.paths.output_dir)
    again = command("dogbreed.train", kept, f"hydra.run.dir={from_here(directory)}", "resume=true")
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        stopped = _stopped(error)
        if stopped is None:
            raise
        if is_first_process():
            tell(f"stopped by {stopped.number.name}{stopped.where}; continue with:\n  {again}")
        raise stopped from None
    except Exception as error:
        if is_output_broken(error):
            raise
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(directory)  # where all is that a run writes
        mistake = explain(error)
        by_machine = mistake is not error or isinstance(error, OutputError | WorkerError)
        if mistake is None or not by_machine or not (Path(config.paths.checkpoints) / LAST).exists():
            raise
        raise type(mistake)(mistake.got, mistake.allowed, f"{mistake.hint}; continue with: {again}") from error


def _stopped(error: BaseException) -> Stopped | None:
    """The stop that `error` stands for; None for another end."""
    if isinstance(error, Stopped):
        return error
    if isinstance(error, KeyboardInterrupt | SIGTERMException):
        return Stopped()
    # So Lightning answers a Ctrl-C before it listens to SIGTERM.
    return Stopped() if isinstance(error, SystemExit) and error.code == 1 and ctrl_c.came else None
