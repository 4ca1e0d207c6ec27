"""The view of a running job: what it does and what it costs, until it ends or nobody looks any more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dogbreed.interrupts import ctrl_c
from launch.backends import Backend
from launch.connect import jobs_command
from launch.views.polling import Polling
from launch.views.screen import Screen
from launch.views.training_view import TrainingView
from launch.views.tuning_view import TuningView

Description = dict[str, Any]

_QUESTION = "detach (d), stop (s), or go on (Enter)? "


class Detached(SystemExit):
    """Nobody looks any more, and the job goes on: a command that waits for its end ends here, without its results.

    Args:
        name: of the job.
    """

    def __init__(self, name: str) -> None:
        super().__init__(130)  # what a shell gives to an interrupted command
        self.name = name


class _View(Protocol):
    """What is looked at until it ends."""

    def look(self) -> bool:
        """Tell what is new; whether there was anything."""

    def block(self) -> Sequence[str]:
        """What changes all the time, for a terminal."""

    def end(self) -> Description | None:
        """The last description; None while it goes on. Raises JobFailed where nothing came of it."""

    def stop(self) -> None:
        """Ask it to stop."""


def watch_training_job(
    backend: Backend,
    name: str,
    *,
    poll_s: float,
    price_per_hour: float | None,
    say: Callable[[str], None] = print,
    where: Sequence[str] = (),
) -> Description:
    """The last description of a job that has completed; tells meanwhile what it does.

    Args:
        backend: where it runs.
        name: of the job.
        poll_s: seconds between two looks; up to six times as long while nothing happens.
        price_per_hour: of an instance, in USD; None where it is not known or nothing is paid.
        say: prints a line.
        where: what `python -m launch.jobs` needs to find it again, see launch.connect.whereabouts.

    Raises:
        JobFailed: it has failed, or was stopped before its end.
        Detached: Ctrl-C, and the job goes on.
        LaunchError: there is no such job, or no answer for five minutes.
    """
    screen = Screen(say)
    polling = Polling(poll_s, screen.line)
    return _attend(TrainingView(backend, name, price_per_hour, polling, screen), name, polling, screen, where)


def watch_tuning_job(
    backend: Backend,
    name: str,
    *,
    poll_s: float,
    price_per_hour: float | None,
    say: Callable[[str], None] = print,
    where: Sequence[str] = (),
) -> Description:
    """The last description of a tuning job that has completed or was stopped; tells of its trials as they end.

    Args:
        backend: where it runs.
        name: of the tuning job.
        poll_s: as above.
        price_per_hour: as above.
        say: prints a line.
        where: as above.

    Raises:
        JobFailed: it has failed.
        Detached: Ctrl-C, and it goes on.
        LaunchError: there is no such tuning job, or no answer for five minutes.
    """
    screen = Screen(say)
    polling = Polling(poll_s, screen.line)
    return _attend(TuningView(backend, name, price_per_hour, polling, screen), name, polling, screen, where)


def _attend(view: _View, name: str, polling: Polling, screen: Screen, where: Sequence[str]) -> Description:
    wanted = ""
    while True:
        try:
            if wanted == "s":
                view.stop()
                screen.line(f"{name} was asked to stop, which takes it up to two minutes")
                wanted = ""
            return _follow(view, polling, screen)
        except KeyboardInterrupt:
            screen.clear()
            ctrl_c.forget()  # first, so that Ctrl-C at the question is an answer, too
            wanted = _ask()
        finally:
            screen.clear()
        if wanted == "d":
            commands = [("logs", "--follow"), ("stop",), ("fetch",)]
            lines = [jobs_command(command, name, where, *more) for command, *more in commands]
            screen.line("\n  ".join([f"{name} goes on. To look again, to stop it, to fetch its results:", *lines]))
            raise Detached(name)


def _follow(view: _View, polling: Polling, screen: Screen) -> Description:
    while True:
        changed = view.look()
        description = view.end()
        if description is not None:
            return description
        polling.wait(changed, lambda: screen.show(view.block()))


def _ask() -> str:
    """What a person who pressed Ctrl-C wants; "d" where there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "d"
    while True:
        try:
            answer = input(_QUESTION).strip().lower()
        except (EOFError, KeyboardInterrupt):
            print()
            return "d"
        if answer in ("", "d", "s"):
            return answer
