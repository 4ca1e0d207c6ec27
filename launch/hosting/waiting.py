"""Waiting for an endpoint: until it is in service, or gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from launch.errors import LaunchError
from launch.hosting.resources import ENDPOINT, Hosting
from launch.hosting.settings import EndpointSettings
from launch.views.polling import Polling
from launch.views.screen import Screen
from launch.views.telling import duration

_IN_SERVICE = "InService"
_FAILED = ("Failed", "OutOfService", "UpdateRollbackFailed")
#: An update may take so long to show in an endpoint's status.
_SHOWS_S = 60.0


def wait_in_service(
    hosting: Hosting, name: str, config: str, settings: EndpointSettings, say: Callable[[str], None]
) -> dict[str, Any]:
    """The endpoint's description, once it answers by this configuration.

    Raises:
        LaunchError: it has failed, was rolled back to another configuration, is gone, or takes longer than wait_s.
    """
    screen, polling = Screen(say), Polling(settings.poll_s, say)
    start, status, moved = time.monotonic(), "", False
    try:
        while True:
            found = polling.ask(lambda: hosting.describe(ENDPOINT, name))
            waited = time.monotonic() - start
            if found is None:
                raise LaunchError(f"the endpoint {name} is gone", "one that is left to start", "deploy it again")
            changed, status = found["EndpointStatus"] != status, found["EndpointStatus"]
            if changed:
                screen.line(f"{name}: {status}")
            if status == _IN_SERVICE and found["EndpointConfigName"] == config:
                return found
            if status in _FAILED or (status == _IN_SERVICE and (moved or waited > _SHOWS_S)):
                raise _failure(name, status, found.get("FailureReason"))
            moved = moved or status != _IN_SERVICE
            if waited > settings.wait_s:
                hint = "look at its log, or set a longer sagemaker.wait_s"
                raise LaunchError(f"{name} is {status} after {duration(waited)}", "an endpoint in service", hint)
            polling.wait(changed, partial(_show, screen, f"{name}: {status}", start))
    finally:
        screen.clear()


def remove_endpoint(
    hosting: Hosting, name: str, poll_s: float, say: Callable[[str], None], launch: str | None = None
) -> None:
    """Remove an endpoint and wait until it is gone; AWS removes none that it is still making.

    Args:
        hosting: where it is.
        name: of the endpoint.
        poll_s: between two looks.
        say: prints a line.
        launch: of the deployment that it has to be of; None for any.
    """
    if launch is not None and not hosting.is_of(ENDPOINT, name, launch):
        return
    told = False
    while not hosting.delete(ENDPOINT, name):
        if not told:
            say(f"AWS removes no endpoint while it makes or updates it: waiting for {name}, often some minutes")
        told = True
        time.sleep(poll_s)
    while hosting.describe(ENDPOINT, name) is not None:
        time.sleep(poll_s)


def settle(hosting: Hosting, name: str, poll_s: float) -> dict[str, Any] | None:
    """The description of an endpoint that AWS is neither making nor updating any more; None where there is none."""
    while True:
        found = hosting.describe(ENDPOINT, name)
        if found is None or found["EndpointStatus"] in (_IN_SERVICE, *_FAILED):
            return found
        time.sleep(poll_s)


def _show(screen: Screen, text: str, start: float) -> None:
    screen.show([f"{text}, {duration(time.monotonic() - start)}; some minutes are usual"])


def _failure(name: str, status: str, reason: object) -> LaunchError:
    got = f"{name}: {reason}" if reason else f"{name} is {status}"
    if status == _IN_SERVICE:
        got = f"{got}; AWS has taken it back to what it was"
    return LaunchError(
        got, "a container that answers /ping", f"look at its log: aws logs tail /aws/sagemaker/Endpoints/{name}"
    )
