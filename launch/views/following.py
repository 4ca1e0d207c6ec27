"""What a job prints, as it prints it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from launch.backends import Backend
from launch.files.fetching import ENDED, timed
from launch.views.polling import Polling
from launch.views.telling import unknown


def follow_log(backend: Backend, name: str, *, to_the_end: bool, poll_s: float, aside: Callable[[str], None]) -> None:
    """Print each line of a training job with its time: what there is, or also what comes until the job ends.

    Args:
        backend: where it runs.
        name: of the job.
        to_the_end: whether to wait for more.
        poll_s: seconds between two looks.
        aside: says what is no line of the log, such as its statuses.

    Raises:
        LaunchError: there is no such job, or no answer for five minutes.
    """
    polling = Polling(poll_s, aside)
    position, told = None, ""
    while True:
        description = polling.ask(lambda: backend.describe_training_job(name))
        if description is None:
            raise unknown("training job", name)
        over = description["TrainingJobStatus"] in ENDED
        if to_the_end and description["SecondaryStatus"] != told:
            if over and told:
                polling.pause()  # its last lines may be on their way
            told = description["SecondaryStatus"]
            aside(f"{name}: {told}")
        position, changed = _print_lines(backend, name, position, polling)
        if over or not to_the_end:
            return
        polling.wait(changed, lambda: None)


def _print_lines(backend: Backend, name: str, position: str | None, polling: Polling) -> tuple[str | None, bool]:
    """Print what the log has since `position`; the next one, and whether there was anything."""
    changed = False
    while True:
        lines, position = polling.ask(partial(backend.log_lines, name, position))
        if not lines:
            return position, changed
        changed = True
        for line in lines:
            print(*timed(line), sep="\n", flush=True)
