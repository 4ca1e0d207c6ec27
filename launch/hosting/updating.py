"""An endpoint that goes over to another artifact or to other settings, and answers meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from launch.errors import LaunchError
from launch.files.model_package import Package
from launch.hosting.planning import Plan
from launch.hosting.reading import kind_of, settings_of
from launch.hosting.removing import is_made_for, plan_removal
from launch.hosting.requests import OURS_TAG, build_tags
from launch.hosting.resources import CONFIG, ENDPOINT, MODEL, Hosting, arn_of
from launch.hosting.settings import EndpointSettings
from launch.hosting.steps import Endpoint, answers_of, make_parts, scale, smoke_test
from launch.hosting.undoing import Undo, undoing
from launch.hosting.waiting import settle, wait_in_service
from launch.settings import make_settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Present:
    """An endpoint as it is.

    Attributes:
        name: of the endpoint.
        arn: what its tags are asked for by.
        config: DescribeEndpointConfig of its configuration.
        model: DescribeModel of its model.
        tags: of the endpoint.
        scaling: the requests that set up its autoscaling; None for none.
        instances: how many it has by now; None where that is not said.
    """

    name: str
    arn: str
    config: dict[str, Any]
    model: dict[str, Any]
    tags: dict[str, str]
    scaling: tuple[dict[str, Any], dict[str, Any]] | None
    instances: int | None = None

    def settings(self, given: Mapping[str, Any]) -> EndpointSettings:
        """What it was asked to be, but for what is given now; variables and tags are added to those that it has.

        Raises:
            ConfigError: a setting that cannot be, or another kind of endpoint.
        """
        kind = kind_of(self.config)
        if given.get("kind", kind) != kind:
            raise ConfigError(
                f"{self.name} is {kind}, not {given['kind']}",
                "an update to the same kind",
                "deploy another endpoint, and delete this one",
            )
        values = settings_of(self.model, self.config, self.tags, self.scaling)
        if "image" not in given and "pytorch_version" in given:
            values["image"] = None  # AWS's of that version
        for name in ("environment", "tags"):
            if isinstance(given.get(name), Mapping):
                values[name] |= given[name]
        if self.scaling is not None and self.instances is not None:  # those that its traffic wants, not the first ones
            least, most = (given.get(name, values[name]) for name in ("min_count", "max_count"))
            values["instance_count"] = max(least, min(self.instances, most)) if most else self.instances
        rest = {name: value for name, value in given.items() if name not in ("environment", "tags")}
        return make_settings(EndpointSettings, values | rest, "sagemaker")


def look_up(hosting: Hosting, name: str) -> Present:
    """The endpoint as it is.

    Raises:
        LaunchError: there is none, it is being changed, or it was made by others.
    """
    found = hosting.describe(ENDPOINT, name)
    if found is None:
        near = did_you_mean(name, hosting.names(ENDPOINT))
        raise LaunchError(
            f"there is no endpoint {name}{near}", "one that python -m launch.endpoints lists", "deploy it"
        )
    if found["EndpointStatus"] != "InService":
        raise LaunchError(f"{name} is {found['EndpointStatus']}", "an endpoint in service", "wait until it is")
    arn = arn_of(ENDPOINT, found)
    tags = hosting.tags(arn)
    config = hosting.describe(CONFIG, found["EndpointConfigName"])
    variants = [] if config is None else config["ProductionVariants"]
    model = hosting.describe(MODEL, variants[0].get("ModelName", "")) if len(variants) == 1 else None
    if OURS_TAG not in tags or config is None or model is None:
        raise LaunchError(
            f"{name} was not made by launch.deploy", f"an endpoint with the tag {OURS_TAG}", "update it as it was made"
        )
    instances = found["ProductionVariants"][0].get("DesiredInstanceCount")
    return Present(name, arn, config, model, tags, hosting.scaling(name), instances)


def update_endpoint(
    hosting: Hosting, present: Present, plan: Plan, package: Package, picture: bytes, say: Say
) -> Endpoint:
    """The endpoint by a new model and configuration, in service; the old ones are removed.

    Args:
        hosting: where it is.
        present: as it is.
        plan: what it becomes.
        package: the model's archive.
        picture: to try it with.
        say: prints a line.

    Raises:
        LaunchError: it could not be; it is then as it was.
    """
    name = present.name
    endpoint = Endpoint(name, hosting, answers_of(plan.requests.config))
    with undoing(say) as undo:
        make_parts(hosting, plan, package, undo, say)
        _unscale(hosting, present, undo)
        _go_over(hosting, present, plan, undo, say)
        scale(hosting, plan, undo, say)
        smoke_test(endpoint, picture, plan.deployment.artifact, say)
        undo.add(
            f"the tags of {name}",
            lambda: hosting.retag(present.arn, present.tags),
            f"aws sagemaker list-tags --resource-arn {present.arn}",
        )
        hosting.retag(present.arn, build_tags(plan.deployment, plan.settings))
        undo.keep()
    with undoing(say, always=True, word="removing") as rest:
        for kind, part in ((MODEL, present.model), (CONFIG, present.config)):
            if is_made_for(hosting, kind, part, name):
                plan_removal(hosting, kind, part[kind.key], rest)
    return endpoint


def _unscale(hosting: Hosting, present: Present, undo: Undo) -> None:
    """End the autoscaling: SageMaker updates no endpoint that has it (developer guide, autoscaling, updates)."""
    before = present.scaling
    if before is None:
        return
    undo.add(f"the end of the autoscaling of {present.name}", lambda: hosting.scale(*before), "deploy it again")
    hosting.unscale(present.name)


def _go_over(hosting: Hosting, present: Present, plan: Plan, undo: Undo, say: Say) -> None:
    name, old, new = present.name, present.config["EndpointConfigName"], plan.deployment.part
    poll_s = plan.settings.poll_s

    def go_back() -> None:
        found = settle(hosting, name, poll_s)
        if found is not None and found["EndpointConfigName"] == new:
            hosting.update(name, old, keep_count=present.scaling is not None)
            wait_in_service(hosting, name, old, plan.settings, undo.say)

    command = f"aws sagemaker update-endpoint --endpoint-name {name} --endpoint-config-name {old}"
    undo.add(f"the update of {name}", go_back, command, holds=True)
    hosting.update(name, new)
    say(f"updating {name}, which goes on answering")
    wait_in_service(hosting, name, new, plan.settings, say)
