"""An endpoint made, step by step, each of which can be taken back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError
from dogbreed.serving.answer import Prediction
from launch.errors import LaunchError
from launch.files.model_package import Package
from launch.hosting.asking import ask_endpoint, ask_later
from launch.hosting.planning import Plan
from launch.hosting.requests import unscale_command
from launch.hosting.resources import CONFIG, ENDPOINT, MODEL, Hosting
from launch.hosting.undoing import Undo
from launch.hosting.waiting import remove_endpoint, wait_in_service
from launch.requests import Request

_PICTURE = "application/x-image"
_ANSWER_S = 300.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers.

    Attributes:
        name: of the endpoint.
        hosting: where it is.
        answers: s3://BUCKET/PREFIX of an asynchronous endpoint's answers; None for one that answers at once.
    """

    name: str
    hosting: Hosting
    answers: str | None = None

    def ask(self, picture: bytes | str | Path, **options: object) -> Prediction:
        """The prediction for a picture.

        Args:
            picture: a file's content, or its path.
            options: top_k, correct_breed, correct_index; see dogbreed.serving.answer.Wish.

        Raises:
            ConfigError: the picture cannot be read.
            LaunchError: AWS or the container refuses, or answers something else.
        """
        body = picture if isinstance(picture, bytes) else read_picture(Path(picture))
        if self.answers is None:
            content = ask_endpoint(self.hosting.runtime, self.name, body, _PICTURE, options)
        else:
            content = ask_later(
                self.hosting.runtime,
                self.hosting.store,
                self.name,
                body,
                _PICTURE,
                options,
                answers=self.answers,
                wait_s=_ANSWER_S,
            )
        try:
            return Prediction.from_dict(json.loads(content))
        except ValueError as error:
            raise LaunchError(
                f"{self.name} answers {content[:80]!r}", "a prediction of this library", "deploy an artifact there"
            ) from error


def read_picture(path: Path) -> bytes:
    """The content of a picture's file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "a picture's file", "correct its path") from error


def refuse_taken(hosting: Hosting, name: str) -> None:
    """Raises a ConfigError where there is an endpoint of this name."""
    found = hosting.describe(ENDPOINT, name)
    if found is not None:
        raise ConfigError(
            f"there is an endpoint {name} already, {found['EndpointStatus']}",
            "a name of its own",
            f"choose another; or python -m launch.update name={name} artifact=DIR; or python -m launch.delete {name}",
        )


def make_endpoint(hosting: Hosting, plan: Plan, package: Package, picture: bytes, undo: Undo, say: Say) -> Endpoint:
    """The endpoint of a plan, in service, which has answered once.

    Args:
        hosting: where.
        plan: what is made.
        package: the model's archive.
        picture: to try it with.
        undo: takes back what was made so far.
        say: prints a line.

    Raises:
        LaunchError: AWS refuses, the endpoint fails, or does not answer.
    """
    name, requests, settings = plan.deployment.name, plan.requests, plan.settings
    make_parts(hosting, plan, package, undo, say)
    undo.add(
        f"the endpoint {name}",
        lambda: remove_endpoint(hosting, name, settings.poll_s, undo.say, plan.deployment.token),
        f"aws sagemaker delete-endpoint --endpoint-name {name}",
    )
    hosting.create(ENDPOINT, requests.endpoint)
    say(f"made the endpoint {name}, which takes some minutes to start")
    wait_in_service(hosting, name, plan.deployment.part, settings, say)
    scale(hosting, plan, undo, say)
    endpoint = Endpoint(name, hosting, answers_of(requests.config))
    smoke_test(endpoint, picture, plan.deployment.artifact, say)
    return endpoint


def make_parts(hosting: Hosting, plan: Plan, package: Package, undo: Undo, say: Say) -> None:
    """The archive in S3, the model and the endpoint configuration of a plan."""
    uri, part = plan.model_uri, plan.deployment.part
    undo.add(uri, lambda: hosting.store.remove(uri), f"aws s3 rm {uri}")
    hosting.store.put(uri, package.path)
    say(f"sent {package.size / 1e6:,.1f} MB to {uri}")
    for kind, request, command in (
        (MODEL, plan.requests.model, f"aws sagemaker delete-model --model-name {part}"),
        (CONFIG, plan.requests.config, f"aws sagemaker delete-endpoint-config --endpoint-config-name {part}"),
    ):
        undo.add(f"the {kind.word} {part}", partial(hosting.delete, kind, part), command)
        hosting.create(kind, request)
        say(f"made the {kind.word} {part}")


def scale(hosting: Hosting, plan: Plan, undo: Undo, say: Say) -> None:
    """The autoscaling of a plan, where it has one."""
    target, policy = plan.requests.target, plan.requests.policy
    if target is None or policy is None:
        return
    name = plan.deployment.name
    undo.add(f"the autoscaling of {name}", lambda: hosting.unscale(name), unscale_command(name))
    hosting.scale(target, policy)
    say(f"autoscaling: {target['MinCapacity']} to {target['MaxCapacity']} instances")


def smoke_test(endpoint: Endpoint, picture: bytes, artifact: str, say: Say) -> None:
    """Ask once; raises a LaunchError where there is no answer, or another classifier's."""
    start = time.monotonic()
    answer = endpoint.ask(picture)
    took = time.monotonic() - start
    if answer.model != artifact:
        raise LaunchError(
            f"{endpoint.name} answers as {answer.model}", f"the artifact that was sent, {artifact}", "deploy it again"
        )
    say(f"it answers: {answer.breed}, {answer.probability:.0%}, after {took:.2f} s, by {answer.model}")


def answers_of(config: Request | dict[str, Any]) -> str | None:
    """Where an asynchronous endpoint answers; None for another kind."""
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
    return str(output["S3OutputPath"]) if output else None
