"""An endpoint that goes over to another artifact, or stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import ConfigError
from dogbreed.serving.predictor import Predictor
from launch.errors import LaunchError
from launch.files.model_package import Package
from launch.hosting.planning import Plan, plan_deployment
from launch.hosting.reading import settings_of
from launch.hosting.requests import ARTIFACT_TAG, build_tags
from launch.hosting.resources import Hosting
from launch.hosting.updating import Present, look_up, update_endpoint
from tests.launch.hosting.conftest import ROLE, MakePlan
from tests.launch.hosting.door import Door, Fault, broken, saying
from tests.launch.hosting.test_steps import Left, Packages, make, picture


@pytest.fixture
def deployed(hosting: Hosting, make_plan: MakePlan, packages: Packages, name: str) -> Present:
    """An endpoint of the first artifact, with autoscaling."""
    make(hosting, make_plan(max_count=3), packages[0])
    return look_up(hosting, name)


def plan_of(present: Present, package: Package, **given: Any) -> Plan:
    return plan_deployment(present.name, package.model, present.settings({"poll_s": 0.01, **given}))


def update(hosting: Hosting, present: Present, package: Package, lines: list[str] | None = None, **given: Any) -> None:
    said = [] if lines is None else lines
    update_endpoint(hosting, present, plan_of(present, package, **given), package, picture(), said.append)


def test_update__answers_by_the_new_artifact_and_keeps_all_else(
    hosting: Hosting, deployed: Present, packages: Packages, artifacts: tuple[Path, Path], left: Left
) -> None:
    before = left()
    lines: list[str] = []
    update(hosting, deployed, packages[1], lines)
    now = look_up(hosting, deployed.name)
    assert replace(now.settings({}), expires_in_h=1) == replace(deployed.settings({}), expires_in_h=1)
    assert now.tags[ARTIFACT_TAG] == packages[1].model == Predictor.load(artifacts[1])(picture()).model
    assert len(left()) == len(before)  # the old model, configuration and archive are gone
    assert len({*left()} & {*before}) == 2  # the endpoint and its scalable target
    assert f"{deployed.name}: Updating" in lines


def test_update__keeps_the_instances_that_the_traffic_wants(deployed: Present) -> None:
    busy = replace(deployed, instances=3)
    assert busy.settings({}).instance_count == 3
    assert busy.settings({"instance_count": 1}).instance_count == 1
    assert busy.settings({"max_count": 2}).instance_count == 2
    assert busy.settings({"max_count": None}).instance_count == 3
    assert replace(busy, scaling=None).settings({}).instance_count == 1


def test_update__of_a_setting(hosting: Hosting, deployed: Present, packages: Packages) -> None:
    update(hosting, deployed, packages[0], instance_type="ml.c5.xlarge", max_count=None)
    now = look_up(hosting, deployed.name)
    assert now.settings({}).instance_type == "ml.c5.xlarge"
    assert now.scaling is None


def test_update__adds_variables_and_tags_and_keeps_never(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, name: str
) -> None:
    make(hosting, make_plan(environment={"A": "b"}, tags={"team": "dogs"}, expires_in_h=None), packages[0])
    now = look_up(hosting, name).settings({"environment": {"C": "d"}, "tags": {"who": "me"}})
    assert (now.environment, now.tags) == ({"A": "b", "C": "d"}, {"team": "dogs", "who": "me"})
    assert now.expires_in_h is None


def test_update__of_the_image_version_leaves_the_image(deployed: Present) -> None:
    assert deployed.settings({}).image == "mine:1"
    assert deployed.settings({"pytorch_version": "2.5"}).image is None


def test_update__leaves_the_parts_that_others_made(
    hosting: Hosting, deployed: Present, packages: Packages, behind: dict[str, Any], left: Left, name: str
) -> None:
    client = behind["sagemaker"]
    variant = {"VariantName": "all", "ModelName": f"{name}-theirs"} | {
        key: deployed.config["ProductionVariants"][0][key] for key in ("InstanceType", "InitialInstanceCount")
    }
    container = deployed.model["PrimaryContainer"]
    client.create_model(ModelName=f"{name}-theirs", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    client.create_endpoint_config(EndpointConfigName=f"{name}-theirs", ProductionVariants=[variant])
    theirs = replace(
        deployed,
        config=client.describe_endpoint_config(EndpointConfigName=f"{name}-theirs"),
        model=client.describe_model(ModelName=f"{name}-theirs"),
    )
    update(hosting, theirs, packages[1])
    assert {f"model {name}-theirs", f"config {name}-theirs"} <= {*left()}


def test_update__that_cannot_be_taken_back_keeps_what_the_endpoint_needs(
    hosting: Hosting, deployed: Present, packages: Packages, door: Door, left: Left
) -> None:
    door.spoil = {"InvokeEndpoint": [broken], "UpdateEndpoint": [None, broken]}
    lines: list[str] = []
    with pytest.raises(LaunchError):
        update(hosting, deployed, packages[1], lines)
    now = look_up(hosting, deployed.name)  # has a configuration and a model
    assert now.config["EndpointConfigName"] != deployed.config["EndpointConfigName"]
    told = "\n".join(lines[lines.index("this may still be there, and cost:") :])
    assert f"--endpoint-config-name {deployed.config['EndpointConfigName']}" in told
    assert f"aws sagemaker delete-model --model-name {now.model['ModelName']}" in told


def test_update__to_another_kind_is_refused(deployed: Present) -> None:
    with pytest.raises(ConfigError, match="the same kind"):
        deployed.settings({"kind": "serverless"})


def failing(door: Door) -> None:
    door.endpoints.fate = "no capacity"


FAULTS: dict[str, Fault] = {
    "PutObject": broken,
    "CreateModel": broken,
    "CreateEndpointConfig": broken,
    "DeregisterScalableTarget": broken,
    "UpdateEndpoint": saying("ResourceLimitExceeded", "limit"),
    "RegisterScalableTarget": broken,
    "InvokeEndpoint": broken,
    "AddTags": broken,
}


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step == "AddTags" else pytest.mark.slow) for step in (*FAULTS, "roll back")],
)
def test_update__fault_at_a_step_leaves_the_endpoint_as_it_was(
    step: str, hosting: Hosting, deployed: Present, packages: Packages, door: Door, left: Left
) -> None:
    before = left()
    if step in FAULTS:
        door.spoil[step] = [FAULTS[step]]
    else:
        failing(door)
    lines: list[str] = []
    with pytest.raises(LaunchError):
        update(hosting, deployed, packages[1], lines)
    assert not any("still be there" in line for line in lines)
    assert sorted(left()) == sorted(before)
    now = look_up(hosting, deployed.name)
    assert now.config["EndpointConfigName"] == deployed.config["EndpointConfigName"]
    assert (now.tags, now.scaling) == (deployed.tags, deployed.scaling)


@pytest.mark.parametrize("kind", ["realtime", "serverless", "asynchronous"])
def test_settings_of__are_those_that_the_requests_were_built_of(kind: str, make_plan: MakePlan) -> None:
    more: dict[str, Any] = {"kms_key": "key", "tags": {"team": "dogs"}, "image": "theirs:2"}
    more |= {} if kind == "serverless" else {"max_count": 4, "subnets": ["s-1"], "security_groups": ["g-1"]}
    more |= {"capture_percent": 10} if kind == "realtime" else {}
    plan = make_plan(kind, **more)
    requests = plan.requests
    scaling = None if requests.target is None or requests.policy is None else (requests.target, requests.policy)
    values = settings_of(requests.model, requests.config, build_tags(plan.deployment, plan.settings), scaling)
    read = plan_deployment(plan.deployment.name, "x", replace(plan.settings, **values)).requests
    for ours, theirs in ((read.model, requests.model), (read.config, requests.config)):
        for key in theirs:
            if key not in ("ModelName", "EndpointConfigName", "Tags", "PrimaryContainer", "ProductionVariants"):
                assert ours[key] == theirs[key], key
    assert (read.target, read.policy) == (requests.target, requests.policy)
