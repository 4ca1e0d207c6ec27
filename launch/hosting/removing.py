"""An endpoint removed with all that belongs to it, and nothing that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dogbreed.errors import did_you_mean
from launch.errors import LaunchError
from launch.hosting.requests import ENDPOINT_TAG, MODEL_FILE, OURS_TAG, part_stem, unscale_command
from launch.hosting.resources import CONFIG, ENDPOINT, MODEL, Hosting, Kind, arn_of
from launch.hosting.undoing import Undo, undoing
from launch.hosting.waiting import remove_endpoint

Say = Callable[[str], None]


def delete_endpoint(hosting: Hosting, name: str, say: Say, *, poll_s: float) -> None:
    """Remove an endpoint, its autoscaling, its configurations, models and their archives: all that was made here.

    What an interrupted deployment or update of this name has left goes with it.

    Raises:
        LaunchError: there is nothing of this name, it was made by others, or something cannot be removed.
    """
    found = hosting.describe(ENDPOINT, name)
    if found is not None and OURS_TAG not in hosting.tags(arn_of(ENDPOINT, found)):
        raise LaunchError(
            f"{name} was not made by launch.deploy",
            f"an endpoint with the tag {OURS_TAG}",
            f"remove it as it was made; or aws sagemaker delete-endpoint --endpoint-name {name}",
        )
    with undoing(say, always=True, word="removing") as undo:
        for kind in (MODEL, CONFIG):
            for part in parts_of(hosting, kind, name):
                plan_removal(hosting, kind, part, undo)
        if found is None and undo.is_empty:
            near = did_you_mean(name, hosting.names(ENDPOINT))
            raise LaunchError(
                f"there is no endpoint {name}{near}", "one that python -m launch.endpoints lists", "correct the name"
            )
        if found is not None:
            undo.add(
                f"the endpoint {name}",
                lambda: remove_endpoint(hosting, name, poll_s, undo.say),
                f"aws sagemaker delete-endpoint --endpoint-name {name}",
            )
            if hosting.scaling(name) is not None:
                undo.add(f"the autoscaling of {name}", lambda: hosting.unscale(name), unscale_command(name))


def plan_removal(hosting: Hosting, kind: Kind, part: str, undo: Undo) -> None:
    """Have a model with its archive, or an endpoint configuration, removed at the end."""
    word = kind.call.replace("_", "-")
    if kind is MODEL:
        archive = own_archive(hosting.describe(MODEL, part) or {})
        if archive is not None:
            undo.add(archive, lambda: hosting.store.remove(archive), f"aws s3 rm {archive}")
    undo.add(
        f"the {kind.word} {part}",
        lambda: hosting.delete(kind, part),
        f"aws sagemaker delete-{word} --{'model' if kind is MODEL else word}-name {part}",
    )


def parts_of(hosting: Hosting, kind: Kind, name: str) -> list[str]:
    """The names of the models or configurations that were made for an endpoint, by their tags, the oldest first."""
    found = []
    for part in reversed(hosting.names(kind, part_stem(name))):
        description = hosting.describe(kind, part)
        if description is not None and is_made_for(hosting, kind, description, name):
            found.append(part)
    return found


def is_made_for(hosting: Hosting, kind: Kind, description: dict[str, Any], name: str) -> bool:
    """Whether a model or configuration was made here for this endpoint, by its tags."""
    tags = hosting.tags(arn_of(kind, description))
    return OURS_TAG in tags and tags.get(ENDPOINT_TAG) == name


def own_archive(model: dict[str, Any]) -> str | None:
    """Where a model's archive is, if it was sent for this model alone."""
    uri = str(model.get("PrimaryContainer", {}).get("ModelDataUrl", ""))
    return uri if uri.endswith(f"/models/{model.get('ModelName')}/{MODEL_FILE}") else None
