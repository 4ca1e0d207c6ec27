"""Asking again and again, politely: less often while nothing happens, and through an outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from launch.errors import LaunchError

T = TypeVar("T")

#: Without an answer, the view is given up after so long.
PATIENCE_S = 300.0
#: How much longer a wait gets when nothing has changed, and how much longer than the first it may become.
_GROWTH, _LONGEST = 1.5, 6.0
_TICK_S = 1.0


class Polling:
    """Asks questions, and waits between them.

    Args:
        poll_s: seconds between two rounds while things change; up to six times as long while nothing does.
        say: prints a line.
    """

    def __init__(self, poll_s: float, say: Callable[[str], None]) -> None:
        self._shortest = self._wait_s = poll_s
        self._say = say

    def ask(self, question: Callable[[], T]) -> T:
        """The answer to `question`, asked again through an outage, which is told once.

        Raises:
            LaunchError: there has been none for five minutes.
        """
        since: float | None = None
        while True:
            try:
                answer = question()
            except LaunchError as error:
                now = time.monotonic()
                if since is None:
                    since = now
                    self._say(f"no answer for the moment, asking again: {error.got}")
                elif now - since >= PATIENCE_S:
                    raise
                self.pause()
            else:
                if since is not None:
                    self._say(f"there is an answer again, after {time.monotonic() - since:.0f} s")
                return answer

    def pause(self) -> None:
        """Wait for the shortest time, for what is on its way."""
        time.sleep(self._shortest)

    def wait(self, changed: bool, tick: Callable[[], None]) -> None:
        """Wait until the next round, `tick` being called about every second.

        Args:
            changed: whether the round that has ended brought anything new.
            tick: what is to be done meanwhile.
        """
        self._wait_s = self._shortest if changed else min(self._wait_s * _GROWTH, self._shortest * _LONGEST)
        end = time.monotonic() + self._wait_s
        tick()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_S))
            tick()
