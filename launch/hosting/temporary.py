"""An endpoint for as long as a block of Python lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from launch.files.model_package import build_package
from launch.hosting.planning import plan_deployment
from launch.hosting.reading import conf_values
from launch.hosting.requests import MODEL_FILE
from launch.hosting.resources import Hosting
from launch.hosting.settings import REALTIME, EndpointSettings
from launch.hosting.steps import Endpoint, make_endpoint, refuse_taken
from launch.hosting.trial import trial_picture
from launch.hosting.undoing import undoing
from launch.settings import make_settings


@contextmanager
def endpoint(
    artifact: str | Path, name: str, *, kind: str = REALTIME, say: Callable[[str], None] = print, **settings: Any
) -> Iterator[Endpoint]:
    """An endpoint in service, which is deleted at the end, whatever ends the block: also Ctrl-C and SIGTERM.

    In another thread than the main one, Python lets nobody see signals: there the process has to end the block itself.

    Args:
        artifact: the directory that a training run wrote.
        name: of the endpoint.
        kind: "realtime", "serverless" or "asynchronous".
        say: prints a line of what is being done.
        settings: what is to be otherwise than in conf/sagemaker/endpoint/, such as instance_type="ml.c5.xlarge".

    Raises:
        ConfigError: a setting that cannot be, or a name that is taken.
        LaunchError: AWS refuses, the endpoint fails, or something could not be removed.
    """
    from launch.aws.session import make_session

    wanted = make_settings(EndpointSettings, conf_values(kind) | settings, "sagemaker")
    with tempfile.TemporaryDirectory() as folder:
        package = build_package(Path(artifact), Path(folder) / MODEL_FILE)
        plan = plan_deployment(name, package.model, wanted)
        plan.refuse()
        hosting = Hosting(make_session(plan.region))
        refuse_taken(hosting, name)
        picture = trial_picture(Path(artifact), None)
        with undoing(say, always=True) as undo:
            yield make_endpoint(hosting, plan, package, picture, undo, say)
